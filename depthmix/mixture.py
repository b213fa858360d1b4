"""Which sample comes next: a pure function of sizes, weights, seed and step, without any state."""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from jaxtyping import Int64

from depthmix.errors import ConfigError
from depthmix.shapes import Shape, check_shapes, shape_at
from depthmix.shuffle import first_keys, keys_of, permute, permute_all, scramble, scramble_all
from depthmix.turns import Turns, exact_fraction, quanta_of

__all__ = ["MixturePlan", "MixtureSampler", "Phase", "Slot", "tempered"]

BLOCK = 1 << 16  # samples that the sampler works out at once: 15 ms, 1.5 MB


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """Name one sample of the mix.

    Args:
        source: name of its source.
        index: its place there.
        epoch: how often the source was seen before.
        shape: which of the plan's shapes its batch has.
    """

    source: str
    index: int
    epoch: int
    shape: int = 0


@dataclass(frozen=True)
class Phase:
    """Change weights from one step on.

    Args:
        step: first step of the phase, over all epochs.
        weights: of the sources that change; 0 leaves one out. The others keep theirs.
    """

    step: int
    weights: Mapping[str, float]


def tempered(
    sizes: Mapping[str, int],
    weights: Mapping[str, float],
    curriculum: Sequence[Phase] = (),
    temperature: float = 0.0,
) -> tuple[dict[str, float], list[Phase]]:
    """Multiply weights, those of later phases too, by the number of samples to the power of `temperature`."""
    # A power of 0 is 1 exactly, so plain weights stay the decimals that the user wrote.
    factors = {name: float(size) ** temperature for name, size in sizes.items()}

    def changed(plain: Mapping[str, float]) -> dict[str, float]:
        return {name: weight * factors.get(name, 1.0) for name, weight in plain.items()}

    return changed(weights), [Phase(phase.step, changed(phase.weights)) for phase in curriculum]


