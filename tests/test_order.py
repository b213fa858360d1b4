"""One seed, one order: for any sources, world size, number of workers and step at which a run is resumed.

What must come out is worked out here a second time, sample by sample and without blocks.
"""

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from depthmix.mixture import MixturePlan, MixtureSampler, Phase, Slot
from depthmix.shapes import Shape
from depthmix.shuffle import keys_of, permute, scramble
from depthmix.turns import proportionate_turns


@st.composite
def runs(draw: st.DrawFn) -> dict[str, Any]:
    """Any mix, split over any world, read by any number of workers, resumed at any step of any epoch."""
    names = [f"s{number}" for number in range(draw(st.integers(1, 5)))]
    world = draw(st.sampled_from([1, 2, 3, 4]))
    return {
        "sizes": {name: draw(st.one_of(st.integers(1, 60), st.integers(1, 10**9))) for name in names},
        "quanta": {name: draw(st.integers(1, 9)) for name in names},
        "batch": world * draw(st.integers(1, 4)),
        "seed": draw(st.integers(0, 2**40)),
        "world": world,
        "workers": draw(st.integers(0, 4)),
        "steps": draw(st.integers(1, 8)),
        "epoch": draw(st.one_of(st.integers(0, 3), st.integers(0, 10**6))),
        "resumed": draw(st.integers(0, 8)),
        "shapes": draw(st.lists(st.integers(1, 4), max_size=3)),  # the weight of each
    }


def expected(run: dict[str, Any], step: int) -> list[Slot]:
    """Return one global batch from the definition: turns in proportion, orders by name, seed and epoch."""
    names = sorted(run["sizes"])
    quanta = [run["quanta"][name] for name in names]
    turns, _ = proportionate_turns(tuple(_reduced(quanta)))
    shape = expected_shape(run, step)
    slots = []
    for turn in range(step * run["batch"], (step + 1) * run["batch"]):
        k = turns[turn % len(turns)]
        before = turn // len(turns) * turns.count(k) + turns[: turn % len(turns)].count(k)
        size = run["sizes"][names[k]]
        epoch, place = divmod(before, size)
        index = permute(place, size, keys_of(names[k], run["seed"], epoch))
        slots.append(Slot(names[k], index, epoch, shape))
    key = keys_of("batch", run["seed"], step)[0]
    return [slot for _, slot in sorted(enumerate(slots), key=lambda pair: scramble(key + pair[0]))]


def expected_shape(run: dict[str, Any], step: int) -> int:
    """Return the shape of one global batch: turns in proportion, in an order of each round."""
    if not run["shapes"]:
        return 0
    turns, _ = proportionate_turns(tuple(_reduced(run["shapes"])))
    number, place = divmod(step, len(turns))
    return turns[permute(place, len(turns), keys_of("shape", run["seed"], number))]


def _reduced(quanta: list[int]) -> list[int]:
    common = math.gcd(*quanta)
    return [quantum // common for quantum in quanta]


def read(run: dict[str, Any], rank: int) -> list[list[Slot]]:
    """Read what one rank gets behind a checkpoint, with workers that take batches in turn, as torch's do."""
    shapes = [Shape(8, 8 + number, float(weight)) for number, weight in enumerate(run["shapes"])]
    weights = {name: float(quanta) for name, quanta in run["quanta"].items()}
    plan = MixturePlan(run["sizes"], weights, run["batch"], run["seed"], shapes=shapes)
    sampler = MixtureSampler(plan, run["steps"], rank, run["world"])
    sampler.set_epoch(run["epoch"])
    sampler.start = min(run["resumed"], run["steps"])
    batches = list(sampler)
    workers = run["workers"]
    if not workers:
        return batches
    queues = [batches[worker::workers] for worker in range(workers)]
    return [queues[place % workers][place // workers] for place in range(len(batches))]


def check(run: dict[str, Any]) -> None:
    base, first = run["epoch"] * run["steps"], min(run["resumed"], run["steps"])
    ranks = [read(run, rank) for rank in range(run["world"])]
    assert {len(batches) for batches in ranks} == {run["steps"] - first}
    for place, parts in enumerate(zip(*ranks, strict=True)):
        whole: list[Slot | None] = [None] * run["batch"]
        for rank, part in enumerate(parts):
            whole[rank :: run["world"]] = part
        assert whole == expected(run, base + first + place)


@given(run=runs())
@settings(max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
def test_one_seed_gives_one_order(run: dict[str, Any]) -> None:
    check(run)


@pytest.mark.slow  # a minute
@given(run=runs())
@settings(max_examples=10_000, suppress_health_check=[HealthCheck.too_slow])
def test_one_seed_gives_one_order_ten_thousand_times(run: dict[str, Any]) -> None:
    check(run)


def test_a_change_of_weights_between_the_checkpoint_and_the_end_changes_nothing_before_it() -> None:
    sizes, weights = {"a": 50, "b": 7}, {"a": 2.0, "b": 1.0}
    plain = MixturePlan(sizes, weights, 6, 3)
    changed = MixturePlan(sizes, weights, 6, 3, curriculum=[Phase(5, {"b": 4.0})])
    assert [plain.batch(step) for step in range(5)] == [changed.batch(step) for step in range(5)]
    assert plain.batch(5) != changed.batch(5)
