"""The tables of the page: the mix, the evaluation, the skipped files, the versions."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, TypeGuard

from depthmix.metrics.table import reported
from depthmix.plot.words import kind_words
from depthmix.report.collect import RunFacts, SetFacts
from depthmix.sample import LabelKind

__all__ = [
    "MEASURES",
    "Cell",
    "MixRow",
    "Results",
    "is_number",
    "mix_row",
    "results_table",
    "short",
    "skipped_rows",
    "versions",
]

# Measure, unit, and whether a higher value is better.
MEASURES: Final = {
    "abs_rel": ("", False),
    "delta1": ("", True),
    "delta2": ("", True),
    "delta3": ("", True),
    "rmse": ("m", False),
    "silog": ("", False),
    "mae_inverse_depth": ("1/m", False),
    "ssi": ("", False),
    "whdr": ("", False),
    "planarity_rms": ("", False),
    "planarity_angle": ("°", False),
    "normal_angle": ("°", False),
    "normal_11_25": ("", True),
    "boundary_f1": ("", True),
    "edge_accuracy": ("px", False),
    "edge_completeness": ("px", False),
    "edge_agreement": ("", True),
    "cloud_f1": ("", True),
}
ALIGNMENTS: Final = {
    "none": "as predicted",
    "median": "after fitting the median of depth",
    "scale": "after fitting the scale of depth",
    "affine_depth": "after fitting scale and shift of depth",
    "affine_inverse_depth": "after fitting scale and shift of inverse depth",
    "robust_inverse_depth": "after fitting scale and shift of inverse depth by absolute errors, truncated",
}
PACKAGES: Final = (
    "depthmix",
    "torch",
    "lightning",
    "torchmetrics",
    "kornia",
    "numpy",
    "h5py",
    "numcodecs",
    "opencv-python-headless",
)
MOST_SKIPPED: Final = 200


@dataclass(frozen=True, slots=True)
class MixRow:
    """Hold what the page says about one prepared set."""

    name: str
    role: str
    family: str
    tier: str
    kind: str
    unit: str
    density: str
    noise: str
    licence: str
    citation: str
    count: int
    skipped: int
    size: str
    weight: str
    share: float | None
    pull: float | None
    root_hash: str
    raw_hash: str
    written_by: str


@dataclass(frozen=True, slots=True)
class Cell:
    """Hold one number of the evaluation.

    Args:
        text: the number.
        best: of its column under the same alignment.
        interval: where 95 % of averages over images drawn anew lie; empty where it is not known.
    """

    text: str
    best: bool
    interval: str = ""


@dataclass(frozen=True, slots=True)
class Results:
    """Hold the evaluation: column heads, per alignment its rows of (set row, cells), and sets without any."""

    heads: list[str]
    blocks: list[tuple[str, list[tuple[Mapping[str, Any], list[Cell]]]]]
    silent: list[str]

    @property
    def has_intervals(self) -> bool:
        """Whether any number has one."""
        return any(cell.interval for _, rows in self.blocks for _, cells in rows for cell in cells)


def mix_row(facts: SetFacts, pull: float | None = None) -> MixRow | None:
    """Return what a prepared set states about itself; None where it could not be opened.

    Args:
        facts: the set and its part in the run.
        pull: its share of the gradient.
    """
    if facts.shards is None:
        return None
    info = facts.shards.info
    card = info["card"]
    kind, unit = kind_words(LabelKind[card["kind"]]), str(card.get("unit", ""))
    return MixRow(
        name=facts.name,
        role=facts.role,
        family=str(card.get("family", "")),
        tier=str(card["quality"]),
        kind=kind,
        unit="" if unit == kind else unit,  # numbers without a unit are not described twice
        density=str(card.get("density", "")),
        noise=str(card.get("noise", "")),
        licence=str(card.get("licence", "")),
        citation=str(card.get("citation", "")),
        count=len(facts.shards),
        skipped=len(info["skipped"]),
        size=_size(info.get("size")),
        weight="" if facts.weight is None else f"{facts.weight:g}",
        share=facts.share,
        pull=pull,
        root_hash=facts.shards.root_hash,
        raw_hash=str(info.get("fingerprint", "")),
        written_by=str(info.get("version", "")),
    )


def results_table(rows: Sequence[Mapping[str, Any]]) -> Results:
    """Arrange the rows of `test.json` by alignment and mark the best number of each column.

    Convention: see `depthmix.metrics.reported`.
    """
    rows = [reported(row) for row in rows]
    names = [name for name in MEASURES if any(is_number(row.get(name)) for row in rows)]
    bearing = [row for row in rows if any(is_number(row.get(name)) for name in names)]
    said = {str(row["set"]) for row in bearing}
    silent = list(dict.fromkeys(str(row["set"]) for row in rows if str(row["set"]) not in said))
    rows, blocks = bearing, []
    for alignment in dict.fromkeys(str(row["alignment"]) for row in rows):
        group = [row for row in rows if str(row["alignment"]) == alignment]
        best = {name: _best(group, name) for name in names}
        cells = [(row, [_cell(row, name, best[name]) for name in names]) for row in group]
        blocks.append((ALIGNMENTS.get(alignment, alignment), cells))
    return Results([_head(name) for name in names], blocks, silent)


def skipped_rows(facts: RunFacts) -> tuple[list[tuple[str, Mapping[str, str]]], int]:
    """Return (set, record) of the first skipped samples, and how many more there are."""
    rows = [(one.name, skip) for one in facts.sets if one.shards for skip in one.shards.info["skipped"]]
    return rows[:MOST_SKIPPED], max(0, len(rows) - MOST_SKIPPED)


def versions() -> list[tuple[str, str]]:
    """Return the packages that a result depends on, with their versions."""
    found = [("Python", platform.python_version()), ("system", platform.platform(terse=True))]
    for name in PACKAGES:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            found.append((name, "not installed as a package"))
    return found


def _size(size: Sequence[int] | None) -> str:
    return f"{size[1]} x {size[0]}" if size else "as found"


def _head(name: str) -> str:
    unit, higher = MEASURES[name]
    words = name.replace("_", " ")  # so that a narrow column can break the line
    return f"{words}{f' {unit}' if unit else ''} {'↑' if higher else '↓'}"


def is_number(value: object) -> TypeGuard[int | float]:
    """Tell a number from what else may stand in a file; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _best(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [float(row[name]) for row in rows if is_number(row.get(name))]
    if len(set(values)) < 2:
        return None  # nothing to be better than
    return max(values) if MEASURES[name][1] else min(values)


def _cell(row: Mapping[str, Any], name: str, best: float | None) -> Cell:
    value, ends = row.get(name), [row.get(f"{name}_{end}") for end in ("low", "high")]
    if not is_number(value):
        return Cell("-", False)
    known = all(is_number(end) for end in ends) and ends[0] != ends[1]
    interval = "\u2013".join(short(float(end)) for end in ends if end is not None) if known else ""
    return Cell(short(value), best is not None and value == best, interval)


def short(value: float) -> str:
    """Write a measure with three digits behind the point, or one where it is large."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
