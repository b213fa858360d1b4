"""`depthmix check`: every problem of a training configuration at once, before anything is started."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthmix.cli.schema import Document, Problem, call_problems, import_named, read_document
from depthmix.configured import build, data_arguments, did_you_mean, recipe, resolve_class, term_from
from depthmix.errors import ConfigError, DepthmixError

if TYPE_CHECKING:
    from depthmix.feature_alignment import FeatureAlignment
    from depthmix.objective import Term

__all__ = ["add_arguments", "config_problems", "data_arguments", "recipe", "run", "term_from"]

TOP_LEVEL = (
    "seed_everything",
    "trainer",
    "model",
    "data",
    "ckpt_path",
    "optimizer",
    "lr_scheduler",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("config", help="YAML file, or the name of a shipped recipe")
    parser.add_argument("--data.root", dest="root", help="folder of the prepared sets, as given to fit")
    parser.add_argument(
        "--trust", action="store_true", help="import the classes outside of depthmix that it names"
    )


def run(options: argparse.Namespace) -> int:
    """Print one line per problem; exit code 1 if there is one."""
    file = recipe(options.config)
    problems = config_problems(file, root=options.root, trust=options.trust)
    for problem in problems:
        print(problem.located(file), file=sys.stderr)
    print(f"{len(problems)} problem{'' if len(problems) == 1 else 's'}")
    return 1 if problems else 0


def config_problems(
    file: Path, *, partial: bool = False, root: str | None = None, trust: bool = False
) -> list[Problem]:
    """List all problems of a configuration, in the order of the file.

    A configuration is code: it names classes, and training with it imports and runs them. Checking it runs
    nothing but depthmix, unless its user trusts it.

    Args:
        file: the YAML file.
        partial: other files or options complete this one, so what it lacks is no problem, and whether its
            terms fit its sources is left to the run itself.
        root: folder of the prepared sets, instead of the one that the file names.
        trust: import the classes outside of depthmix that it names, which runs their code.
    """
    document, problems = read_document(file)
    if document is None:
        return problems
    if trust:
        import_named(document.root)
    problems += [problem for problem in _shape(document, root) if not (partial and problem.missing)]
    if not problems and not partial:
        problems += _meaning(document, root)
    return sorted(set(problems))


def _shape(document: Document, root: str | None) -> Iterator[Problem]:
    """Compare every section with the constructor that takes it."""
    from lightning.pytorch import Trainer

    import depthmix.losses
    import depthmix.models  # noqa: F401  (imported so that short names of losses and networks resolve)
    from depthmix.data import MixData
    from depthmix.task import DepthTask

    targets = {"trainer": Trainer, "model": DepthTask, "data": MixData}
    for key, value in document.root.value:
        if key.value in targets:
            found = call_problems(value, targets[key.value], key.value)
            yield from (one for one in found if not (root and one.text == "lacks the option 'root'"))
        elif key.value not in TOP_LEVEL:
            line, column = document.place(key.value)
            yield Problem(line, column, key.value, "unknown section" + did_you_mean(key.value, TOP_LEVEL))
    for name in ("model", "data"):
        if name not in document.values:
            yield Problem(1, 1, name, "this section is missing", missing=True)


def _meaning(document: Document, root: str | None) -> list[Problem]:
    """Build what the configuration names: terms, network, sets; then compare terms with sources."""
    try:
        arguments = data_arguments(document.values["data"], root)
    except DepthmixError as error:
        return [_placed(document, error)]
    terms, problems = _terms(document)
    problems += _set_problems(document, arguments)
    problems += _head_problems(document, terms)
    problems += [] if problems else _mix_problems(document, arguments, terms)
    return problems + ([] if problems else _network_problems(document, arguments, terms))


def _terms(document: Document) -> tuple[dict[str, "Term"], list[Problem]]:
    terms, problems = {}, []
    for name, options in document.values["model"]["terms"].items():
        try:
            terms[name] = term_from(options)
        except (DepthmixError, TypeError, ValueError) as error:
            place = document.place("model", "terms", name)
            problems.append(Problem(*place, f"model.terms.{name}", str(error)))
    return terms, problems


def _set_problems(document: Document, arguments: dict[str, Any]) -> Iterator[Problem]:
    """Open each prepared set by itself, so that all that are missing are named at once."""
    from depthmix.data import MixData

    options = ("sources", "val_sources", "test_sources")
    none: dict[str, Any] = {option: {} for option in options}
    for option in options:
        for name, spec in (arguments.get(option) or {}).items():
            try:
                data = MixData(**(arguments | none | {option: {name: spec}}))
                _ = data.train_sets, data.val_sets, data.test_sets
            except DepthmixError as error:
                yield _placed(document, error)


def _mix_problems(document: Document, arguments: dict[str, Any], terms: dict[str, "Term"]) -> list[Problem]:
    """Compare terms with sources: read the cards, refuse impossible pairs."""
    from depthmix.data import MixData
    from depthmix.objective import Objective, term_problems

    try:
        data = MixData(**arguments)
        assert data.plan
        Objective(terms, document.values["model"].get("balance", "gradient"), data.cards)
    except DepthmixError as error:
        return [_placed(document, error)]
    return _placed_all(document, term_problems(terms, data.cards))


def _head_problems(document: Document, terms: dict[str, "Term"]) -> list[Problem]:
    """Compare what the terms read with what the network predicts."""
    from depthmix.objective import head_problems

    return _placed_all(document, head_problems(terms, document.values["model"].get("heads") or ()))


def _network_problems(
    document: Document, arguments: dict[str, Any], terms: dict[str, "Term"]
) -> list[Problem]:
    """Build the network and its task, as the training will."""
    from torch import nn

    from depthmix.canonical import form_of
    from depthmix.doubt import Disagreement
    from depthmix.feature_alignment import AlignedFeatures
    from depthmix.task import DepthTask

    options = dict(document.values["model"])
    try:
        net = build(options.pop("net"), nn.Module)
    except (DepthmixError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        return [Problem(*document.place("model", "net"), "model.net", str(error))]
    try:
        features = _feature_alignment(options.pop("feature_alignment", None))
        if options.get("disagreement") is not None:
            options["disagreement"] = Disagreement(**options["disagreement"])
        task = DepthTask(net, **(options | {"terms": terms}))
        form_of(arguments.get("augment"), task.focal_canonical, task.heads)
        if features is not None:
            AlignedFeatures(features, net)
    except DepthmixError as error:
        return [_placed(document, error)]
    return []


def _feature_alignment(options: dict[str, Any] | None) -> "FeatureAlignment | None":
    """Build what stands in `model.feature_alignment`; of networks only those that may be imported.

    Raises:
        ConfigError: there is no such network, or an option is out of its range.
    """
    from torch import nn

    from depthmix.feature_alignment import FeatureAlignment

    if options is None:
        return None
    teacher = options["teacher"]
    if isinstance(teacher, dict):
        path = str(teacher.get("class_path"))
        if resolve_class(path, nn.Module) is None:
            hint = "say --trust if it is a class outside of depthmix that you trust"
            raise ConfigError(
                f"no network is called {path!r}", field="model.feature_alignment.teacher", hint=hint
            )
        teacher = build(teacher, nn.Module)
    return FeatureAlignment(**(options | {"teacher": teacher}))


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
