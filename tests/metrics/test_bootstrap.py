"""Intervals hold what they promise on simulated data, and agree with loops over draws."""

import numpy as np
import pytest

from depthmix.metrics import bootstrap, image_values, mean_interval, paired_difference
from depthmix.metrics.bootstrap import mean_intervals


def loop_over_draws(weights: list[np.ndarray], values: np.ndarray) -> list[float]:
    means = []
    for draw in weights:
        total = count = 0.0
        for weight, value in zip(draw, values, strict=True):
            if not np.isnan(value):
                total, count = total + weight * value, count + weight
        means.append(total / count)
    return means


def test_a_mean_and_its_interval_agree_with_a_loop_over_draws():
    values = np.random.default_rng(1).gamma(2, size=12)
    values[3] = np.nan
    draws = np.random.default_rng(7).multinomial(11, np.full(12, 1 / 12), size=300)
    low, high = np.quantile(loop_over_draws(list(draws), values), [0.05, 0.95])
    found = mean_interval(values, level=0.9, draws=300, seed=7)
    assert found == pytest.approx((np.nanmean(values), low, high))


def test_a_difference_agrees_with_a_loop_over_draws_seeds_and_images():
    random = np.random.default_rng(2)
    a, b = random.random((3, 7)), random.random((3, 7))
    a[1, 2], b[0, 5] = np.nan, np.nan
    seeds, images = np.random.default_rng(5).spawn(2)
    means = []
    rows = seeds.multinomial(2, np.full(3, 1 / 3), size=200)
    columns = images.multinomial(6, np.full(7, 1 / 7), size=200)
    for row_weights, column_weights in zip(rows, columns, strict=True):
        total = count = 0.0
        for s, row_weight in enumerate(row_weights):
            for n, column_weight in enumerate(column_weights):
                if not np.isnan(a[s, n] - b[s, n]):
                    total += row_weight * column_weight * (a[s, n] - b[s, n])
                    count += row_weight * column_weight
        means.append(total / count)
    low, high = np.quantile(means, [0.025, 0.975])
    found = paired_difference([a], [b], draws=200, seed=5)
    assert found == pytest.approx((np.nanmean(a - b), low, high))


def test_pieces_of_draws_give_what_all_at_once_give(monkeypatch: pytest.MonkeyPatch):
    values = np.random.default_rng(0).random((2, 9))
    pair, mean = paired_difference([values], [values[::-1] ** 2]), mean_interval(values[0])
    monkeypatch.setattr(bootstrap, "NUMBERS", 50)
    assert paired_difference([values], [values[::-1] ** 2]) == pytest.approx(pair)
    assert mean_interval(values[0]) == pytest.approx(mean)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = np.random.default_rng(0).random(20)
    assert mean_interval(values) == mean_interval(values)
    assert mean_interval(values) != mean_interval(values, seed=1)


def test_ninety_percent_intervals_hold_the_truth_about_nine_times_of_ten():
    random = np.random.default_rng(3)
    samples = 1 + random.exponential(size=(40, 400))  # skewed, as errors are; the mean is 2
    low, high = mean_intervals(samples, level=0.9, draws=800)
    held = np.mean((low <= 2) & (high >= 2))
    assert 0.83 <= held <= 0.94  # 40 values of a skewed law: a little below 0.9 is what theory says


def simulated(
    random: np.random.Generator, seeds: int, images: int, gain: float
) -> tuple[np.ndarray, np.ndarray]:
    """Recipe a is worse by `gain`; seeds and images differ more than that, and both recipes feel it."""
    hard = random.normal(0, 1.0, images)
    lucky = random.normal(0, 0.5, (seeds, 1))
    apart = gain + random.normal(0, 0.1, images) + random.normal(0, 0.1, (seeds, 1))
    b = 3 + hard + lucky + random.normal(0, 0.1, (seeds, images))
    return b + apart + random.normal(0, 0.1, (seeds, images)), b


@pytest.mark.parametrize(("seeds", "least"), [(3, 0.75), (5, 0.81), (8, 0.84)])
def test_ninety_percent_intervals_of_a_difference_are_a_little_too_narrow_for_few_seeds(
    seeds: int, least: float
):
    random = np.random.default_rng(4)
    held = []
    for _ in range(200):
        a, b = simulated(random, seeds, 30, 0.3)
        found = paired_difference([a], [b], level=0.9, draws=400)
        held.append(found.low <= 0.3 <= found.high)
    assert least <= np.mean(held) <= 0.96


