"""Find sources by the name of their class: those shipped here, and those that installed packages add."""

import logging
import sys
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import isabstract, isclass, signature
from pathlib import Path

import depthmix.sources
from depthmix.errors import ConfigError
from depthmix.sources.base import Source

__all__ = ["GROUP", "available", "described", "find", "shipped"]

GROUP = "depthmix.sources"
# What importing a foreign module may throw, short of the wish to stop the program.
_IMPORT_TROUBLE = (
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError),
    *(OSError, RuntimeError, SyntaxError, TypeError, ValueError),
)
_log = logging.getLogger(__name__)


def available() -> dict[str, type[Source]]:
    """List all sources by name: the shipped ones first, then those of the entry-point group, each sorted.

    A plug-in that cannot be imported, is no finished `Source`, or has a name that is taken, is left out
    with a logged warning that names its package.
    """
    found = shipped()
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        package = point.dist.name if point.dist else "an unknown package"
        if point.name in found:
            _log.warning("package %s: its source %r is left out: the name is taken", package, point.name)
            continue
        kind = _load(point, package)
        if kind is not None:
            found[point.name] = kind
    return found


def shipped() -> dict[str, type[Source]]:
    """List the sources of depthmix itself by name, sorted."""
    exported = (getattr(depthmix.sources, name) for name in sorted(depthmix.sources.__all__))
    return {kind.__name__: kind for kind in exported if _is_source(kind)}


def described(name: str, source: type[Source]) -> dict[str, str]:
    """Return what a source says about itself, as the catalogue holds it."""
    card = source.card
    return {
        "name": signature(source.__init__).parameters["name"].default,
        "class": name,
        **{field: card.plain()[field] for field in ("family", "quality", "kind", "unit", "density", "noise")},
        "licence": card.licence,
        "size": card.size,
        "read on real files": "yes" if card.read_on_real_files else "no",
        "layout": source.layout,
        "citation": card.citation,
    }


def find(name: str) -> type[Source]:
    """Return the source called `name`.

    Args:
        name: of a shipped source or one that a package announces, or `module:Class`; the module may lie in
            the present folder.

    Raises:
        ConfigError: there is none; the hint tells the nearest names.
    """
    if ":" in name:
        return _imported(name)
    known = available()
    if name in known:
        return known[name]
    by_lower = {other.lower(): other for other in known}
    near = [by_lower[match] for match in get_close_matches(name.lower(), by_lower, n=2, cutoff=0.5)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}"
    raise ConfigError(f"no source is called {name!r}", field="source", hint=hint)


def _imported(name: str) -> type[Source]:
    module, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:  # a console command does not look there by itself
        sys.path.insert(0, here)
    try:
        kind = getattr(import_module(module), attribute)
    except _IMPORT_TROUBLE as error:
        hint = "give module:Class of a module that can be imported here"
        raise ConfigError(f"{name} cannot be imported: {error}", field="source", hint=hint) from error
    if not _is_source(kind):
        raise ConfigError(f"{name} is no finished Source class", field="source")
    return kind  # type: ignore[no-any-return]


def _load(point: EntryPoint, package: str) -> type[Source] | None:
    try:
        kind = point.load()
    except _IMPORT_TROUBLE as error:
        trouble = f"{type(error).__name__}: {error}"
        _log.warning("package %s: its source %r cannot be imported: %s", package, point.name, trouble)
        return None
    if not _is_source(kind):
        _log.warning("package %s: its source %r is no finished Source class", package, point.name)
        return None
    return kind  # type: ignore[no-any-return]


def _is_source(kind: object) -> bool:
    return isclass(kind) and issubclass(kind, Source) and not isabstract(kind) and hasattr(kind, "card")
