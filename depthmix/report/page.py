"""Put the page together: one file, no script, nothing fetched from anywhere."""

from datetime import datetime
from pathlib import Path
from typing import Final

from depthmix import __version__
from depthmix.report.charts import run_charts
from depthmix.report.collect import RunFacts, SetFacts, collect
from depthmix.report.pages import page_environment
from depthmix.report.strips import Picture, Strip, encode_strips, make_strips
from depthmix.report.tables import mix_row, results_table, skipped_rows, versions
from depthmix.store.record import commit, storage_errors

__all__ = ["build_report", "render"]

TEMPLATE: Final = "report.html.jinja"


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
    target = Path(run) / "report.html" if out is None else Path(out)
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    commit(target, render(facts).encode("utf-8", "replace"))
    return target


def render(facts: RunFacts) -> str:
    """Return the page as text; every name and message is escaped."""
    rows = [(one, mix_row(one)) for one in facts.sets]
    training = _pictured(facts, facts.training)
    evaluation = _pictured(facts, facts.evaluation)
    _encode([*training, *evaluation])
    skipped, more = skipped_rows(facts)
    return (
        page_environment("depthmix.report")
        .get_template(TEMPLATE)
        .render(
            title="/".join(facts.folder.resolve().parts[-2:]),
            facts=facts,
            version=__version__,
            made=datetime.now().astimezone(),
            mix=[row for one, row in rows if row and one.role == "training"],
            cards=[row for _, row in rows if row],
            training=training,
            evaluation=evaluation,
            charts=run_charts(facts.curves),
            results=results_table(facts.results["rows"]) if facts.results else None,
            skipped=skipped,
            more_skipped=more,
            versions=versions(),
            problems=facts.problems,  # last: making the pictures may have added some
        )
    )


class Pictured:
    """Hold one set with its strips, and the encoded pictures of each strip once they are known."""

    def __init__(self, facts: SetFacts, strips: list[Strip]) -> None:
        self.facts, self.strips = facts, strips
        self.pictures: list[list[Picture]] = []


def _pictured(facts: RunFacts, chosen: list[SetFacts]) -> list[Pictured]:
    return [Pictured(one, make_strips(facts, one)) for one in chosen]


def _encode(sets: list[Pictured]) -> None:
    encoded = iter(encode_strips([strip for one in sets for strip in one.strips]))
    for one in sets:
        one.pictures = [next(encoded) for _ in one.strips]
