"""Batches of several sizes: each has one, in a random order in which every size has its share."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.errors import ConfigError
from depthmix.mixture import MixturePlan, MixtureSampler
from depthmix.shapes import Shape, shape_at, shape_shares

WIDE, TALL, SQUARE = Shape(12, 16, 2.0), Shape(16, 12), Shape(14, 14, 0.5)
SHAPES = [WIDE, TALL, SQUARE]


def plan(**more: Any) -> MixturePlan:
    return MixturePlan({"a": 10, "b": 4}, {"a": 2.0, "b": 1.0}, 6, **{"shapes": SHAPES, **more})


@given(weights=st.lists(st.integers(1, 9), min_size=1, max_size=5), seed=st.integers(0, 2**40))
@settings(max_examples=60)
def test_every_round_holds_each_shape_by_its_weight(weights: list[int], seed: int) -> None:
    shapes = [Shape(8 + number, 8, weight / 10) for number, weight in enumerate(weights)]
    shares = shape_shares(shapes)
    for start in (0, 7 * sum(weights)):
        found = Counter(shape_at(shapes, seed, step) for step in range(start, start + sum(weights)))
        assert [found[k] for k in range(len(weights))] == weights
    assert shares == pytest.approx([weight / sum(weights) for weight in weights])


def test_rounds_and_seeds_have_orders_of_their_own() -> None:
    rounds = {tuple(shape_at(SHAPES, seed, 7 * n + k) for k in range(7)) for seed in (0, 1) for n in range(9)}
    assert len(rounds) > 9


def test_all_rows_of_a_batch_have_its_shape_and_the_mix_stays_what_it_is() -> None:
    for step in range(40):
        slots = plan().batch(step)
        assert {slot.shape for slot in slots} == {plan().shape(step)}
        assert [replace(slot, shape=0) for slot in slots] == plan(shapes=()).batch(step)


@pytest.mark.parametrize("world", [1, 2])
def test_the_sampler_of_every_rank_gives_the_shapes_of_the_plan(world: int) -> None:
    for rank in range(world):
        sampler = MixtureSampler(plan(), 10, rank, world)
        sampler.set_epoch(3)
        sampler.start = 4
        assert list(sampler) == [plan().batch(step)[rank::world] for step in range(34, 40)]


def test_shapes_take_part_in_what_the_order_is_made_from() -> None:
    others = [
        plan(shapes=()),
        plan(shapes=SHAPES[:2]),
        plan(shapes=[replace(WIDE, weight=1.0), TALL, SQUARE]),
    ]
    assert len({one.fingerprint() for one in [plan(), *others]}) == 4
    assert "shapes" not in plan(shapes=()).describe()


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ([Shape(0, 8)], "shapes.0.height: must be a positive number of pixels, got 0"),
        ([WIDE, Shape(8, -8)], "shapes.1.width: must be a positive number of pixels, got -8"),
        ([Shape(8, 8, 0.0)], "shapes.0.weight: must be positive and finite, got 0.0; leave the shape out"),
        ([Shape(8, 8, float("nan"))], "shapes.0.weight: must be positive and finite, got nan"),
        ([WIDE, TALL, replace(WIDE, weight=3.0)], "shapes.2: 12 x 16 is listed twice; give it the sum"),
        (
            [WIDE, replace(TALL, weight=1e-9)],
            "shapes.16x12.weight: 1e-09 is less than 1/65536 of all weights",
        ),
    ],
)
def test_impossible_shapes_are_named(shapes: list[Shape], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(shapes=shapes)
    assert str(caught.value).startswith(said)
