"""What each source of a mix weighs: its share of the samples, and its share of the gradient."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from depthmix.errors import ConfigError
from depthmix.mixture import MixturePlan, Phase, tempered

if TYPE_CHECKING:
    from depthmix.report.collect import SetFacts
    from depthmix.report.curves import Curve

__all__ = ["expected_shares", "gradient_shares", "trained_steps"]

LARGEST_BATCH: Final = 1 << 16
PULLS: Final = "train/pulls/"


def expected_shares(
    data: Mapping[str, Any], training: Sequence["SetFacts"], steps: int
) -> dict[str, float] | None:
    """Return the part of all samples that each source gets in so many steps, as the plan of the mix gives it.

    Args:
        data: the section `data` of a configuration, not trusted.
        training: the sources of the mix.
        steps: length of the training.

    Returns:
        None where a set could not be opened or the section states no mix that could be trained.
    """
    opened = [(one, one.shards) for one in training if one.shards is not None]
    if len(opened) < len(training) or not training:
        return None
    sizes = {one.name: len(shards) for one, shards in opened}
    tiers = {one.name: shards.card["quality"].name for one, shards in opened}
    batch_size = data.get("batch_size", 12)
    if not isinstance(batch_size, int) or not 0 < batch_size <= LARGEST_BATCH:
        return None
    try:
        phases = [Phase(int(one["step"]), dict(one["weights"])) for one in data.get("curriculum") or []]
        temperature = min(max(float(data.get("temperature") or 0), 0), 1)
        plain = {one.name: one.weight or 0.0 for one in training}
        weights, phases = tempered(sizes, plain, phases, temperature)
        least = dict(data.get("least") or {})
        plan = MixturePlan(sizes, weights, batch_size, 0, tiers if least else None, least or None, phases)
        drawn = plan.drawn(steps)
    except (ConfigError, TypeError, ValueError, KeyError, ArithmeticError):
        return None
    return {name: count / (steps * batch_size) for name, count in drawn.items()}


def gradient_shares(curves: Mapping[str, "Curve"]) -> dict[str, float]:
    """Return the part of the gradient at the prediction that came from each source, over the whole training.

    Convention: the log holds it for stretches of equal length, so their plain mean is that of the training; a
    stretch without a row of a source has no entry and counts as 0.
    """
    found = {name.removeprefix(PULLS): curve for name, curve in curves.items() if name.startswith(PULLS)}
    sums = {name: sum(value for value in curve.values if value is not None) for name, curve in found.items()}
    total = sum(sums.values())
    return {name: value / total for name, value in sums.items()} if total > 0 else {}


def trained_steps(curves: Mapping[str, "Curve"]) -> int:
    """Return the last step of the log, at least 1."""
    last = max((curve.steps[-1] for curve in curves.values() if curve.steps), default=1)
    return max(1, last) if math.isfinite(last) else 1
