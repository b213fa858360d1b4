"""The mix follows its weights exactly, repeats nothing early, and can be entered at any step."""

import itertools
import math
import random
import time
import tracemalloc
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.errors import ConfigError
from depthmix.mixture import MixturePlan, MixtureSampler, Phase, Slot
from depthmix.shuffle import PIECE, permute, permute_all
from depthmix.turns import proportionate_turns

SIZES = {"web": 10, "kitti": 3, "planes": 7}
WEIGHTS = {"web": 2.0, "kitti": 1.0, "planes": 0.5}

keys = st.lists(st.integers(0, 2**64 - 1), min_size=6, max_size=6)
weights = st.lists(st.one_of(st.integers(1, 9), st.floats(0.01, 10)), min_size=1, max_size=8)


def made(batch_size: int = 6, seed: int = 0) -> MixturePlan:
    return MixturePlan(SIZES, WEIGHTS, batch_size, seed)


def named(values: list[float]) -> dict[str, float]:
    return {f"s{number}": value for number, value in enumerate(values)}


def test_the_order_is_this_one_for_ever() -> None:
    # Written down once: a change of this order breaks every checkpoint, so `describe` must change with it.
    assert made().describe()["order"] == 2
    order = [f"{slot.source[0]}{slot.index}{'*' * slot.epoch}" for slot in made().batch(0) + made().batch(7)]
    assert " ".join(order) == "p2 k1 w5 w4 w1 k0 w4** k2**** w7** k0**** p6 w5**"
    big = MixturePlan({"a": 100, "b": 10**6}, {"a": 1, "b": 1}, 6).batch(9)
    assert [slot.index for slot in big] == [238484, 7, 374327, 30, 469409, 54]


@given(size=st.integers(1, 300), keys=keys)
@settings(max_examples=60)
def test_permute_visits_every_sample_once(size: int, keys: list[int]) -> None:
    assert sorted(permute(position, size, keys) for position in range(size)) == list(range(size))


@pytest.mark.parametrize("size", [2, 3, 4])
def test_every_order_of_a_small_source_is_about_equally_likely(size: int) -> None:
    draw = random.Random(0)
    many_keys = [[draw.getrandbits(64) for _ in range(6)] for _ in range(1200)]
    orders = Counter(tuple(permute(p, size, keys) for p in range(size)) for keys in many_keys)
    expected = 1200 / math.factorial(size)
    assert len(orders) == math.factorial(size)
    assert all(abs(count - expected) < 5 * math.sqrt(expected) for count in orders.values())


@given(size=st.integers(1, 10**12), keys=keys, seed=st.integers(0, 99))
@settings(max_examples=60)
def test_many_positions_at_once_give_what_one_at_a_time_gives(size: int, keys: list[int], seed: int) -> None:
    positions = np.random.default_rng(seed).integers(0, size, 40)
    one_by_one = [permute(int(position), size, keys) for position in positions]
    which, all_keys = np.zeros(40, np.int64), np.array([keys], np.uint64)
    assert permute_all(positions, which, np.array([size]), all_keys).tolist() == one_by_one


