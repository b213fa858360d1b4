"""Classes that installed packages announce by entry points."""

import logging
import sys
from collections.abc import Callable, Container
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any, Final

from depthmix.errors import ConfigError
from depthmix.foreign import IMPORT_TROUBLE

__all__ = ["LOSSES", "SOURCES", "Judge", "announced", "exported", "load", "load_all", "package_of"]

SOURCES: Final = "depthmix.sources"
LOSSES: Final = "depthmix.losses"
# Says what is wrong with what was found under a name; nothing if it may stay.
Judge = Callable[[str, object], str]

_log = logging.getLogger(__name__)


def exported(package: ModuleType, is_one: Callable[[object], bool]) -> dict[str, Any]:
    """List the classes that a package of depthmix exports and that pass `is_one`, by name, sorted."""
    found = (getattr(package, name) for name in sorted(package.__all__))
    return {kind.__name__: kind for kind in found if is_one(kind)}


def announced(group: str) -> list[EntryPoint]:
    """List the entry points of a group, by name; none is imported."""
    return list(_announced(group, tuple(sys.path)))


@lru_cache(maxsize=8)
def _announced(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    # The records of every installed package are read for it; they follow from the path.
    return tuple(sorted(entry_points(group=group), key=lambda point: point.name))


def package_of(point: EntryPoint) -> str:
    """Return the name of the package that an entry point comes from."""
    return point.dist.name if point.dist else "an unknown package"


def load(point: EntryPoint, judge: Judge) -> type:
    """Import what an entry point announces.

    Raises:
        ConfigError: that fails, or what is found there is of another kind.
    """
    field = f"{point.group}: {point.name!r} of package {package_of(point)}"
    try:
        kind = point.load()
    except IMPORT_TROUBLE as error:
        reason = f"cannot be imported: {type(error).__name__}: {error}"
        raise ConfigError(reason, field=field, hint="mend or remove that package") from error
    wrong = judge(point.name, kind)
    if wrong:
        raise ConfigError(wrong, field=field)
    return kind  # type: ignore[no-any-return]


def load_all(group: str, judge: Judge, taken: Container[str]) -> dict[str, type]:
    """Import all that a group announces, by name.

    What fails, or has a name that is taken, is left out with a logged warning that names its package.
    """
    found: dict[str, type] = {}
    for point in announced(group):
        if point.name in taken or point.name in found:
            _log.warning(
                "%s: %r of package %s is left out: the name is taken", group, point.name, package_of(point)
            )
            continue
        try:
            found[point.name] = load(point, judge)
        except ConfigError as error:
            _log.warning("%s", error)
    return found
