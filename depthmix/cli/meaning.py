"""Build what a configuration names, as far as its form is right, and say what cannot work."""

from collections.abc import Iterable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from depthmix.cli.schema import Document, Problem
from depthmix.configured import build, data_arguments, resolve_class, term_from
from depthmix.errors import ConfigError, DepthmixError

if TYPE_CHECKING:
    from depthmix.terms import Term

__all__ = ["TOP_LEVEL", "meaning_problems"]

TOP_LEVEL = (
    "seed_everything",
    "trainer",
    "model",
    "data",
    "ckpt_path",
    "optimizer",
    "lr_scheduler",
)
SETS = ("sources", "val_sources", "test_sources")
EVALUATED = ("data.val_sources", "data.test_sources")


def meaning_problems(
    document: Document, kinds: ModuleType, root: str | None, wrong: Iterable[Problem]
) -> list[Problem]:
    """Build terms, sets and network, then compare them.

    What is wrong in its form already is left out, so that it hides no mistake elsewhere. Comparisons need
    both sides: whether a source is of use, for one, is only said when all terms could be built.

    Args:
        document: the configuration.
        kinds: the module with what it names: `depthmix.kinds`, or `depthmix.cli.constructors`.
        root: folder of the prepared sets, instead of the one that the file names.
        wrong: what is known to be wrong in the form.
    """
    places = [one.where for one in wrong if not (root and one.where == "data" and one.missing)]
    model, data = _sound(document, "model", places), _sound(document, "data", places)
    terms, problems = _terms(document, kinds, model.get("terms", {}))
    whole = model == document.values.get("model") and not problems
    heads = list(_head_problems(document, kinds, terms)) if whole else []
    arguments: dict[str, Any] = {}
    if "sources" in data and ("root" in data or root):
        try:
            arguments = data_arguments(data, root, kinds)
        except DepthmixError as error:
            problems.append(_placed(document, error))
        else:
            broken = list(_set_problems(document, kinds, arguments))
            problems += broken
            unopened = [one for one in broken if not one.where.startswith(EVALUATED)]
            if not unopened and _mixes(data, document.values["data"]):
                problems += _mix_problems(document, kinds, arguments, terms, model.get("balance"), whole)
    problems += heads
    if "net" in model:
        problems += _network_problems(document, kinds, arguments, terms, whole and not heads)
    return problems


def _mixes(sound: dict[str, Any], given: dict[str, Any]) -> bool:
    """Tell whether all that decides about the mix has the right form."""
    kept, wanted = (
        {name: one for name, one in side.items() if name not in SETS[1:]} for side in (sound, given)
    )
    return kept == wanted


def _sound(document: Document, section: str, places: list[str]) -> dict[str, Any]:
    """Return the options of a section whose form is right; of terms and sets those that are."""
    values = document.values.get(section)
    if not isinstance(values, dict) or section in places:
        return {}
    kept = {}
    for name, value in values.items():
        inside = f"{section}.{name}"
        if name in ("terms", *SETS) and isinstance(value, dict) and inside not in places:
            kept[name] = {key: one for key, one in value.items() if _is_sound(f"{inside}.{key}", places)}
        elif _is_sound(inside, places):
            kept[name] = value
    return kept


def _is_sound(where: str, places: list[str]) -> bool:
    return not any(place == where or place.startswith((f"{where}.", f"{where}[")) for place in places)


def _terms(
    document: Document, kinds: ModuleType, options: dict[str, Any]
) -> tuple[dict[str, "Term"], list[Problem]]:
    terms, problems = {}, []
    for name, one in options.items():
        try:
            terms[name] = term_from(one, kinds)
        except (DepthmixError, TypeError, ValueError) as error:
            place = document.place("model", "terms", name)
            problems.append(Problem(*place, f"model.terms.{name}", str(error)))
    return terms, problems