def test_many_orders_at_once_short_and_long_are_each_whole() -> None:
    sizes = [*range(1, 140), 3 * PIECE // 2, 2 * PIECE + 1]
    all_keys = np.random.default_rng(0).integers(0, 2**64, (len(sizes), 6), np.uint64)
    which = np.repeat(np.arange(len(sizes)), sizes)
    positions = np.concatenate([np.arange(size) for size in sizes])
    found = permute_all(positions, which, np.array(sizes), all_keys)
    for order, size in enumerate(sizes):
        assert sorted(found[which == order].tolist()) == list(range(size))
    for place in range(0, len(found), 997):
        order = int(which[place])
        assert found[place] == permute(int(positions[place]), sizes[order], all_keys[order].tolist())


def test_neighbours_are_torn_apart_in_a_big_source() -> None:
    places = [permute(position, 100_003, range(6)) for position in range(2000)]
    steps = [abs(a - b) for a, b in itertools.pairwise(places)]
    assert sum(steps) / len(steps) == pytest.approx(100_003 / 3, rel=0.1)


@given(quanta=st.lists(st.integers(1, 60), min_size=1, max_size=9))
@settings(max_examples=100)
def test_no_prefix_of_the_turns_is_a_whole_turn_off(quanta: list[int]) -> None:
    turns, places = proportionate_turns(tuple(quanta))
    total, had = sum(quanta), [0] * len(quanta)
    for count, k in enumerate(turns, start=1):
        had[k] += 1
        assert all(abs(had[j] * total - quanta[j] * count) < total for j in range(len(quanta)))
    assert had == quanta
    assert [[turn for turn in range(total) if turns[turn] == k] for k in range(len(quanta))] == list(
        map(list, places)
    )


@given(quanta=st.lists(st.integers(0, 60), min_size=1, max_size=9).filter(any))
@settings(max_examples=100)
def test_of_the_sources_that_may_the_one_that_must_first_has_the_turn(quanta: list[int]) -> None:
    total, had, expected = sum(quanta), [0] * len(quanta), []
    for turn in range(total):
        may = [k for k, quantum in enumerate(quanta) if quantum and had[k] * total // quantum <= turn]
        first = min(may, key=lambda k: (math.ceil(Fraction((had[k] + 1) * total, quanta[k])), k))
        expected.append(first)
        had[first] += 1
    assert proportionate_turns(tuple(quanta))[0] == tuple(expected)


@given(values=weights, batch_size=st.integers(1, 16), seed=st.integers(0, 2**40))
@settings(max_examples=25)
def test_after_any_number_of_batches_no_source_is_a_whole_sample_off(
    values: list[float], batch_size: int, seed: int
) -> None:
    plan = MixturePlan(dict.fromkeys(named(values), 5), named(values), batch_size, seed)
    share, seen = plan.expected_share(), Counter[str]()
    for step in range(30):
        batch = plan.batch(step)
        assert len(batch) == batch_size
        seen.update(slot.source for slot in batch)
        count = (step + 1) * batch_size
        assert all(abs(seen[name] - share[name] * count) < 1 + 1e-9 for name in share)


@given(values=weights)
@settings(max_examples=60)
def test_shares_are_the_weights_over_their_sum(values: list[float]) -> None:
    plan = MixturePlan(dict.fromkeys(named(values), 1), named(values), 1)
    for name, share in plan.expected_share().items():
        assert share == pytest.approx(named(values)[name] / sum(values), abs=1 / 65536)
    assert sum(plan.expected_share().values()) == pytest.approx(1)


def test_short_decimal_weights_are_kept_exactly() -> None:
    share = MixturePlan({"a": 1, "b": 1, "c": 1}, {"a": 0.1, "b": 0.2, "c": 0.6}, 1).expected_share()
    assert share == {"a": float(Fraction(1, 9)), "b": float(Fraction(2, 9)), "c": float(Fraction(6, 9))}


@given(seed=st.integers(0, 2**40), size=st.integers(1, 25))
@settings(max_examples=30)
def test_a_source_is_seen_whole_before_anything_of_it_comes_again(seed: int, size: int) -> None:
    plan = MixturePlan({"one": size, "other": 4}, {"one": 3, "other": 1}, 4, seed)
    slots = [slot for step in range(40) for slot in sorted(plan.batch(step), key=lambda slot: slot.epoch)]
    mine = [slot for slot in slots if slot.source == "one"]
    for epoch in range(len(mine) // size):
        part = mine[epoch * size : (epoch + 1) * size]
        assert sorted(slot.index for slot in part) == list(range(size))
        assert {slot.epoch for slot in part} == {epoch}


def test_each_epoch_seed_and_source_has_an_order_of_its_own() -> None:
    sizes, even = {"a": 50, "b": 50}, {"a": 1.0, "b": 1.0}
    orders = set()
    for seed in (0, 1):
        slots = [slot for step in range(20) for slot in MixturePlan(sizes, even, 10, seed).batch(step)]
        for name, epoch in itertools.product(sizes, (0, 1)):
            part = [slot.index for slot in slots if (slot.source, slot.epoch) == (name, epoch)]
            assert len(part) == 50
            orders.add(tuple(part))
    assert len(orders) == 8


def test_sources_do_not_keep_their_places_inside_the_batch() -> None:
    firsts = Counter(made().batch(step)[0].source for step in range(300))
    assert all(firsts[name] > 20 for name in SIZES)


@given(step=st.integers(0, 10**12), batch_size=st.integers(1, 12))
@settings(max_examples=40)
def test_any_step_can_be_entered_directly(step: int, batch_size: int) -> None:
    one, same = made(batch_size), made(batch_size)
    same.batch(step + 1)
    assert one.batch(step) == same.batch(step)


def test_the_order_in_which_sources_are_listed_does_not_matter() -> None:
    other = MixturePlan(dict(reversed(SIZES.items())), dict(reversed(WEIGHTS.items())), 6)
    assert other == made()
    assert other.batch(3) == made().batch(3)
    assert other.fingerprint() == made().fingerprint()


def test_another_plan_has_another_fingerprint() -> None:
    plans = [
        made(),
        made(batch_size=7),
        made(seed=1),
        MixturePlan({**SIZES, "web": 11}, WEIGHTS, 6),
        MixturePlan(SIZES, {**WEIGHTS, "web": 2.5}, 6),
    ]
    assert len({plan.fingerprint() for plan in plans}) == len(plans)


def test_a_billion_samples_in_fifty_sources_cost_nothing() -> None:
    sizes = {f"s{number}": 10**9 - number for number in range(50)}
    tracemalloc.start()
    began = time.process_time()
    plan = MixturePlan(sizes, {name: math.sqrt(size) % 7 + 0.1 for name, size in sizes.items()}, 96)
    batches = [plan.batch(step) for step in (0, 10**6, 10**9)]
    used, peak = time.process_time() - began, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert all(0 <= slot.index < sizes[slot.source] for batch in batches for slot in batch)
    assert peak < 16 << 20
    assert used < 5  # measured: 0.1 s, and several times that under tracemalloc


TIERS = {"web": "LOW", "kitti": "HIGH", "planes": "WEAK"}


@st.composite
def plans(draw: st.DrawFn) -> MixturePlan:
    """Any plan: with places for tiers, or without, with changes of weights, or without."""
    tenths = st.integers(1, 40).map(lambda number: number / 10)
    values = draw(st.lists(st.one_of(st.integers(1, 9), tenths), min_size=1, max_size=6))
    names = list(named(values))
    sizes = {name: draw(st.one_of(st.integers(1, 80), st.integers(1, 10**9))) for name in names}
    tiers = {name: draw(st.sampled_from(["LOW", "HIGH"])) for name in names}
    batch_size = draw(st.integers(2, 12))
    wanted = [tier for tier in sorted(set(tiers.values())) if draw(st.booleans())]
    least = {tier: draw(st.integers(0, batch_size // 2)) for tier in wanted}
    steps = sorted(draw(st.sets(st.integers(1, 40), max_size=3)))
    changes = [Phase(step, {draw(st.sampled_from(names)): draw(tenths)}) for step in steps]
    return MixturePlan(sizes, named(values), batch_size, draw(st.integers(0, 2**40)), tiers, least, changes)


@given(plan=plans(), first=st.one_of(st.integers(0, 45), st.integers(0, 10**9)), count=st.integers(0, 12))
@settings(max_examples=150)
def test_a_block_is_its_batches(plan: MixturePlan, first: int, count: int) -> None:
    block = plan.block(first, first + count)
    assert block.shape == (count, plan.batch_size, 3)
    expected = [
        [[plan.names.index(slot.source), slot.index, slot.epoch] for slot in plan.batch(step)]
        for step in range(first, first + count)
    ]
    assert block.tolist() == expected


@given(plan=plans())
@settings(max_examples=100)
def test_nothing_comes_again_before_all_of_its_source_came_whatever_the_phases(plan: MixturePlan) -> None:
    seen: dict[str, Counter[tuple[int, int]]] = {name: Counter() for name in plan.names}
    for step in range(50):
        for slot in plan.batch(step):
            seen[slot.source][slot.epoch, slot.index] += 1
    for name, found in seen.items():
        assert set(found.values()) <= {1}
        count = len(found)
        epochs = Counter(epoch for epoch, _ in found)
        assert epochs == Counter(ordinal // plan.sizes[name] for ordinal in range(count))


@given(plan=plans())
@settings(max_examples=100)
def test_every_batch_holds_what_the_tiers_are_promised(plan: MixturePlan) -> None:
    assert plan.least is not None
    assert plan.tiers is not None
    for step in range(0, 60, 7):
        found = Counter(plan.tiers[slot.source] for slot in plan.batch(step))
        assert all(found[tier] >= count for tier, count in plan.least.items())


@given(plan=plans())
@settings(max_examples=60)
def test_what_is_drawn_is_what_is_expected_whatever_the_phases(plan: MixturePlan) -> None:
    expected, seen = Counter[str](), Counter[str]()
    for step in range(50):
        seen.update(slot.source for slot in plan.batch(step))
        for name, share in plan.expected_share(step).items():
            expected[name] += share * plan.batch_size  # type: ignore[assignment]
    lanes = (1 + len(plan.least or {})) * (1 + len(plan.curriculum))
    assert all(abs(seen[name] - expected[name]) < lanes + 1e-6 for name in plan.names)


def test_places_for_a_tier_leave_the_shares_alone_where_they_can() -> None:
    plain, promised = made(7), MixturePlan(SIZES, WEIGHTS, 7, 0, TIERS, {"HIGH": 1, "WEAK": 1})
    assert promised.expected_share() == pytest.approx(plain.expected_share())
    more = MixturePlan(SIZES, WEIGHTS, 7, 0, TIERS, {"WEAK": 3}).expected_share()
    assert more["planes"] == pytest.approx(3 / 7)
    assert more["web"] / more["kitti"] == pytest.approx(2)


def test_a_source_may_come_and_go_with_the_curriculum() -> None:
    plan = MixturePlan(
        SIZES,
        {**WEIGHTS, "kitti": 0},
        6,
        0,
        curriculum=[Phase(5, {"kitti": 1, "web": 0}), Phase(9, {"web": 2.0})],
    )
    found = [{slot.source for slot in plan.batch(step)} for step in range(12)]
    assert set().union(*found[:5]) == {"web", "planes"}
    assert set().union(*found[5:9]) == {"kitti", "planes"}
    assert plan.expected_share(11) == made().expected_share()
    assert plan.fingerprint() != made().fingerprint()


@pytest.mark.parametrize("world", [1, 2, 3, 6])
def test_any_number_of_ranks_sees_the_same_global_batches(world: int) -> None:
    samplers = [MixtureSampler(made(), 5, rank, world) for rank in range(world)]
    for epoch in (0, 2):
        for sampler in samplers:
            sampler.set_epoch(epoch)
        for step, parts in enumerate(zip(*samplers, strict=True)):
            together: list[Slot | None] = [None] * 6
            for rank, part in enumerate(parts):
                together[rank::world] = part
            assert together == made().batch(epoch * 5 + step)


def test_the_sampler_begins_where_it_is_told_once() -> None:
    sampler = MixtureSampler(made(), 5)
    whole = list(sampler)
    sampler.start = 3
    assert list(sampler) == whole[3:]
    assert list(sampler) == whole
    assert len(sampler) == 5


def test_lightning_finds_set_epoch() -> None:
    from lightning.fabric.utilities.data import _set_sampler_epoch
    from torch.utils.data import DataLoader

    sampler = MixtureSampler(made(), 5)
    _set_sampler_epoch(DataLoader([0], batch_sampler=sampler), 4)  # type: ignore[arg-type]
    assert sampler.epoch == 4


@pytest.mark.parametrize(
    ("sizes", "weights", "more", "text"),
    [
        ({}, {}, {}, "sources: the mix has no source; name at least one prepared source"),
        ({"a": 0}, {"a": 1}, {}, "sources.a: has no samples; prepare it again, or leave it out"),
        ({"a/b": 1}, {"a/b": 1}, {}, "sources.a/b: a name holds letters, digits, _ and - only; rename it"),
        ({"a": 1}, {"b": 1}, {}, "sources: ['a', 'b'] must have both a size and a weight"),
        ({"a": 1}, {"a": 0}, {}, "sources.a.weight: must be positive and finite, got 0; leave"),
        ({"a": 1}, {"a": -1}, {}, "sources.a.weight: must be positive and finite, got -1"),
        ({"a": 1}, {"a": math.nan}, {}, "sources.a.weight: must be positive and finite, got nan"),
        ({"a": 1}, {"a": math.inf}, {}, "sources.a.weight: must be positive and finite, got inf"),
        ({"a": 1, "b": 1}, {"a": 1, "b": 1e-9}, {}, "sources.b.weight: 1e-09 is less than 1/65536 of all"),
        ({"a": 1}, {"a": 1}, {"batch_size": 0}, "batch_size: must be at least 1, got 0"),
        ({"a": 1}, {"a": 1}, {"seed": -1}, "seed: must not be negative, got -1"),
        ({"a": 1}, {"a": 1}, {"least": {"HIGH": -1}}, "least.HIGH: must not be negative, got -1"),
        ({"a": 1}, {"a": 1}, {"least": {"HIGH": 5}}, "least: 5 samples do not fit into batches of 4"),
        ({"a": 1}, {"a": 1}, {"least": {"HIGH": 1}}, "least.HIGH: no source with a weight is of this tier"),
        (
            {"a": 1},
            {"a": 1},
            {"curriculum": [Phase(0, {"a": 2})]},
            "curriculum.0.step: must come after",
        ),
        ({"a": 1}, {"a": 1}, {"curriculum": [Phase(3, {"b": 2})]}, "curriculum.0.weights.b: no such source"),
        (
            {"a": 1},
            {"a": 1},
            {"curriculum": [Phase(3, {"a": -2})]},
            "curriculum.0.weights.a: must be",
        ),
        (
            {"a": 1},
            {"a": 1},
            {"curriculum": [Phase(3, {"a": 0})]},
            "curriculum.0.weights: leaves out",
        ),
    ],
)
def test_an_impossible_mix_is_named(
    sizes: dict[str, int], weights: dict[str, float], more: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        MixturePlan(sizes, weights, **{"batch_size": 4, **more})
    assert str(caught.value).startswith(text)


def test_a_batch_that_cannot_be_split_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        MixtureSampler(made(), 5, rank=0, world=4)
    reason = "batch_size: 6 samples cannot be split evenly over 4 processes; it counts all processes; take 8"
    assert str(caught.value) == reason
    with pytest.raises(ConfigError, match="steps_per_epoch: must be at least 1, got 0"):
        MixtureSampler(made(), 0)