def test_pairs_find_a_difference_that_drowns_in_hard_images():
    a, b = simulated(np.random.default_rng(5), 5, 60, 0.3)
    found = paired_difference([a], [b])
    assert found.low > 0
    shuffled = paired_difference([a], [np.random.default_rng(0).permuted(b, axis=1)])
    assert shuffled.high - shuffled.low > 2 * (found.high - found.low)
    assert paired_difference([b], [a]) == pytest.approx((-found.mean, -found.high, -found.low))


def test_sets_weigh_the_same_and_share_the_drawn_seeds():
    random = np.random.default_rng(0)
    a = [random.normal(0.1, 0.2, (3, n)) + random.normal(0, 0.1, (3, 1)) for n in (12, 30)]
    b = [random.normal(0.0, 0.2, one.shape) for one in a]
    drawn = []
    for _ in range(4000):
        chosen = random.integers(3, size=2)
        means = []
        for x, y in zip(a, b, strict=True):
            images = random.integers(x.shape[1], size=x.shape[1] - 1)
            means.append((x - y)[np.ix_(chosen, images)].mean())
        drawn.append(np.mean(means))
    found = paired_difference(a, b, draws=20_000)
    assert found.mean == pytest.approx(np.mean([(x - y).mean() for x, y in zip(a, b, strict=True)]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    np.testing.assert_allclose((found.low, found.high), (low, high), atol=0.1 * (high - low))


def test_seeds_that_disagree_widen_the_interval_however_many_images_agree():
    seeds = np.array([[-1.0], [0.0], [1.0]])
    found = paired_difference([np.tile(seeds, (1, 10_000))], [np.zeros((3, 10_000))])
    assert found.low < -0.6
    assert found.high > 0.6


def test_hard_images_that_all_seeds_share_do_not_average_out():
    wide, narrow = (np.tile(np.random.default_rng(0).normal(size=25), (s, 1)) for s in (50, 1))
    found = [paired_difference([x], [np.zeros_like(x)]) for x in (wide, narrow)]
    assert found[0].high - found[0].low == pytest.approx(found[1].high - found[1].low, rel=0.1)


def test_what_cannot_be_averaged_is_nan_or_refused():
    nothing = mean_interval(np.full(3, np.nan))
    assert np.isnan(nothing).all()
    assert np.isnan(mean_interval(np.zeros(0))).all()
    table = np.zeros((2, 3))
    for other in ([table[:, :2]], [table, table], []):
        with pytest.raises(
            ValueError, match=r"`a` and `b` must have the same sets of \(seeds, images\), got"
        ):
            paired_difference([table], other)
    with pytest.raises(ValueError, match="the same sets"):
        paired_difference([table, table[:1]], [table, table[:1]])
    assert np.isnan(paired_difference([table, table], [table, table * np.nan])).all()
    with pytest.raises(ValueError, match=r"`level` must be in \(0, 1\), got 95"):
        mean_interval(table[0], level=95)
    with pytest.raises(ValueError, match="`draws` must be at least 1, got 0"):
        mean_interval(table[0], draws=0)


def rows_of(*names: str, value: float = 1.0) -> list[dict]:
    return [
        {"set": "rooms", "alignment": alignment, "image": name, "rmse": value + i if i else None}
        for alignment in ("none", "median")
        for i, name in enumerate(names)
    ]


def test_values_of_seeds_are_put_side_by_side_by_the_names_of_images():
    runs = [rows_of("a", "b", "c"), rows_of("a", "b", "c", value=5)[::-1]]
    order, table = image_values(runs, alignment="median", metric="rmse")
    assert order == [("rooms", "a"), ("rooms", "b"), ("rooms", "c")]
    np.testing.assert_array_equal(table, [[np.nan, 2, 3], [np.nan, 6, 7]])
    assert image_values(runs, alignment="none", metric="rmse", sets=["streets"])[1].shape == (2, 0)
    with pytest.raises(ValueError, match="run 1 does not hold the images of run 0: rooms/c is in one only"):
        image_values([rows_of("a", "b", "c"), rows_of("a", "b")], alignment="none", metric="rmse")
    with pytest.raises(ValueError, match="a run holds an image twice"):
        image_values([rows_of("a", "a")], alignment="none", metric="rmse")
