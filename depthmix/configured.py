"""Turn what a configuration names into objects: recipes, classes, terms, the arguments of `MixData`."""

import inspect
import sys
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from depthmix.errors import ConfigError
from depthmix.plug_ins import LOSSES, announced

if TYPE_CHECKING:
    from depthmix.terms import Term

__all__ = [
    "build",
    "data_arguments",
    "did_you_mean",
    "is_foreign",
    "known_classes",
    "names_of_plug_ins",
    "offered_classes",
    "paths_of",
    "recipe",
    "resolve_class",
    "term_from",
]

COPIES: Final = "depthmix.cli.constructors"  # constructors without torch
# The package that exports the subclasses of a base.
EXPORTS: Final = {"DepthLoss": "depthmix.losses", "Module": "depthmix.models"}


def recipe(name: str) -> Path:
    """Find a configuration: a file, or the name of a recipe that depthmix ships.

    Raises:
        ConfigError: there is neither.
    """
    shipped = {file.stem: file for file in sorted((Path(__file__).parent / "configs").glob("*.yaml"))}
    if Path(name).is_file():
        return Path(name)
    if name not in shipped:
        what = "is a folder" if name and Path(name).is_dir() else "no such file, and no recipe of this name"
        raise ConfigError(what + did_you_mean(name, shipped), file=name or "''", field="config")
    return shipped[name]


def term_from(options: dict[str, Any], kinds: ModuleType | None = None) -> "Term":
    """Build a term from its plain options in a configuration.

    Args:
        options: as they stand in the configuration.
        kinds: the module with what it names; `depthmix.kinds` unless given.

    Raises:
        ValueError: an option of the loss is out of its range.
    """
    kinds = kinds or _kinds()
    rest = {name: value for name, value in options.items() if name != "loss"}
    if rest.get("edges") is not None:
        rest["edges"] = kinds.EdgeMask(**rest["edges"])
    term: Term = kinds.Term(loss=build(options["loss"], kinds.DepthLoss), **rest)
    return term


def build(spec: str | dict[str, Any], base: type) -> Any:
    """Build a class from its name, or from class_path and init_args; that there is one was checked before.

    Raises:
        ConfigError: it is a loss of another package that cannot be imported.
    """
    spec = {"class_path": spec} if isinstance(spec, str) else spec
    found = resolve_class(spec["class_path"], base)
    assert found is not None
    return found(**(spec.get("init_args") or {}))


def data_arguments(data: dict[str, Any], root: str | None, kinds: ModuleType | None = None) -> dict[str, Any]:
    """Return the arguments of `MixData` that the plain values of a configuration stand for.

    Args:
        data: the section of the configuration.
        root: folder of the prepared sets, instead of the one that stands there.
        kinds: the module with what it names; `depthmix.kinds` unless given.

    Raises:
        ConfigError: an option is out of its range.
        TypeError: an option that does not exist, or of another form; `depthmix check` says which.
    """
    kinds = kinds or _kinds()
    arguments = data | ({"root": root} if root else {})
    specs = {name: dict(spec or {}) for name, spec in data["sources"].items()}
    for options in (arguments, *specs.values()):
        if options.get("device_augment"):
            options["device_augment"] = kinds.DeviceAugmentOptions(**options["device_augment"])
    arguments["sources"] = {name: kinds.SourceSpec(**spec) for name, spec in specs.items()}
    if data.get("augment"):
        arguments["augment"] = kinds.AugmentOptions(**data["augment"])
    if data.get("curriculum"):
        arguments["curriculum"] = [kinds.Phase(**phase) for phase in data["curriculum"]]
    if data.get("shapes"):
        arguments["shapes"] = [kinds.Shape(**shape) for shape in data["shapes"]]
    return arguments


def known_classes(base: type) -> dict[str, type]:
    """List the concrete subclasses of `base` that are imported, by short name."""
    found: dict[str, type] = {}
    children: list[type] = base.__subclasses__()
    for child in children:
        if not inspect.isabstract(child):
            found[child.__name__] = child
        found |= known_classes(child)
    return found


def offered_classes(base: type) -> dict[str, type]:
    """List the classes that a configuration may name without a path, by short name.

    Of losses and networks these are the ones that depthmix exports and those of other packages; the parts
    that networks are made of are neither.
    """
    known, package = known_classes(base), EXPORTS.get(base.__name__)
    if package is None:
        return known
    return {name: one for name, one in known.items() if _is_offered(one, package)}


def _is_offered(kind: type, package: str) -> bool:
    if kind.__module__ == COPIES:
        return _copied_from(kind).startswith(f"{package}.")
    if kind.__module__.partition(".")[0] == "depthmix":
        return getattr(sys.modules.get(package), kind.__name__, None) is kind
    return not kind.__module__.startswith(("torch", "lightning"))


def resolve_class(path: str, base: type) -> type | None:
    """Find a class by short name or dotted path; None where there is none or it is not a `base`.

    Importing a module runs its code, and whoever wrote a configuration chose the name: only modules of
    depthmix are imported here, and losses that installed packages announce. Others are looked into if they
    are there already: `depthmix.cli.schema` imports those that their user trusts.

    Raises:
        ConfigError: it is a loss of another package that cannot be imported.
    """
    if path in names_of_plug_ins(base) and base.__module__ != COPIES:
        from depthmix.losses.registry import plug_in

        announced_class = plug_in(path)
        if announced_class is not None:
            return announced_class
    module, _, name = path.rpartition(".")
    if not module:
        return offered_classes(base).get(name)
    if base.__module__ == COPIES:
        found = offered_classes(base).get(name)
        return found if found and path in paths_of(name, _copied_from(found)) else None
    if module not in sys.modules and not is_foreign(path):
        with suppress(ImportError, ValueError):
            import_module(module)
    found = getattr(sys.modules.get(module), name, None)
    return found if isinstance(found, type) and issubclass(found, base) else None


def names_of_plug_ins(base: type | None = None) -> set[str]:
    """Return the names and the class paths by which other packages announce losses; none for other bases.

    Nothing is imported for it.
    """
    if base is not None and base.__name__ != "DepthLoss":
        return set()
    return {name for point in announced(LOSSES) for name in (point.name, point.value.replace(":", "."))}


def paths_of(name: str, module: str) -> tuple[str, str, str]:
    """Return the ways to name an exported class of depthmix: short, from its package, from its module."""
    package = ".".join(module.split(".")[:2])
    return name, f"{package}.{name}", f"{module}.{name}"


def _copied_from(kind: type) -> str:
    origins: dict[str, str] = sys.modules[COPIES].ORIGINS
    return origins.get(kind.__name__, "")


def _kinds() -> ModuleType:
    return import_module("depthmix.kinds")


def is_foreign(path: str) -> bool:
    """Tell whether importing what a dotted path names would run code from outside of depthmix."""
    module = path.rpartition(".")[0]
    return bool(module) and module not in sys.modules and module.partition(".")[0] != "depthmix"


def did_you_mean(name: str, known: "Mapping[str, object] | list[str] | tuple[str, ...]") -> str:
    """Write "; did you mean 'x'?" where something known is close, else what is known."""
    close = get_close_matches(name, list(known), n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(known)}" if known and len(known) <= 12 else ""