@dataclass(frozen=True)
class MixturePlan:
    """Decide which samples make up each global batch.

    Args:
        sizes: number of samples of each source.
        weights: relative share of each source in every batch; only ratios matter.
        batch_size: samples per step, over all ranks together.
        seed: of all shuffling.
        tiers: the tier of each source, where `least` is given.
        least: samples of a tier that every batch holds at least; the other sources share what is left so that
            the weights hold as far as they can.
        curriculum: other weights from given steps on.
        shapes: heights and widths of images; every batch has one of them, see `shape_at`.

    Convention: shares are the weights over their sum. After any number of batches the count of each source
    differs from its share by less than one sample (with `least`, or behind a change of weights, by less than
    two), and a source is seen whole before any of its samples comes again. Shares whose common denominator
    exceeds 65536 are rounded to 1/65536 first; `expected_share` says what is used. The order in which sources
    are listed does not matter.

    Raises:
        ConfigError: no source, an empty source, a bad name, weight, batch size, seed, tier, phase or shape.

    Example:
        >>> plan = MixturePlan({"web": 10, "kitti": 5}, {"web": 2, "kitti": 1}, batch_size=3, seed=0)
        >>> sorted(slot.source for slot in plan.batch(1000))
        ['kitti', 'web', 'web']
    """

    sizes: Mapping[str, int]
    weights: Mapping[str, float]
    batch_size: int
    seed: int = 0
    tiers: Mapping[str, str] | None = None
    least: Mapping[str, int] | None = None
    curriculum: Sequence[Phase] = ()
    shapes: Sequence[Shape] = ()

    def __post_init__(self) -> None:
        _check_sources(self.sizes, self.weights, self.curriculum)
        check_shapes(self.shapes)
        if self.batch_size < 1:
            raise ConfigError(f"must be at least 1, got {self.batch_size}", field="batch_size")
        if self.seed < 0:
            raise ConfigError(f"must not be negative, got {self.seed}", field="seed")
        for field in ("sizes", "weights"):
            object.__setattr__(self, field, dict(sorted(getattr(self, field).items())))
        _check_least(self.least or {}, self.tiers or {}, self.batch_size)
        assert self._phases

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the sources, sorted."""
        return tuple(self.sizes)

    def batch(self, step: int) -> list[Slot]:
        """List the samples of one global batch, in the order in which they are laid into it."""
        phase, start, had = self._phase(step)
        shape = self.shape(step)
        seen: dict[int, int] = {}
        slots = []
        for k in (k for turns in phase for k in turns.of_step(step - start)):
            if k not in seen:
                seen[k] = had[k] + sum(turns.had(k, step - start) for turns in phase)
            slots.append(self._slot(k, seen[k], shape))
            seen[k] += 1
        key = keys_of("batch", self.seed, step)[0]
        return [slots[i] for i in sorted(range(len(slots)), key=lambda i: scramble(key + i))]

    def shape(self, step: int) -> int:
        """Return which of the shapes the images of a batch have."""
        return shape_at(self.shapes, self.seed, step)

    def block(self, first: int, last: int) -> Int64[np.ndarray, "s b 3"]:
        """List the samples of the batches `first` .. `last` - 1 as numbers: source in `names`, index, epoch.

        What `batch` says, computed for many steps at once.
        """
        parts = []
        while first < last:
            end = min([last, *(start for start, _, _ in self._phases if start > first)])
            parts.append(self._block(first, end))
            first = end
        return np.concatenate(parts) if parts else np.zeros((0, self.batch_size, 3), np.int64)

    def expected_share(self, step: int = 0) -> dict[str, float]:
        """Return the part of all samples that each source gets, in the phase that holds `step`."""
        phase, _, _ = self._phase(step)
        shares = [
            sum((turns.shares[k] * turns.per_step for turns in phase), Fraction()) / self.batch_size
            for k in range(len(self.names))
        ]
        return {name: float(share) for name, share in zip(self.names, shares, strict=True)}

    def drawn(self, steps: int) -> dict[str, int]:
        """Return how many samples of each source the first `steps` batches hold."""
        phase, start, had = self._phase(max(steps - 1, 0))
        counts = [
            before + sum(turns.had(k, steps - start) for turns in phase) for k, before in enumerate(had)
        ]
        return dict(zip(self.names, counts, strict=True))

    def describe(self) -> dict[str, object]:
        """Return everything that the order depends on, as plain values."""
        plan = {
            "sizes": self.sizes,
            "weights": self.weights,
            "batch_size": self.batch_size,
            "seed": self.seed,
        }
        more: dict[str, object] = {}
        if self.least:
            more["least"] = dict(sorted(self.least.items()))
            more["tiers"] = dict(sorted((self.tiers or {}).items()))
        if self.curriculum:
            more["curriculum"] = {
                str(phase.step): dict(sorted(phase.weights.items())) for phase in self.curriculum
            }
        if self.shapes:
            more["shapes"] = [[shape.height, shape.width, shape.weight] for shape in self.shapes]
        return {"order": 2, **plan, **more}  # raised when another version of this file gives another order

    def fingerprint(self) -> str:
        """Hash `describe`: two plans with one fingerprint give one order."""
        return hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode()).hexdigest()

    @cached_property
    def _phases(self) -> list[tuple[int, list[Turns], list[int]]]:
        """First step of each phase, who takes turns in it, and how often each source was seen before it."""
        weights = dict(self.weights)
        phases: list[tuple[int, list[Turns], list[int]]] = []
        had = [0] * len(self.names)
        for step, changed in [(0, weights), *((phase.step, phase.weights) for phase in self.curriculum)]:
            if phases:
                start, turns, _ = phases[-1]
                had = [before + sum(t.had(k, step - start) for t in turns) for k, before in enumerate(had)]
            weights = {**weights, **changed}
            exact = {name: exact_fraction(weights[name]) for name in self.names}
            phases.append((step, _turns(exact, self.tiers or {}, self.least or {}, self.batch_size), had))
        return phases

    def _phase(self, step: int) -> tuple[list[Turns], int, list[int]]:
        start, turns, had = next(phase for phase in reversed(self._phases) if phase[0] <= step)
        return turns, start, had

    def _slot(self, k: int, ordinal: int, shape: int) -> Slot:
        name = self.names[k]
        epoch, position = divmod(ordinal, self.sizes[name])
        index = permute(position, self.sizes[name], keys_of(name, self.seed, epoch))
        return Slot(name, index, epoch, shape)

    def _block(self, first: int, last: int) -> Int64[np.ndarray, "s b 3"]:
        phase, start, had = self._phase(first)
        turns = np.concatenate([turns.of_steps(first - start, last - start) for turns in phase], axis=1)
        # Sorted by source, the turns of one stand in a row; stable sorting keeps their order, and numpy does
        # it in one pass where 16 bits are enough.
        by_source = np.argsort(turns.ravel().astype(np.min_scalar_type(len(self.names))), kind="stable")
        counts = np.bincount(turns.ravel(), minlength=len(self.names))
        seen = [had[k] + sum(turns.had(k, first - start) for turns in phase) for k in range(len(self.names))]
        sizes = np.array(list(self.sizes.values()), np.int64)
        k, epochs, begins, lengths = _orders(np.array(seen, np.int64), counts, sizes)
        named = zip(k.tolist(), epochs.tolist(), strict=True)
        keys = np.array([keys_of(self.names[j], self.seed, epoch) for j, epoch in named], np.uint64)
        which = np.repeat(np.arange(len(k)), lengths)
        positions = np.arange(turns.size) + np.repeat(begins - np.cumsum(lengths) + lengths, lengths)
        indices = permute_all(positions, which, sizes[k], keys)
        rank = np.empty_like(by_source)
        rank[by_source] = np.arange(turns.size)
        chosen = rank[self._places(first, last)]
        order = which[chosen]
        found = np.empty((*chosen.shape, 3), np.int64)
        found[..., 0], found[..., 1], found[..., 2] = k[order], indices[chosen], epochs[order]
        return found

    def _places(self, first: int, last: int) -> Int64[np.ndarray, "s b"]:
        """Shuffle the places inside each batch; they count on from batch to batch."""
        keys = first_keys("batch", self.seed, range(first, last))
        order = np.argsort(scramble_all(keys[:, None] + np.arange(self.batch_size, dtype=np.uint64)), axis=1)
        order += np.arange(0, order.size, self.batch_size)[:, None]
        return order


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
        steps = max(1, BLOCK // self.plan.batch_size)
        for begin in range(base + first, base + self.steps_per_epoch, steps):
            block = self.plan.block(begin, min(begin + steps, base + self.steps_per_epoch))
            for step, batch in enumerate(block[:, self.rank :: self.world].tolist(), start=begin):
                shape = self.plan.shape(step)
                yield [Slot(self.plan.names[k], index, epoch, shape) for k, index, epoch in batch]


def _orders(
    seen: Int64[np.ndarray, " k"], counts: Int64[np.ndarray, " k"], sizes: Int64[np.ndarray, " k"]
) -> tuple[Int64[np.ndarray, " o"], ...]:
    """Cut what comes next of each source where an epoch of it ends.

    Args:
        seen: how often each source was seen before.
        counts: how many samples of each come now.
        sizes: samples of each source.

    Returns:
        Source, epoch, first position in this epoch, and number of samples, for each part.
    """
    before = seen // sizes
    parts = (seen + counts - 1) // sizes - before + 1
    k = np.repeat(np.arange(len(sizes)), parts)
    epochs = np.arange(len(k)) + np.repeat(before - np.cumsum(parts) + parts, parts)
    begins = np.maximum(seen[k], epochs * sizes[k])
    ends = np.minimum((seen + counts)[k], (epochs + 1) * sizes[k])
    return k, epochs, begins - epochs * sizes[k], ends - begins


def _turns(
    weights: Mapping[str, Fraction], tiers: Mapping[str, str], least: Mapping[str, int], batch_size: int
) -> list[Turns]:
    """Say who takes turns in each batch: tiers with places of their own first, then all for what is left."""
    everything = quanta_of(weights)
    total = sum(weights.values())
    left = {name: weight / total * batch_size for name, weight in weights.items()}
    found = []
    for tier, count in sorted(least.items()):
        own = {name: weight if tiers.get(name) == tier else Fraction() for name, weight in weights.items()}
        if count and not any(own.values()):
            reason = f"no source with a weight is of this tier, but {count} samples of every batch must be"
            raise ConfigError(reason, field=f"least.{tier}", hint="add such a source, or ask for none")
        if count:
            found.append(Turns(quanta_of(own, strict=False), count))
            share = sum(own.values())
            left = {name: max(rest - count * own[name] / share, Fraction()) for name, rest in left.items()}
    rest = batch_size - sum(turns.per_step for turns in found)
    if rest:
        found.append(Turns(quanta_of(left, strict=False) if found else everything, rest))
    return found


def _check_least(least: Mapping[str, int], tiers: Mapping[str, str], batch_size: int) -> None:
    for tier, count in least.items():
        if count < 0:
            raise ConfigError(f"must not be negative, got {count}", field=f"least.{tier}")
    if sum(least.values()) > batch_size:
        reason = f"{sum(least.values())} samples do not fit into batches of {batch_size}"
        raise ConfigError(reason, field="least", hint="ask for fewer, or raise batch_size")


def _check_sources(
    sizes: Mapping[str, int], weights: Mapping[str, float], curriculum: Sequence[Phase]
) -> None:
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
        used = any(phase.weights.get(name, 0) > 0 for phase in curriculum)
        if not (math.isfinite(weights[name]) and (weights[name] > 0 or (used and weights[name] == 0))):
            reason = f"must be positive and finite, got {weights[name]}"
            raise ConfigError(reason, field=f"{field}.weight", hint="leave the source out instead of 0")
    _check_curriculum(weights, curriculum)


def _check_curriculum(weights: Mapping[str, float], curriculum: Sequence[Phase]) -> None:
    before, now = 0, dict(weights)
    if not any(now.values()):
        raise ConfigError("no source has a weight at the first step", field="sources")
    for number, phase in enumerate(curriculum):
        field = f"curriculum.{number}"
        if phase.step <= before:
            raise ConfigError(f"must come after step {before}, got {phase.step}", field=f"{field}.step")
        for name, weight in phase.weights.items():
            if name not in weights:
                raise ConfigError("no such source in the mix", field=f"{field}.weights.{name}")
            if not (math.isfinite(weight) and weight >= 0):
                reason = f"must be finite and not negative, got {weight}"
                raise ConfigError(reason, field=f"{field}.weights.{name}")
        before, now = phase.step, {**now, **phase.weights}
        if not any(now.values()):
            raise ConfigError("leaves out all sources", field=f"{field}.weights")
