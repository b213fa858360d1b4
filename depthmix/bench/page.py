"""One self-contained page of a benchmark: table, comparisons, learning curves, gallery."""

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any, Final

from depthmix.bench.benchmark import Benchmark
from depthmix.bench.compare import against
from depthmix.bench.gallery import gallery
from depthmix.bench.looks import looks_text
from depthmix.bench.measuring import ALIGNMENTS
from depthmix.bench.one import Run, load_network
from depthmix.bench.recipes import BASE
from depthmix.bench.results import MEAN, SHOWN, Results, cell
from depthmix.bench.tables import COLUMNS, COUNTED, overview
from depthmix.report import pages
from depthmix.report.charts import Chart, line_chart
from depthmix.report.curves import Curve
from depthmix.report.strips import encode_strips

__all__ = ["write_page"]

TOGETHER: Final = 6  # curves in one chart: more cannot be told apart


def write_page(out: Path, bench: Benchmark, runs: Sequence[Run]) -> Path:
    """Write the page and return its path.

    Args:
        out: the file.
        bench: what was found.
        runs: the runs; the networks of the first seed are drawn.

    Raises:
        StorageError: the page cannot be written.
    """
    results = bench.results
    strips = list(_gallery(runs, results))
    text = pages.fill_template(
        "depthmix.bench",
        "bench.html.jinja",
        title=f"recipes on {bench.facts['settings']['preset']}, block {bench.facts['block']}",
        facts=bench.facts,
        looks=looks_text(bench.facts["looks"], results.recipes),
        heads=SHOWN,
        columns=COLUMNS,
        overview=overview(bench.rows),
        blocks=[_block(bench, name) for name in (MEAN, *results.sets)],
        counted=[f"{metric}, {alignment}" for metric, alignment in COUNTED],
        wins=bench.wins(),
        base=BASE,
        versus=_versus(bench),
        charts=list(_charts(results)),
        gallery=list(zip(strips, encode_strips(strips), strict=True)),
    )
    return pages.write_page(out, text)


def _block(bench: Benchmark, name: str) -> tuple[str, list[tuple[str, list[tuple[str, int, list[str]]]]]]:
    """Return the name of a set, and heading and rows of every alignment."""
    parts = []
    for alignment in ALIGNMENTS:
        rows = [row for row in bench.rows if (row["set"], row["alignment"]) == (name, alignment)]
        lines = [
            (row["recipe"], row["seeds"], [cell(row[metric], row[f"{metric}_sd"]) for metric in SHOWN])
            for row in rows
        ]
        parts.append((f"alignment {alignment}", lines))
    return name, parts


def _versus(bench: Benchmark) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return how the base recipe stands against each other one, in the counted columns of every set."""
    rows = [row for row in against(BASE, bench.pairs) if (row["metric"], row["alignment"]) in COUNTED]
    others = dict.fromkeys(row["other"] for row in rows)
    return [(other, [row for row in rows if row["other"] == other]) for other in others]


def _charts(results: Results) -> list[Chart]:
    """Draw the error on the validation scenes during training, mean over seeds, a few recipes a chart."""
    trained = [name for name in results.recipes if any(results.curves[name].values())]
    charts = []
    for measure in ("none", "affine_inverse_depth"):
        for first in range(0, len(trained), TOGETHER):
            curves = {name: _curve(results, name, measure) for name in trained[first : first + TOGETHER]}
            charts.append(line_chart(f"validation AbsRel, alignment {measure}", curves))
    return charts


def _curve(results: Results, recipe: str, measure: str) -> Curve:
    points = list(zip(*results.curves[recipe].values(), strict=True))
    steps = [int(point[0]["step"]) for point in points]
    known = [[one[f"abs_rel/{measure}"] for one in point if f"abs_rel/{measure}" in one] for point in points]
    return Curve(steps, [mean(values) if values else None for values in known])


def _gallery(runs: Sequence[Run], results: Results) -> Any:
    finished = [run for run in runs if run.finished]
    firsts = {run.recipe: run for run in reversed(finished)}
    nets = {recipe: load_network(firsts[recipe]) for recipe in results.recipes}
    return gallery(nets, finished[0].prepared, results.families, finished[0].settings)
