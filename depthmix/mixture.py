"""Which sample comes next: a pure function of sizes, weights, seed and step, without any state."""

import hashlib
import heapq
import json
import math
import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache

from depthmix.errors import ConfigError

__all__ = ["MixturePlan", "MixtureSampler", "Slot", "permute", "proportionate_turns"]

# Shares are multiples of 1/this at the finest, so that the turns of all sources fit into one short table.
FINEST_SHARE = 1 << 16
ROUNDS = 6
_WORD = (1 << 64) - 1


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """Name one sample of the mix: its source, its place there, and how often the source was seen before."""

    source: str
    index: int
    epoch: int


@dataclass(frozen=True)
class MixturePlan:
    """Decide which samples make up each global batch.

    Args:
        sizes: number of samples of each source.
        weights: relative share of each source in every batch; only ratios matter.
        batch_size: samples per step, over all ranks together.
        seed: of all shuffling.

    Convention: shares are the weights over their sum. After any number of batches the count of each source
    differs from its share by less than one sample, and a source is seen whole before any of its samples
    comes again. Shares whose common denominator exceeds 65536 are rounded to 1/65536 first;
    `expected_share` says what is used. The order in which sources are listed does not matter.

    Raises:
        ConfigError: no source, an empty source, a bad name, weight, batch size or seed.

    Example:
        >>> plan = MixturePlan({"web": 10, "kitti": 5}, {"web": 2, "kitti": 1}, batch_size=3, seed=0)
        >>> sorted(slot.source for slot in plan.batch(1000))
        ['kitti', 'web', 'web']
    """

    sizes: Mapping[str, int]
    weights: Mapping[str, float]
    batch_size: int
    seed: int = 0

    def __post_init__(self) -> None:
        _check_sources(self.sizes, self.weights)
        if self.batch_size < 1:
            raise ConfigError(f"must be at least 1, got {self.batch_size}", field="batch_size")
        if self.seed < 0:
            raise ConfigError(f"must not be negative, got {self.seed}", field="seed")
        for field in ("sizes", "weights"):
            object.__setattr__(self, field, dict(sorted(getattr(self, field).items())))
        _quanta(self.weights)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the sources, sorted."""
        return tuple(self.sizes)

    def batch(self, step: int) -> list[Slot]:
        """List the samples of one global batch, in the order in which they are laid into it."""
        quanta = _quanta(self.weights)
        turns, places = proportionate_turns(quanta)
        seen: dict[int, int] = {}
        slots = []
        for turn in range(step * self.batch_size, (step + 1) * self.batch_size):
            rounds, place = divmod(turn, len(turns))
            k = turns[place]
            if k not in seen:
                seen[k] = rounds * quanta[k] + bisect_left(places[k], place)
            slots.append(self._slot(k, seen[k]))
            seen[k] += 1
        key = _keys("batch", self.seed, step)[0]
        return [slots[i] for i in sorted(range(len(slots)), key=lambda i: _mix(key + i))]

    def expected_share(self) -> dict[str, float]:
        """Return the part of all samples that each source gets."""
        quanta = _quanta(self.weights)
        return {name: quantum / sum(quanta) for name, quantum in zip(self.names, quanta, strict=True)}

    def describe(self) -> dict[str, object]:
        """Return everything that the order depends on, as plain values."""
        plan = {
            "sizes": self.sizes,
            "weights": self.weights,
            "batch_size": self.batch_size,
            "seed": self.seed,
        }
        return {"order": 1, **plan}  # raised when another version of this file gives another order

    def fingerprint(self) -> str:
        """Hash `describe`: two plans with one fingerprint give one order."""
        return hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode()).hexdigest()

    def _slot(self, k: int, ordinal: int) -> Slot:
        name = self.names[k]
        epoch, position = divmod(ordinal, self.sizes[name])
        return Slot(name, permute(position, self.sizes[name], _keys(name, self.seed, epoch)), epoch)


class MixtureSampler:
    """Yield this rank's part of each batch of an epoch; pass it to a DataLoader as `batch_sampler`.

    Args:
        plan: the order of all batches.
        steps_per_epoch: batches between two calls of `set_epoch`.
        rank: this process.
        world: number of processes; together they yield exactly `plan.batch`.

    Raises:
        ConfigError: the batch cannot be split evenly, or there are no steps.
    """

    def __init__(self, plan: MixturePlan, steps_per_epoch: int, rank: int = 0, world: int = 1) -> None:
        if steps_per_epoch < 1:
            raise ConfigError(f"must be at least 1, got {steps_per_epoch}", field="steps_per_epoch")
        if plan.batch_size % world:
            reason = f"{plan.batch_size} samples cannot be split evenly over {world} processes"
            near = math.ceil(plan.batch_size / world) * world
            raise ConfigError(reason, field="batch_size", hint=f"it counts all processes; take {near}")
        self.plan, self.steps_per_epoch, self.rank, self.world = plan, steps_per_epoch, rank, world
        self.epoch = 0
        self.start = 0
        # Lightning calls set_epoch on `batch_sampler.sampler`, never on a batch sampler itself.
        self.sampler = self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration yields."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.steps_per_epoch

    def __iter__(self) -> Iterator[list[Slot]]:
        """Yield the batches from `start` on, and begin at 0 again the next time."""
        first, self.start = self.start, 0
        base = self.epoch * self.steps_per_epoch
        for step in range(base + first, base + self.steps_per_epoch):
            yield self.plan.batch(step)[self.rank :: self.world]


def permute(position: int, size: int, keys: Sequence[int]) -> int:
    """Map `position` to its place in a random order of 0..size-1, without storing the order.

    A Feistel network permutes the next power of four, at least 64 because smaller ones shuffle poorly;
    results outside the range are sent through again until they fall inside, which leaves a permutation.

    Reference: Black and Rogaway, Ciphers with arbitrary finite domains (CT-RSA 2002), cycle walking.
    """
    half = max(3, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    while True:
        left, right = position >> half, position & mask
        for key in keys:
            left, right = right, left ^ (_mix(right ^ key) & mask)
        position = left << half | right
        if position < size:
            return position


@lru_cache(maxsize=16)
def proportionate_turns(quanta: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Lay out sum(quanta) turns so that source k has had quanta[k] / sum(quanta) of every prefix, +/- < 1.

    The j-th turn of a source may come once its fair share exceeds j - 1 and must come before it passes
    j; among the sources that may, the one that must first goes first. Repeating the layout keeps the bound.

    Returns:
        The source of each turn, and the turns of each source.

    Reference: Baruah et al., Proportionate progress (Algorithmica 1996), for one processor.
    """
    total = sum(quanta)
    may: list[list[int]] = [[] for _ in range(total + 1)]
    may[0] = list(range(len(quanta)))
    ready: list[tuple[int, int]] = []
    places: list[list[int]] = [[] for _ in quanta]
    turns = []
    for turn in range(total):
        for k in may[turn]:
            must = -(-(len(places[k]) + 1) * total // quanta[k])
            heapq.heappush(ready, (must, k))
        k = heapq.heappop(ready)[1]
        turns.append(k)
        places[k].append(turn)
        may[min(max(len(places[k]) * total // quanta[k], turn + 1), total)].append(k)
    return tuple(turns), tuple(map(tuple, places))


def _check_sources(sizes: Mapping[str, int], weights: Mapping[str, float]) -> None:
    if not sizes:
        raise ConfigError("the mix has no source", field="sources", hint="name at least one prepared source")
    if unpaired := sorted(set(sizes) ^ set(weights)):
        raise ConfigError(f"{unpaired} must have both a size and a weight", field="sources")
    for name, size in sizes.items():
        field = f"sources.{name}"
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
            raise ConfigError("a name holds letters, digits, _ and - only", field=field, hint="rename it")
        if size < 1:
            raise ConfigError("has no samples", field=field, hint="prepare it again, or leave it out")
        if not (math.isfinite(weights[name]) and weights[name] > 0):
            reason = f"must be positive and finite, got {weights[name]}"
            raise ConfigError(reason, field=f"{field}.weight", hint="leave the source out instead of 0")


def _quanta(weights: Mapping[str, float]) -> tuple[int, ...]:
    """Write the shares as whole numbers: exactly where a short table can, else by largest remainders."""
    return _rounded_quanta(tuple(weights.items()))


@lru_cache(maxsize=16)
def _rounded_quanta(weights: tuple[tuple[str, float], ...]) -> tuple[int, ...]:
    # repr gives the decimals that the user wrote: 0.1 means 1/10, not the nearest binary fraction.
    exact = [Fraction(repr(float(weight))) for _, weight in weights]
    shares = [weight / sum(exact) for weight in exact]
    common = math.lcm(*(share.denominator for share in shares))
    total = min(common, FINEST_SHARE)
    quanta = [math.floor(share * total) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda k: quanta[k] - shares[k] * total)
    for k in by_remainder[: total - sum(quanta)]:
        quanta[k] += 1
    if 0 in quanta:
        name, weight = weights[quanta.index(0)]
        reason = f"{weight:g} is less than 1/{FINEST_SHARE} of all weights"
        raise ConfigError(reason, field=f"sources.{name}.weight", hint="raise it, or leave the source out")
    return tuple(quanta)


@lru_cache(maxsize=4096)
def _keys(name: str, seed: int, epoch: int) -> tuple[int, ...]:
    digest = hashlib.blake2b(f"{name}/{seed}/{epoch}".encode(), digest_size=8 * ROUNDS).digest()
    return tuple(int.from_bytes(digest[8 * i : 8 * i + 8], "little") for i in range(ROUNDS))


def _mix(value: int) -> int:
    """Scramble 64 bits (the finaliser of SplitMix64, Steele et al. 2014)."""
    value &= _WORD
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _WORD
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _WORD
    return value ^ (value >> 31)
