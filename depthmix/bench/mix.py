"""How much mixing ratios matter: one recipe with one ratio changed at a time, on the validation block."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from math import log2
from statistics import mean
from typing import Any, Final

from depthmix.bench.compare import against
from depthmix.bench.recipes import Recipe
from depthmix.bench.results import MEAN, Results

__all__ = ["FACTORS", "TEMPERATURES", "sensitivity", "text", "variants"]

FACTORS: Final = (0.25, 4.0)  # of one source's weight, the others as they are
TEMPERATURES: Final = (0.5, 1.0)
COLUMNS: Final = ("none", "median", "affine_inverse_depth")


def variants(base: Recipe) -> Iterator[Recipe]:
    """Give the recipe itself, then with each weight a quarter and four times as large, then by temperature.

    Args:
        base: the recipe that is varied.

    Convention: names are `BASE`, `SOURCE x 0.25`, `SOURCE x 4` and `temperature 0.5`; a temperature that the
    recipe has already is left out.
    """
    yield base
    for source in base.values["data"]["sources"]:
        for factor in FACTORS:
            values = deepcopy(dict(base.values))
            spec = dict(values["data"]["sources"][source] or {})
            values["data"]["sources"][source] = spec | {"weight": spec.get("weight", 1.0) * factor}
            yield Recipe(f"{source} x {factor:g}", values)
    for temperature in TEMPERATURES:
        if base.values["data"].get("temperature", 0.0) != temperature:
            values = deepcopy(dict(base.values))
            values["data"]["temperature"] = temperature
            yield Recipe(f"temperature {temperature:g}", values)


def sensitivity(
    base: str, results: Results, pairs: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, float | str | None]]:
    """Say by how much each change moved the error, and what a doubling of each weight does on average.

    Args:
        base: name of the recipe that was varied.
        results: measures on the validation block.
        pairs: comparisons; see `depthmix.bench.compare`.

    Yields:
        For every variant its AbsRel in each alignment (mean of the families) with the paired difference to
        the base and its interval; then, with `slope` in place of `abs_rel`, for every source the change of
        AbsRel per doubling of its weight, between the two outer ones.
    """
    rows = {
        (row["other"], row["alignment"]): row
        for row in against(base, pairs)
        if (row["set"], row["metric"]) == (MEAN, "abs_rel")
    }
    for name in results.recipes:
        for alignment in COLUMNS:
            line: dict[str, float | str | None] = {"variant": name, "alignment": alignment}
            line["abs_rel"] = _error(results, name, alignment)
            row = rows.get((name, alignment))
            if row is not None:  # turned round: positive is worse than the base
                line |= {"difference": -row["difference"], "low": -row["high"], "high": -row["low"]}
            yield line
    for source in dict.fromkeys(name.partition(" x ")[0] for name in results.recipes if " x " in name):
        ends = [f"{source} x {factor:g}" for factor in FACTORS]
        if all(end in results.recipes for end in ends):
            for alignment in COLUMNS:
                less, more = (_error(results, end, alignment) for end in ends)
                slope = (more - less) / log2(FACTORS[1] / FACTORS[0])
                yield {"variant": source, "alignment": alignment, "slope": slope}


def text(lines: Sequence[Mapping[str, Any]]) -> str:
    """Write both parts as Markdown."""
    found = [
        "AbsRel on the validation block, and the difference to the recipe as it is with its 95 % interval",
        "",
        f"| variant | {' | '.join(COLUMNS)} |",
        "|---|---|---|---|",
    ]
    found += _table([line for line in lines if "abs_rel" in line], _moved)
    found += ["", "change of AbsRel when the weight of a source is doubled", ""]
    found += [f"| source | {' | '.join(COLUMNS)} |", "|---|---|---|---|"]
    found += _table([line for line in lines if "slope" in line], lambda line: f"{line['slope']:+.4f}")
    return "\n".join(found)


def _table(lines: Sequence[Mapping[str, Any]], written: Any) -> Iterator[str]:
    for name in dict.fromkeys(line["variant"] for line in lines):
        cells = [written(line) for line in lines if line["variant"] == name]
        yield f"| {name} | {' | '.join(cells)} |"


def _moved(line: Mapping[str, Any]) -> str:
    if "difference" not in line:
        return f"{line['abs_rel']:.3f}"
    return f"{line['abs_rel']:.3f} ({line['difference']:+.3f}, {line['low']:+.3f} to {line['high']:+.3f})"


def _error(results: Results, name: str, alignment: str) -> float:
    return mean(results.by_seed(name, MEAN, alignment, "abs_rel"))
