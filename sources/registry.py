"""Find sources by the name of their class: those shipped here, and those that installed packages add."""

from difflib import get_close_matches
from inspect import isabstract, isclass, signature

import depthmix.sources
from depthmix.errors import ConfigError
from depthmix.foreign import import_foreign
from depthmix.plug_ins import SOURCES, announced, exported, load, load_all
from depthmix.sources.base import Source

__all__ = ["available", "described", "find", "shipped"]


def available() -> dict[str, type[Source]]:
    """List all sources by name: the shipped ones first, then those of the entry-point group, each sorted.

    A plug-in that cannot be imported, is no finished `Source`, or has a name that is taken, is left out
    with a logged warning that names its package.
    """
    own = shipped()
    return own | load_all(SOURCES, _wrong, own)


def shipped() -> dict[str, type[Source]]:
    """List the sources of depthmix itself by name, sorted."""
    return exported(depthmix.sources, _is_source)


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
    own = shipped()
    if name in own:
        return own[name]
    others = announced(SOURCES)
    for point in others:
        if name == point.name:
            return load(point, _wrong)
    known = [*own, *(point.name for point in others)]
    by_lower = {other.lower(): other for other in known}
    near = [by_lower[match] for match in get_close_matches(name.lower(), by_lower, n=2, cutoff=0.5)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}"
    raise ConfigError(f"no source is called {name!r}", field="source", hint=hint)


def _imported(name: str) -> type[Source]:
    module, _, attribute = name.partition(":")
    found = import_foreign(module)
    if not hasattr(found, attribute):
        raise ConfigError(
            f"has no class {attribute!r}", file=getattr(found, "__file__", module), field="source"
        )
    kind = getattr(found, attribute)
    if not _is_source(kind):
        raise ConfigError(f"{name} is no finished Source class", field="source")
    return kind  # type: ignore[no-any-return]


def _wrong(_: str, kind: object) -> str:
    return "" if _is_source(kind) else "is no finished Source class"


def _is_source(kind: object) -> bool:
    return isclass(kind) and issubclass(kind, Source) and not isabstract(kind) and hasattr(kind, "card")
