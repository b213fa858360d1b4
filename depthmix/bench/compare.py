"""Every recipe against every other: paired differences with intervals, wins and losses."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from depthmix.bench.measuring import ALIGNMENTS
from depthmix.bench.recipes import BASELINES
from depthmix.bench.results import MEAN, SHOWN, Results, lower_is_better
from depthmix.metrics import paired_difference

__all__ = ["against", "compare", "wins"]

DIGITS: Final = 6


def compare(results: Results, metrics: Sequence[str] = SHOWN) -> Iterator[dict[str, Any]]:
    """Give the paired difference of every two recipes, for each set, alignment and metric.

    Yields:
        recipe, other, set, alignment, metric, seeds; the difference recipe - other with low and high of its
        95 % interval; the verdict on the recipe: better, worse, or level where the interval holds 0.
    """
    for recipe, other in combinations(results.recipes, 2):
        seeds = _shared(results, recipe, other)
        if not seeds:
            continue
        for name in (MEAN, *results.sets):
            for alignment in ALIGNMENTS:
                for metric in metrics:
                    names = results.families if name == MEAN else (name,)
                    ours, theirs = (
                        [_rows(results, one, each, alignment, metric, seeds) for each in names]
                        for one in (recipe, other)
                    )
                    difference, low, high = paired_difference(ours, theirs)
                    if difference == difference:
                        yield {
                            "recipe": recipe,
                            "other": other,
                            "set": name,
                            "alignment": alignment,
                            "metric": metric,
                            "seeds": len(seeds),
                            "difference": round(difference, DIGITS),
                            "low": round(low, DIGITS),
                            "high": round(high, DIGITS),
                            "verdict": _verdict(low, high, metric),
                        }


def against(recipe: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of one recipe against all others, turned round where it stood second."""
    turned = {"better": "worse", "worse": "better", "level": "level"}
    found = []
    for row in rows:
        if row["recipe"] == recipe:
            found.append(dict(row))
        elif row["other"] == recipe:
            sign = {"difference": -row["difference"], "low": -row["high"], "high": -row["low"]}
            names = {"recipe": recipe, "other": row["recipe"], "verdict": turned[row["verdict"]]}
            found.append({**row, **sign, **names})
    return found


def wins(
    recipes: Sequence[str], rows: Sequence[Mapping[str, Any]], name: str, alignment: str, metric: str
) -> dict[str, tuple[int, int]]:
    """Count for each recipe the others that it beats and that beat it, in one column of the table."""
    counted = {}
    for recipe in recipes:
        verdicts = [
            row["verdict"]
            for row in against(recipe, rows)
            if (row["set"], row["alignment"], row["metric"]) == (name, alignment, metric)
        ]
        counted[recipe] = (verdicts.count("better"), verdicts.count("worse"))
    return counted


def _verdict(low: float, high: float, metric: str) -> str:
    if low <= 0 <= high:
        return "level"
    return "better" if (high < 0) == lower_is_better(metric) else "worse"


def _shared(results: Results, recipe: str, other: str) -> list[int]:
    """List the seeds that both have; a baseline, in which nothing is random, has those of the other."""
    ours, theirs = list(results.rows[recipe]), list(results.rows[other])
    if recipe in BASELINES:
        return theirs
    return ours if other in BASELINES else [seed for seed in ours if seed in theirs]


def _rows(
    results: Results, recipe: str, name: str, alignment: str, metric: str, seeds: Sequence[int]
) -> Float[np.ndarray, "s n"]:
    own = list(results.rows[recipe])
    values = results.images(recipe, name, alignment, metric)
    return values[[0 if recipe in BASELINES else own.index(seed) for seed in seeds]]
