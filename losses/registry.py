"""Find losses by the name of their class: those shipped here, and those that installed packages add."""

from inspect import getdoc, isabstract, isclass
from typing import cast

import depthmix.losses
from depthmix.losses.base import DepthLoss
from depthmix.plug_ins import LOSSES, announced, exported, load, load_all
from depthmix.sample import LabelKind

__all__ = ["available", "described", "plug_in", "shipped"]


def available() -> dict[str, type[DepthLoss]]:
    """List all losses by name: the shipped ones first, then those of the entry-point group, each sorted.

    A plug-in that cannot be imported, is no finished `DepthLoss`, or has a name that is taken, is left out
    with a logged warning that names its package.
    """
    own = shipped()
    return own | load_all(LOSSES, _wrong, own)


def shipped() -> dict[str, type[DepthLoss]]:
    """List the losses of depthmix itself by name, sorted."""
    return exported(depthmix.losses, _is_loss)


def plug_in(path: str) -> type[DepthLoss] | None:
    """Return the loss that a package announces by this name, or whose class path this is; None if none does.

    Raises:
        ConfigError: a package does, but it cannot be imported or is no loss.
    """
    own = shipped()
    for point in announced(LOSSES):
        if path in (point.name, point.value.replace(":", ".")) and point.name not in own:
            return load(point, _wrong)
    return None


def described(loss: type[DepthLoss]) -> dict[str, str]:
    """Return what a loss says about itself, as the catalogue holds it."""
    kinds = [kind.name for kind in LabelKind if kind in loss.accepts]
    return {
        "class": loss.__name__,
        "what": (getdoc(loss) or "").partition("\n")[0],
        "accepts": "all kinds" if len(kinds) == len(LabelKind) else ", ".join(kinds),
        "needs": ", ".join(sorted(loss.needs)),
        "module": loss.__module__,
    }


def _wrong(name: str, kind: object) -> str:
    if not _is_loss(kind):
        return "is no finished DepthLoss class"
    own = cast("type[DepthLoss]", kind).__name__
    # A configuration is also read by jsonargparse, which knows a class by no other name than its own.
    return "" if name == own else f"the class is called {own}: the entry point must be, too"


def _is_loss(kind: object) -> bool:
    return isclass(kind) and issubclass(kind, DepthLoss) and not isabstract(kind) and hasattr(kind, "accepts")
