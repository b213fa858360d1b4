"""Means over images, families and seeds; comparisons; and what they look like in text."""

from typing import Any

import numpy as np
import pytest

from depthmix.bench.compare import against, compare, wins
from depthmix.bench.measuring import ALIGNMENTS
from depthmix.bench.results import MEAN, Results, cell, summary

SETS = ("rooms", "streets", "real")
FAMILIES = ("rooms", "streets")


def rows_of(
    rooms: list[float | None], streets: list[float | None], delta1: float = 0.5
) -> list[dict[str, Any]]:
    """Rows of one run: `abs_rel` by image, the same in every alignment."""
    values = {"rooms": rooms, "streets": streets, "real": [9.0]}
    return [
        {"set": name, "alignment": alignment, "image": f"{name}/{k}", "abs_rel": value, "delta1": delta1}
        for name, images in values.items()
        for alignment in ALIGNMENTS
        for k, value in enumerate(images)
    ]


def results_of(**recipes: dict[int, list[dict[str, Any]]]) -> Results:
    curves = {name: {seed: [] for seed in seeds} for name, seeds in recipes.items()}
    return Results(recipes, SETS, FAMILIES, curves, {})


TWO = results_of(
    ours={0: rows_of([1.0, 3.0], [1.0], 0.9), 1: rows_of([2.0, 4.0], [2.0], 0.9)},
    theirs={0: rows_of([2.0, 4.0], [2.0]), 1: rows_of([3.0, 5.0], [3.0])},
    ramp={0: rows_of([7.0, 7.0], [7.0])},
)


def test_the_mean_gives_every_family_the_same_weight_and_leaves_the_real_pair_out():
    assert TWO.by_seed("ours", "rooms", "none", "abs_rel") == [2.0, 3.0]
    assert TWO.by_seed("ours", MEAN, "none", "abs_rel") == [1.5, 2.5]
    assert TWO.by_seed("ours", "real", "none", "abs_rel") == [9.0, 9.0]


def test_an_image_that_cannot_bear_a_metric_is_no_image_of_it():
    results = results_of(ours={0: rows_of([1.0, None], [None])})
    assert results.by_seed("ours", "rooms", "none", "abs_rel") == [1.0]
    assert np.isnan(results.by_seed("ours", "streets", "none", "abs_rel")).all()
    lines = {row["set"]: row for row in summary(results) if row["alignment"] == "none"}
    assert lines["rooms"]["abs_rel"] == 1.0
    assert lines["streets"]["abs_rel"] is None


def test_the_same_column_is_the_same_image_whatever_the_order_of_the_rows():
    rows = rows_of([1.0, 3.0], [1.0])
    turned = [row for row in reversed(rows) if row["image"] != "rooms/0" or row["alignment"] != "none"]
    results = results_of(ours={0: rows}, theirs={0: turned})
    np.testing.assert_array_equal(results.images("ours", "rooms", "median", "abs_rel"), [[1, 3]])
    np.testing.assert_array_equal(results.images("theirs", "rooms", "median", "abs_rel"), [[1, 3]])
    np.testing.assert_array_equal(results.images("theirs", "rooms", "none", "abs_rel"), [[np.nan, 3]])


def test_the_table_holds_mean_and_deviation_over_seeds():
    [row] = [
        row
        for row in summary(TWO)
        if (row["recipe"], row["set"], row["alignment"]) == ("ours", MEAN, "median")
    ]
    assert (row["abs_rel"], row["seeds"]) == (2.0, 2)
    assert row["abs_rel_sd"] == pytest.approx(2**-0.5)


def test_cells_have_the_digits_that_can_be_read():
    assert (cell(None, None), cell(0.12345, None), cell(34.567, 1.2345)) == ("-", "0.123", "34.57 ± 1.23")


def test_smaller_errors_and_larger_shares_are_better():
    rows = list(compare(TWO, ["abs_rel", "delta1"]))
    verdicts = {
        (row["metric"], row["verdict"])
        for row in rows
        if (row["recipe"], row["other"]) == ("ours", "theirs") and row["set"] != "real"
    }
    assert verdicts == {("abs_rel", "better"), ("delta1", "better")}
    [row] = [
        row
        for row in rows
        if (row["recipe"], row["other"], row["set"], row["alignment"], row["metric"])
        == ("ours", "theirs", MEAN, "none", "abs_rel")
    ]
    assert (row["difference"], row["low"], row["high"], row["seeds"]) == (-1, -1, -1, 2)


def test_a_difference_that_may_be_none_is_level():
    rows = list(compare(TWO, ["abs_rel"]))
    assert {row["verdict"] for row in rows if row["set"] == "real"} == {"level"}


def test_a_baseline_without_seeds_is_held_against_every_seed():
    rows = against("ramp", list(compare(TWO, ["abs_rel"])))
    assert {row["seeds"] for row in rows} == {2}
    [row] = [r for r in rows if (r["other"], r["set"], r["alignment"]) == ("ours", MEAN, "none")]
    assert (row["difference"], row["verdict"]) == (5.0, "worse")
    turned = results_of(**{name: TWO.rows[name] for name in ("ramp", "ours")})
    [row] = [r for r in compare(turned, ["abs_rel"]) if (r["set"], r["alignment"]) == (MEAN, "none")]
    assert (row["recipe"], row["difference"], row["seeds"]) == ("ramp", 5.0, 2)


def test_only_seeds_that_both_have_are_compared():
    results = results_of(
        ours={0: rows_of([1.0], [1.0]), 1: rows_of([1.0], [1.0])}, theirs={1: rows_of([2.0], [2.0])}
    )
    assert {row["seeds"] for row in compare(results, ["abs_rel"])} == {1}
    apart = results_of(ours={0: rows_of([1.0], [1.0])}, theirs={1: rows_of([2.0], [2.0])})
    assert list(compare(apart, ["abs_rel"])) == []


def test_wins_and_losses_count_the_others():
    rows = list(compare(TWO, ["abs_rel"]))
    counted = wins(TWO.recipes, rows, MEAN, "none", "abs_rel")
    assert counted == {"ours": (2, 0), "theirs": (1, 1), "ramp": (0, 2)}
