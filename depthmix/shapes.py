"""Which height and width the images of a batch have, where a training mixes several."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from depthmix.errors import ConfigError
from depthmix.shuffle import keys_of, permute
from depthmix.turns import exact_fraction, proportionate_turns, quanta_of

__all__ = ["Shape", "check_shapes", "shape_at", "shape_shares"]


@dataclass(frozen=True)
class Shape:
    """Give the images of some batches this height and width.

    Args:
        height: rows in pixels.
        width: columns in pixels.
        weight: relative share of the batches.
    """

    height: int
    width: int
    weight: float = 1.0


def shape_at(shapes: Sequence[Shape], seed: int, step: int) -> int:
    """Return which of the shapes the batch of a step has; 0 where there are none to choose from.

    Convention: in every round of batches, as long as the common denominator of the shares, each shape has
    exactly its share; the order inside a round is random. All rows of a batch have one shape, so shares of
    sources, tiers and samples stay what they are.
    """
    if len(shapes) < 2:
        return 0
    turns, _ = proportionate_turns(_quanta(tuple(shapes)))
    number, place = divmod(step, len(turns))
    return turns[permute(place, len(turns), keys_of("shape", seed, number))]


def shape_shares(shapes: Sequence[Shape]) -> list[float]:
    """Return the part of all batches that each shape gets."""
    quanta = _quanta(tuple(shapes))
    return [quantum / sum(quanta) for quantum in quanta]


def check_shapes(shapes: Sequence[Shape]) -> None:
    """Refuse shapes that no batch can have.

    Raises:
        ConfigError: a side or a weight that is not positive, or a shape that is listed twice.
    """
    for number, shape in enumerate(shapes):
        for name in ("height", "width"):
            if getattr(shape, name) < 1:
                reason = f"must be a positive number of pixels, got {getattr(shape, name)}"
                raise ConfigError(reason, field=f"shapes.{number}.{name}")
        if not 0 < shape.weight < float("inf"):
            reason = f"must be positive and finite, got {shape.weight}"
            raise ConfigError(
                reason, field=f"shapes.{number}.weight", hint="leave the shape out instead of 0"
            )
        if any((shape.height, shape.width) == (one.height, one.width) for one in shapes[:number]):
            reason = f"{shape.height} x {shape.width} is listed twice"
            raise ConfigError(reason, field=f"shapes.{number}", hint="give it the sum of both weights")
    assert not shapes or _quanta(tuple(shapes))


@lru_cache(maxsize=64)
def _quanta(shapes: tuple[Shape, ...]) -> tuple[int, ...]:
    weights: dict[str, Fraction] = {f"{one.height}x{one.width}": exact_fraction(one.weight) for one in shapes}
    return quanta_of(weights, kind="shapes")
