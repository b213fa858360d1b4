"""Whose turn is it: sources take turns so that every prefix holds each one's share."""

import heapq
import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Int64

from depthmix.errors import ConfigError

__all__ = ["FINEST_SHARE", "Turns", "exact_fraction", "proportionate_turns", "quanta_of"]

# Shares are multiples of 1/this at the finest, so that the turns of all sources fit into one short table.
FINEST_SHARE = 1 << 16


@dataclass(frozen=True)
class Turns:
    """Let sources take turns for ever, each with its share of every prefix.

    Args:
        quanta: share of each source in parts of their sum; 0 never has a turn.
        per_step: turns in one step.
    """

    quanta: tuple[int, ...]
    per_step: int

    @property
    def shares(self) -> list[Fraction]:
        """Share of each source."""
        return [Fraction(quantum, sum(self.quanta)) for quantum in self.quanta]

    def had(self, k: int, steps: int) -> int:
        """Return how many turns source `k` has had in the first steps."""
        _, places = self._table
        rounds, place = divmod(steps * self.per_step, sum(self.quanta))
        return rounds * self.quanta[k] + bisect_left(places[k], place)

    def of_step(self, step: int) -> list[int]:
        """Return the sources of the turns of one step."""
        turns, _ = self._table
        first = step * self.per_step
        return [turns[turn % len(turns)] for turn in range(first, first + self.per_step)]

    def of_steps(self, first: int, last: int) -> Int64[np.ndarray, "s t"]:
        """Return the sources of the turns of steps `first` .. `last` - 1."""
        turns = np.arange(first * self.per_step, last * self.per_step)
        table: Int64[np.ndarray, "s t"] = self._array[turns % len(self._array)].reshape(
            last - first, self.per_step
        )
        return table

    @property
    def _table(self) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
        return proportionate_turns(self.quanta)

    @cached_property
    def _array(self) -> Int64[np.ndarray, " n"]:
        return np.array(self._table[0], np.int64)


@lru_cache(maxsize=64)
def proportionate_turns(quanta: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Lay out sum(quanta) turns so that source k has had quanta[k] / sum(quanta) of every prefix, +/- < 1.

    The j-th turn of a source may come once its fair share exceeds j - 1 and must come before it passes
    j; among the sources that may, the one that must first goes first. Repeating the layout keeps the bound.

    Returns:
        The source of each turn, and the turns of each source.

    Reference: Baruah et al., Proportionate progress (Algorithmica 1996), for one processor.
    """
    total, parts = sum(quanta), np.array(quanta, np.int64)
    k = np.repeat(np.arange(len(parts)), parts)
    j = np.arange(total) - (np.cumsum(parts) - parts)[k]
    may, must = j * total // parts[k], -(-(j + 1) * total // parts[k])
    by_start = np.argsort(may, kind="stable")
    starts = [*may[by_start].tolist(), total]
    # One number tells which goes first, and of which source it is. Two turns of one source may be ready at
    # once, but then the earlier one must be had in this very turn.
    codes = (must * len(parts) + k)[by_start].tolist()
    ready: list[int] = []
    chosen, upcoming = [], 0
    for turn in range(total):
        while starts[upcoming] <= turn:
            heapq.heappush(ready, codes[upcoming])
            upcoming += 1
        chosen.append(heapq.heappop(ready))
    turns = np.array(chosen, np.int64) % len(parts)
    places = np.split(np.argsort(turns, kind="stable"), np.cumsum(parts)[:-1])
    return tuple(turns.tolist()), tuple(tuple(of_one.tolist()) for of_one in places)


@lru_cache(maxsize=64)
def _rounded(weights: tuple[tuple[str, Fraction], ...], strict: bool, kind: str) -> tuple[int, ...]:
    total_weight = sum(weight for _, weight in weights)
    shares = [weight / total_weight for _, weight in weights]
    common = math.lcm(*(share.denominator for share in shares))
    total = min(common, FINEST_SHARE)
    quanta = [math.floor(share * total) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda k: quanta[k] - shares[k] * total)
    for k in by_remainder[: total - sum(quanta)]:
        quanta[k] += 1
    for (name, weight), quantum in zip(weights, quanta, strict=True):
        if strict and weight and not quantum:
            reason = f"{float(weight):g} is less than 1/{FINEST_SHARE} of all weights"
            hint = f"raise it, or leave it out of the {kind}"
            raise ConfigError(reason, field=f"{kind}.{name}.weight", hint=hint)
    return tuple(quanta)


def exact_fraction(weight: float) -> Fraction:
    """Return the decimal that the user wrote: 0.1 means 1/10, not the nearest binary fraction."""
    return Fraction(repr(float(weight)))


def quanta_of(
    weights: Mapping[str, Fraction], *, strict: bool = True, kind: str = "sources"
) -> tuple[int, ...]:
    """Write the shares as whole numbers: exactly where a short table can, else by largest remainders.

    Args:
        weights: by name; 0 has no share.
        strict: whether a share that rounds to nothing is an error.
        kind: what has the weights, for the message.

    Raises:
        ConfigError: a weight is too small beside the others.
    """
    return _rounded(tuple(weights.items()), strict, kind)
