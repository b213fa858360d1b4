"""The results of finished runs as arrays, and their table: mean and standard deviation over seeds."""

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from jaxtyping import Float

from depthmix.bench.measuring import ALIGNMENTS
from depthmix.bench.one import Run

__all__ = ["MEAN", "SHOWN", "Results", "cell", "lower_is_better", "summary"]

SHOWN: Final = (
    "abs_rel",
    "delta1",
    "normal_angle",
    "boundary_f1",
    "planarity_rms",
    "planarity_angle",
)
HIGHER: Final = ("delta1", "delta2", "delta3", "boundary_f1", "cloud_f1", "normal_11_25", "edge_agreement")
MEAN: Final = "mean"  # of the families, each with the same weight; the real pair is no part of it


def lower_is_better(metric: str) -> bool:
    """Tell whether a smaller value of a metric is the better one."""
    return metric not in HIGHER


@dataclass(frozen=True)
class Results:
    """Hold the measures of every image by every run.

    Args:
        rows: rows of `image_rows` by recipe and seed.
        sets: names of the measured sets; the families first.
        families: those of them that the mean is taken over.
        curves: learning curves by recipe and seed.
        cpu_seconds: time of each training by recipe, one number a seed.
    """

    rows: dict[str, dict[int, list[dict[str, Any]]]]
    sets: tuple[str, ...]
    families: tuple[str, ...]
    curves: dict[str, dict[int, list[dict[str, float]]]]
    cpu_seconds: dict[str, list[float]]
    _arrays: dict[tuple[str, str, str, str], Float[np.ndarray, "s n"]] = field(default_factory=dict)

    @classmethod
    def read(cls, runs: Sequence[Run], sets: tuple[str, ...], families: tuple[str, ...]) -> "Results":
        """Read what the finished ones of some runs have left."""
        found = cls({}, sets, families, {}, {})
        for run in runs:
            if run.finished:
                facts = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
                rows = json.loads((run.folder / run.measured).read_text(encoding="utf-8"))
                found.rows.setdefault(run.recipe, {})[run.seed] = rows
                found.curves.setdefault(run.recipe, {})[run.seed] = facts["curve"]
                found.cpu_seconds.setdefault(run.recipe, []).append(facts["cpu_seconds"])
        return found

    @property
    def recipes(self) -> list[str]:
        """Names of the recipes that have a result."""
        return list(self.rows)

    @property
    def metrics(self) -> list[str]:
        """Names of all metrics that were measured."""
        first = next(iter(next(iter(self.rows.values())).values()))[0]
        return [name for name in first if name not in ("set", "alignment", "image")]

    def images(self, recipe: str, name: str, alignment: str, metric: str) -> Float[np.ndarray, "s n"]:
        """Return a metric by seed and image; NaN where the label cannot bear it."""
        if not self._arrays:
            self._sort()
        return self._arrays[recipe, name, alignment, metric]

    def _sort(self) -> None:
        """Line the images up: the same column is the same image in every recipe and seed."""
        runs = [(recipe, rows) for recipe, seeds in self.rows.items() for rows in seeds.values()]
        places: dict[str, dict[str, int]] = {name: {} for name in self.sets}
        for row in (row for _, rows in runs for row in rows):
            places[row["set"]].setdefault(row["image"], len(places[row["set"]]))
        for recipe, seeds in self.rows.items():
            for name, images in places.items():
                for alignment in ALIGNMENTS:
                    for metric in self.metrics:
                        shape = (len(seeds), len(images))
                        self._arrays[recipe, name, alignment, metric] = np.full(shape, np.nan)
            for number, rows in enumerate(seeds.values()):
                for row in rows:
                    column = places[row["set"]][row["image"]]
                    for metric in self.metrics:
                        value = row.get(metric)
                        if value is not None:
                            key = recipe, row["set"], row["alignment"], metric
                            self._arrays[key][number, column] = value

    def by_seed(self, recipe: str, name: str, alignment: str, metric: str) -> list[float]:
        """Return the mean over the images of one set, or over the families, for each seed."""
        names = self.families if name == MEAN else (name,)
        means = [_row_means(self.images(recipe, one, alignment, metric)) for one in names]
        return [float(value) for value in np.mean(means, axis=0)]


def _row_means(values: Float[np.ndarray, "s n"]) -> Float[np.ndarray, " s"]:
    known = ~np.isnan(values)
    totals, counts = np.where(known, values, 0).sum(1), known.sum(1)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)


def summary(results: Results) -> Iterator[dict[str, Any]]:
    """Give one row per set, alignment and recipe: every metric, its deviation, the number of seeds."""
    for name in (MEAN, *results.sets):
        for alignment in ALIGNMENTS:
            for recipe in results.recipes:
                line: dict[str, Any] = {"set": name, "alignment": alignment, "recipe": recipe}
                line["seeds"] = len(results.rows[recipe])
                for metric in results.metrics:
                    values = results.by_seed(recipe, name, alignment, metric)
                    known = [value for value in values if value == value]
                    line[metric] = statistics.mean(known) if known else None
                    line[f"{metric}_sd"] = statistics.stdev(known) if len(known) > 1 else None
                yield line


def cell(mean: float | None, deviation: float | None) -> str:
    """Write a mean and its deviation with three digits after the point, or two for degrees."""
    if mean is None:
        return "-"
    digits = 2 if abs(mean) >= 10 else 3
    return f"{mean:.{digits}f}" + (f" ± {deviation:.{digits}f}" if deviation is not None else "")
