"""Find sources by the name of their class: those shipped here, and those that installed packages add."""

import logging
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from inspect import isabstract, isclass

import depthmix.sources
from depthmix.errors import ConfigError
from depthmix.sources.base import Source

__all__ = ["GROUP", "available", "find"]

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
    exported = (getattr(depthmix.sources, name) for name in sorted(depthmix.sources.__all__))
    found: dict[str, type[Source]] = {kind.__name__: kind for kind in exported if _is_source(kind)}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        package = point.dist.name if point.dist else "an unknown package"
        if point.name in found:
            _log.warning("package %s: its source %r is left out: the name is taken", package, point.name)
            continue
        kind = _load(point, package)
        if kind is not None:
            found[point.name] = kind
    return found


def find(name: str) -> type[Source]:
    """Return the source called `name`.

    Raises:
        ConfigError: there is none; the hint tells the nearest names.
    """
    known = available()
    if name in known:
        return known[name]
    by_lower = {other.lower(): other for other in known}
    near = [by_lower[match] for match in get_close_matches(name.lower(), by_lower, n=2, cutoff=0.5)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}"
    raise ConfigError(f"no source is called {name!r}", field="source", hint=hint)


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
