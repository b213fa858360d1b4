"""Put the page together: one file, one script of our own, nothing fetched from anywhere."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from depthmix.report.audits import audit_sets
from depthmix.report.charts import run_charts
from depthmix.report.cloud import find_cloud
from depthmix.report.collect import RunFacts, SetFacts, collect
from depthmix.report.mix import gradient_shares
from depthmix.report.pages import fill_template, write_page
from depthmix.report.script import read_script
from depthmix.report.strips import Picture, Strip, encode_strips, make_strips
from depthmix.report.tables import mix_row, results_table, skipped_rows, versions
from depthmix.report.worst import worst_in_evaluation, worst_in_training

__all__ = ["LARGEST", "Pictured", "build_report", "fit_pictures", "render", "run_title"]

TEMPLATE: Final = "report.html.jinja"
LARGEST: Final = 2_950_000  # bytes of a page
SMALLEST_PICTURES: Final = 400_000
LONGEST_CONFIG: Final = 200_000


def build_report(
    run: Path,
    data_root: Path,
    out: Path | None = None,
    checkpoint: Path | None = None,
    *,
    trust: bool = False,
) -> Path:
    """Write one self-contained HTML page about a run and return its path.

    Whatever the run does not have yet leaves a sentence that says what to do next; whatever can not be
    read stands among the problems at the top.

    Args:
        run: folder with config.yaml, metrics.csv, last.ckpt and test.json, as far as they exist.
        data_root: root of the prepared sets.
        out: where to write; `report.html` in the run folder by default.
        checkpoint: the network whose predictions are shown; `last.ckpt` of the run folder by default.
        trust: let the checkpoint import a network class from outside depthmix.

    Raises:
        StorageError: there is no such run folder or named checkpoint, or the page can not be written.
    """
    facts = collect(Path(run), Path(data_root), checkpoint, trust=trust)
    return write_page(Path(run) / "report.html" if out is None else Path(out), render(facts))


def render(facts: RunFacts) -> str:
    """Return the page as text; every name and message is escaped."""
    pulls = gradient_shares(facts.curves)
    rows = [(one, mix_row(one, pulls.get(one.name))) for one in facts.sets]
    training = [Pictured.of(facts, one) for one in facts.training]
    evaluation = [Pictured.of(facts, one) for one in facts.evaluation]
    tables = {"worst_training": worst_in_training(facts), "worst_evaluation": worst_in_evaluation(facts)}
    worst = {name: Pictured(name, "", table.strips if table else []) for name, table in tables.items()}
    skipped, more = skipped_rows(facts)
    values: dict[str, Any] = {
        "title": run_title(facts.folder),
        "facts": facts,
        "config_text": _shortened(facts.config_text),
        "mix": [row for one, row in rows if row and one.role == "training"],
        "has_pulls": bool(pulls),
        "cards": [row for _, row in rows if row],
        "training": training,
        "evaluation": evaluation,
        "cloud": find_cloud(facts),
        "audits": audit_sets(facts),
        "charts": run_charts(facts.curves),
        "results": results_table(facts.results["rows"]) if facts.results else None,
        "skipped": skipped,
        "more_skipped": more,
        "versions": versions(),
        **tables,
    }
    values["sections"] = _sections(values)
    values["problems"] = list(dict.fromkeys(facts.problems))  # last: making the pictures may have added some

    def text() -> str:
        shown = {f"{name}_pictures": one.pictures for name, one in worst.items()}
        return page(TEMPLATE, **values, **shown)

    return fit_pictures([*training, *evaluation, *worst.values()], text)


def page(template: str, **values: Any) -> str:
    """Fill a template of the report."""
    script = read_script("depthmix.report", "cloud.js") if values.get("cloud") else None
    return fill_template("depthmix.report", template, script=script, **values)


class Pictured:
    """Hold strips under a title, and the encoded pictures of each strip once they are known."""

    def __init__(self, title: str, role: str, strips: Sequence[Strip]) -> None:
        self.title, self.role, self.strips = title, role, list(strips)
        self.pictures: list[list[Picture]] = [[] for _ in strips]

    @classmethod
    def of(cls, facts: RunFacts, one: SetFacts) -> "Pictured":
        """Draw samples of a set."""
        return cls(one.name, one.role, make_strips(facts, one))


def fit_pictures(sets: Sequence[Pictured], text: Any) -> str:
    """Return what `text` gives once the pictures of the sets are as large as the rest of the page allows."""
    rest = len(text().encode("utf-8", "replace"))  # with no picture in it
    budget = max(SMALLEST_PICTURES, LARGEST - rest)
    encoded = iter(encode_strips([strip for one in sets for strip in one.strips], budget))
    for one in sets:
        one.pictures = [next(encoded) for _ in one.strips]
    return str(text())


def run_title(folder: Path) -> str:
    """Name a folder, such as that of a run, with the one above."""
    return "/".join(folder.resolve().parts[-2:])


def _shortened(config: str | None) -> str | None:
    if config is None or len(config) <= LONGEST_CONFIG:
        return config
    return config[:LONGEST_CONFIG] + "\n(cut here; the rest stands in config.yaml of the run folder)"


def _sections(values: dict[str, Any]) -> list[tuple[str, str]]:
    named = [
        ("results", "Evaluation", True),
        ("curves", "Curves", True),
        ("cloud", "In space", values["cloud"]),
        ("evaluation", "Evaluation samples", True),
        ("mix", "The mix", True),
        ("training", "Training samples", True),
        ("worst", "Worst samples", True),
        ("audit", "Audit of the data", values["audits"]),
        ("skipped", "Skipped files", True),
        ("config", "Configuration, data and versions", True),
    ]
    return [(name, words) for name, words, there in named if there]
