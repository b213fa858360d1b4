"""The tables that people read first, as Markdown: recipes in a few columns, by family, one against all."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from depthmix.bench.compare import against
from depthmix.bench.measuring import ALIGNMENTS
from depthmix.bench.results import MEAN, cell

__all__ = ["COLUMNS", "COUNTED", "overview", "tables_of"]

# The columns in which recipes are held against each other: depth in every alignment, and what shape costs.
COUNTED: Final = (
    *(("abs_rel", alignment) for alignment in ALIGNMENTS),
    ("normal_angle", "none"),
    ("boundary_f1", "none"),
)
NAMES: Final = {
    "none": "un-aligned",
    "median": "median-scaled",
    "affine_inverse_depth": "affine",
    "normal_angle": "normals °",
    "boundary_f1": "edge F1",
}

COLUMNS: Final = [NAMES[metric if metric != "abs_rel" else alignment] for metric, alignment in COUNTED]

Row = Mapping[str, Any]


def tables_of(rows: Sequence[Row], pairs: Sequence[Row], recipe: str) -> str:
    """Write three tables: the mean of the families, each set, and `recipe` against all others.

    Args:
        rows: what `summary` gives.
        pairs: what `compare` gives.
        recipe: the one whose differences are listed.
    """
    parts = ["mean of the families: AbsRel in three alignments, normals and edges un-aligned, ± over seeds"]
    parts += [_table(["recipe", "seeds", *COLUMNS], overview(rows))]
    sets = [name for name in dict.fromkeys(row["set"] for row in rows) if name != MEAN]
    heads = [f"{name}{', affine' if affine else ''}" for affine in (False, True) for name in sets]
    parts += ["AbsRel of each set, un-aligned and affine", _table(["recipe", *heads], _by_set(rows, sets))]
    versus = _versus(pairs, recipe)
    if versus:
        parts += [f"{recipe} less the other, mean of the families, with 95 % intervals"]
        parts += [_table(["against", *COLUMNS], versus)]
    return "\n\n".join(parts)


def overview(rows: Sequence[Row]) -> list[list[str]]:
    """Give a line of each recipe: name, seeds, and the mean of the families in `COLUMNS`."""
    found = {(row["recipe"], row["alignment"]): row for row in rows if row["set"] == MEAN}
    recipes = dict.fromkeys(recipe for recipe, _ in found)
    return [
        [
            recipe,
            str(found[recipe, "none"]["seeds"]),
            *(_cell(found[recipe, alignment], metric) for metric, alignment in COUNTED),
        ]
        for recipe in recipes
    ]


def _by_set(rows: Sequence[Row], sets: Sequence[str]) -> list[list[str]]:
    found = {(row["recipe"], row["alignment"], row["set"]): row for row in rows}
    recipes = dict.fromkeys(recipe for recipe, _, _ in found)
    places = [(alignment, name) for alignment in ("none", "affine_inverse_depth") for name in sets]
    return [[recipe, *(_cell(found[recipe, *place], "abs_rel") for place in places)] for recipe in recipes]


def _versus(pairs: Sequence[Row], recipe: str) -> list[list[str]]:
    rows = [row for row in against(recipe, pairs) if row["set"] == MEAN]
    found = {(row["other"], row["metric"], row["alignment"]): row for row in rows}
    others = dict.fromkeys(other for other, _, _ in found)
    return [[other, *(_difference(found.get((other, *column))) for column in COUNTED)] for other in others]


def _cell(row: Row, metric: str) -> str:
    return cell(row[metric], row[f"{metric}_sd"])


def _difference(row: Row | None) -> str:
    if row is None:
        return "-"
    digits = 1 if row["metric"] == "normal_angle" else 3
    difference, low, high = (f"{row[name]:+.{digits}f}" for name in ("difference", "low", "high"))
    return f"{difference} [{low}, {high}] {row['verdict']}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(heads), *lines[1:]])
