"""Several runs side by side: figures, what is surely different, curves, shares, pictures, configurations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from depthmix.errors import ConfigError, DepthmixError
from depthmix.metrics.bootstrap import image_values, paired_difference
from depthmix.plain_yaml import parse_yaml
from depthmix.plot.panels import strip_panels
from depthmix.plot.words import sample_title
from depthmix.report.charts import VALIDATION, Chart, line_chart
from depthmix.report.collect import RunFacts, SetFacts, collect
from depthmix.report.curves import Curve
from depthmix.report.mix import gradient_shares
from depthmix.report.page import Pictured, fit_pictures, page, run_title
from depthmix.report.pages import write_page
from depthmix.report.strips import Strip, predicted, sample_facts
from depthmix.report.tables import ALIGNMENTS, MEASURES, mix_row, results_table, versions

__all__ = ["build_comparison", "config_differences", "differences", "names_of"]

MOST_CHARTS: Final = 30
MOST_OPTIONS: Final = 200
LONGEST_VALUE: Final = 200
# What says where a run lies, and not what it is.
PLACES: Final = ("trainer.default_root_dir", "ckpt_path")
UNSURE: Final = "not told apart"
JUDGED_BY: Final = ("abs_rel", "ssi", "delta1", "normal_angle", "boundary_f1")


@dataclass(frozen=True, slots=True)
class Difference:
    """Hold what one run has over the first: a measure on one set, with the interval of the paired difference.

    Args:
        run: name of the run.
        where: set and alignment.
        measure: name of the measure.
        text: mean difference.
        interval: where 95 % of the differences over images drawn anew lie.
        verdict: "better", "worse", or that the images do not tell them apart.
    """

    run: str
    where: str
    measure: str
    text: str
    interval: str
    verdict: str


def build_comparison(
    runs: Sequence[Path], data_root: Path, out: Path | None = None, *, trust: bool = False
) -> Path:
    """Write one page that compares runs and return its path.

    Args:
        runs: run folders; the others are compared with the first.
        data_root: root of the prepared sets.
        out: where to write; `comparison.html` in the first run folder by default.
        trust: let checkpoints import a network class from outside depthmix.

    Raises:
        ConfigError: fewer than two runs, or one twice.
        StorageError: there is no such run folder, or the page can not be written.
    """
    if len({run.resolve() for run in runs}) < len(runs) or len(runs) < 2:
        raise ConfigError("needs two runs or more, each once", field="run_folder")
    found = [collect(run, data_root, trust=trust) for run in runs]
    named = dict(zip(names_of(runs), found, strict=True))
    return write_page(runs[0] / "comparison.html" if out is None else out, _render(named))


def names_of(runs: Sequence[Path]) -> list[str]:
    """Name runs by their folders, with the folder above where names are equal, and a number at last."""
    for names in ([run.resolve().name for run in runs], [run_title(run) for run in runs]):
        if len(set(names)) == len(names):
            return names
    return [f"{number}: {run_title(run)}" for number, run in enumerate(runs, 1)]


def _render(runs: Mapping[str, RunFacts]) -> str:
    pictured = _pictured(runs)
    rows = [
        {**row, "set": name, "alignment": f"{row['set']}: {ALIGNMENTS.get(alignment, alignment)}"}
        for alignment, row, name in _by_set(runs)
    ]
    told, untold = differences(runs)
    changed, more = config_differences({name: one.config_text for name, one in runs.items()})
    shares = {name: _shares(one) for name, one in runs.items()}
    sources = list(dict.fromkeys(source for part in shares.values() for source in part))
    values: dict[str, Any] = {
        "title": f"{len(runs)} runs: {', '.join(runs)}",
        "runs": runs,
        "results": results_table(rows) if rows else None,
        "differences": [one for one in told if one.verdict != UNSURE],
        "unsure": sum(one.verdict == UNSURE for one in told),
        "untold": untold,
        "charts": _charts(runs),
        "shares": shares,
        "sources": sources,
        "prints": _fingerprints(runs),
        "pictured": pictured,
        "changed": changed,
        "more_changed": more,
        "versions": versions(),
    }
    values["sections"] = [
        (name, words)
        for name, words, there in (
            ("results", "Evaluation", True),
            ("differences", "What is different for sure", told),
            ("curves", "Curves", values["charts"]),
            ("mix", "Shares", sources),
            ("samples", "Samples", pictured),
            ("config", "Configuration", True),
            ("data", "Data and versions", True),
        )
        if there
    ]
    # Skipped files are listed in the report of each run, and not here.
    values["problems"] = [
        f"{name}: {text}"
        for name, one in runs.items()
        for text in one.problems
        if not text.endswith("see below")
    ]
    return fit_pictures(pictured, lambda: page("compare.html.jinja", **values))


def _by_set(runs: Mapping[str, RunFacts]) -> list[tuple[str, Mapping[str, Any], str]]:
    """List (alignment, row, run), sets together and in the order of the first run that has them."""
    found = [
        (str(row["alignment"]), row, name)
        for name, one in runs.items()
        for row in (one.results or {"rows": []})["rows"]
    ]
    order = list(dict.fromkeys((str(row["set"]), alignment) for alignment, row, _ in found))
    return sorted(found, key=lambda entry: order.index((str(entry[1]["set"]), entry[0])))


def differences(runs: Mapping[str, RunFacts]) -> tuple[list[Difference], list[str]]:
    """Compare every run with the first, image by image; also return why some cannot be compared."""
    (first, base), *others = runs.items()
    told: list[Difference] = []
    untold = [f"{name} has no test_images.json" for name, one in runs.items() if not one.images]
    if not base.images:
        return told, untold
    for name, one in others:
        pairs = dict.fromkeys((row["set"], row["alignment"]) for row in base.images)
        both = {(row["set"], row["alignment"]) for row in one.images}
        for group, alignment in (pair for pair in pairs if pair in both):
            for measure in JUDGED_BY:
                try:
                    found = _difference(base.images, one.images, group, alignment, measure)
                except ValueError as error:
                    untold.append(f"{group} of {first} and {name}: {error}")
                    break
                if found is not None:
                    where = f"{group}: {ALIGNMENTS.get(alignment, alignment)}"
                    told.append(Difference(name, where, measure.replace("_", " "), *found))
    return told, list(dict.fromkeys(untold))


def _difference(
    base: Sequence[Mapping[str, Any]],
    other: Sequence[Mapping[str, Any]],
    group: str,
    alignment: str,
    measure: str,
) -> tuple[str, str, str] | None:
    rows = [
        [{**row, measure: row.get(measure, np.nan)} for row in side if row["set"] == group]
        for side in (other, base)
    ]
    _, values = image_values(rows, alignment=alignment, metric=measure)
    if values.shape[1] < 3 or np.isnan(values).all(1).any():
        return None  # two images say nothing about others
    mean, low, high = paired_difference([values[:1]], [values[1:]])
    sure = low > 0 or high < 0
    better = (mean > 0) == MEASURES[measure][1]
    verdict = ("better" if better else "worse") if sure else UNSURE
    return f"{mean:+.3f}", f"{low:+.3f} to {high:+.3f}", verdict


def config_differences(texts: Mapping[str, str | None]) -> tuple[list[tuple[str, list[str]]], int]:
    """List options that are not the same in all configurations, each with its values, and how many more.

    Args:
        texts: `config.yaml` of each run; None where there is none.
    """
    flat = [_flat(text) for text in texts.values()]
    names = sorted({name for one in flat for name in one} - set(PLACES))
    rows = [(name, [one.get(name, "(not stated)") for one in flat]) for name in names]
    changed = [(name, row) for name, row in rows if len(set(row)) > 1]
    return changed[:MOST_OPTIONS], max(0, len(changed) - MOST_OPTIONS)


def _flat(text: str | None) -> dict[str, str]:
    try:
        values = parse_yaml(text)[1] if text else {}
    except (ValueError, yaml.YAMLError):
        return {}  # it stands among the problems
    found: dict[str, str] = {}
    left: list[tuple[str, Any]] = [("", values)]
    while left:
        name, value = left.pop()
        if isinstance(value, dict) and value:
            left += [(f"{name}.{key}" if name else str(key), inner) for key, inner in value.items()]
        elif name:
            written = str(value)
            found[name] = written if len(written) <= LONGEST_VALUE else written[:LONGEST_VALUE] + " …"
    return found


def _charts(runs: Mapping[str, RunFacts]) -> list[Chart]:
    names = list(dict.fromkeys(name for one in runs.values() for name in one.curves))
    shown = [name for name in names if name.startswith("val/") and name.rpartition("/")[2] in VALIDATION]
    shown += [name for name in names if name == "train/loss" or name.startswith("train/terms/")]
    charts = []
    for name in shown[:MOST_CHARTS]:
        lines: dict[str, Curve] = {run: one.curves[name] for run, one in runs.items() if name in one.curves}
        if len(lines) > 1:
            title = name.removeprefix("val/").removeprefix("train/").replace("terms/", "loss ")
            charts.append(line_chart(title, lines, points=80))
    return charts


def _shares(facts: RunFacts) -> dict[str, tuple[float | None, float | None]]:
    pulls = gradient_shares(facts.curves)
    return {one.name: (one.share, pulls.get(one.name)) for one in facts.training}


def _fingerprints(runs: Mapping[str, RunFacts]) -> list[tuple[str, str]]:
    """Return the fingerprint of each set that now lies there, once."""
    rows = [(one.name, mix_row(one)) for facts in runs.values() for one in facts.sets]
    return list(dict.fromkeys((name, row.root_hash) for name, row in rows if row))


def _pictured(runs: Mapping[str, RunFacts]) -> list[Pictured]:
    """Draw the first sample of each evaluation set of the first run, predicted by every run."""
    base = next(iter(runs.values()))
    chosen = base.evaluation or base.training
    found = [(one, _strip(one, runs)) for one in chosen if one.shards and len(one.shards)]
    return [Pictured(one.name, "", [strip]) for one, strip in found if strip]


def _strip(one: SetFacts, runs: Mapping[str, RunFacts]) -> Strip | None:
    assert one.shards is not None
    try:
        sample = one.shards[0]
        panels = strip_panels(sample)[:2]
        for name, facts in runs.items():
            if facts.trained is None:
                continue
            metric, depth = predicted(sample, facts.trained)
            drawn = strip_panels(sample, depth, metric=metric)[2:]
            panels += [replace(panel, title=f"{name}: {panel.title}") for panel in drawn]
    except DepthmixError as error:
        next(iter(runs.values())).problems.append(str(error))
        return None
    return Strip(sample_title(sample), sample_facts(sample), panels)