def _set_problems(document: Document, kinds: ModuleType, arguments: dict[str, Any]) -> Iterator[Problem]:
    """Open each prepared set by itself, so that all that are missing are named at once."""
    none: dict[str, Any] = {option: {} for option in SETS}
    for option in SETS:
        for name, spec in (arguments.get(option) or {}).items():
            try:
                data = kinds.MixData(**(arguments | none | {option: {name: spec}}))
                _ = data.train_sets, data.val_sets, data.test_sets
            except DepthmixError as error:
                yield _placed(document, error)


def _mix_problems(
    document: Document,
    kinds: ModuleType,
    arguments: dict[str, Any],
    terms: dict[str, "Term"],
    balance: str | None,
    whole: bool,
) -> list[Problem]:
    """Compare terms with sources: read the cards, refuse impossible pairs."""
    try:
        data = kinds.MixData(**arguments)
        assert data.plan
        if whole:
            kinds.Objective(terms, balance or "gradient", data.cards)
    except DepthmixError as error:
        return [_placed(document, error)]
    found = _placed_all(document, kinds.term_problems(terms, data.cards))
    return [one for one in found if whole or one.where.startswith("model.terms.")]


def _head_problems(document: Document, kinds: ModuleType, terms: dict[str, "Term"]) -> list[Problem]:
    """Compare what the terms read with what the network predicts."""
    return _placed_all(document, kinds.head_problems(terms, document.values["model"].get("heads") or ()))


def _network_problems(
    document: Document, kinds: ModuleType, arguments: dict[str, Any], terms: dict[str, "Term"], whole: bool
) -> list[Problem]:
    """Build the network and, where nothing is missing, its task, as the training will."""
    options = dict(document.values["model"])
    try:
        net = build(options.pop("net"), kinds.Module)
    except (DepthmixError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        return [Problem(*document.place("model", "net"), "model.net", str(error))]
    if not whole:
        return []
    try:
        features = _feature_alignment(options.pop("feature_alignment", None), kinds)
        if options.get("disagreement") is not None:
            options["disagreement"] = kinds.Disagreement(**options["disagreement"])
        task = kinds.DepthTask(net, **(options | {"terms": terms}))
        kinds.form_of(arguments.get("augment"), task.focal_canonical, task.heads)
        if features is not None:
            kinds.AlignedFeatures(features, net)
    except DepthmixError as error:
        return [_placed(document, error)]
    return []


def _feature_alignment(options: dict[str, Any] | None, kinds: ModuleType) -> object | None:
    """Build what stands in `model.feature_alignment`; of networks only those that may be imported.

    Raises:
        ConfigError: there is no such network, or an option is out of its range.
    """
    if options is None:
        return None
    teacher = options["teacher"]
    if isinstance(teacher, dict):
        path = str(teacher.get("class_path"))
        if resolve_class(path, kinds.Module) is None:
            hint = "say --trust if it is a class outside of depthmix that you trust"
            raise ConfigError(
                f"no network is called {path!r}", field="model.feature_alignment.teacher", hint=hint
            )
        teacher = build(teacher, kinds.Module)
    made: object = kinds.FeatureAlignment(**(options | {"teacher": teacher}))
    return made


def _placed_all(document: Document, texts: list[str]) -> list[Problem]:
    """Place lines of the form `field: reason`."""
    parts = [text.partition(": ") for text in texts]
    return [_placed(document, ConfigError(reason, field=field)) for field, _, reason in parts]


def _placed(document: Document, error: DepthmixError) -> Problem:
    """Put an error where the option stands that it names, or where that would have to stand."""
    keys = str(error.field or "data").split(".")
    if keys[0] not in TOP_LEVEL:
        keys = ["model" if keys[0] == "terms" else "data", *keys]
    text = f"{error.file}: {error.reason}" if error.file else error.reason
    return Problem(*document.place(*keys), ".".join(keys), text + (f"; {error.hint}" if error.hint else ""))
