"""The page: pictures of each sample, with filters that work in the browser and without one."""

from pathlib import Path
from typing import Any, Final

from depthmix.plot.figures import format_number
from depthmix.plot.panels import sample_panels, strip_panels
from depthmix.plot.words import kind_words, sample_title
from depthmix.report.page import Pictured, fit_pictures
from depthmix.report.pages import fill_template, write_page
from depthmix.report.script import read_script
from depthmix.report.strips import Strip, sample_facts
from depthmix.view.gather import Item, Items

__all__ = ["build_view"]

TEMPLATE: Final = "view.html.jinja"


def build_view(items: Items, out: Path) -> Path:
    """Write the page and return its path.

    Args:
        items: the samples.
        out: the file.

    Raises:
        StorageError: the page cannot be written.
    """
    pictured = Pictured("", "", [_strip(item) for item in items.chosen])
    rows = [_row(item) for item in items.chosen]
    values: dict[str, Any] = {
        "title": items.title,
        "items": list(zip(rows, pictured.strips, strict=True)),
        "choices": {
            name: list(dict.fromkeys(str(row[name]) for row in rows)) for name in ("source", "tier", "kind")
        },
        "scored": any(item.score is not None for item in items.chosen),
        "problems": list(dict.fromkeys(items.problems)),
        "sections": [],
    }

    def text() -> str:
        script = read_script("depthmix.view", "view.js")
        return fill_template("depthmix.view", TEMPLATE, script=script, pictures=pictured.pictures, **values)

    return write_page(out, fit_pictures([pictured], text))


def _strip(item: Item) -> Strip:
    panels = sample_panels(item.sample)
    if item.depth is not None:
        panels += strip_panels(item.sample, item.depth, metric=item.metric)[2:]
    return Strip(sample_title(item.sample), sample_facts(item.sample), panels)


def _row(item: Item) -> dict[str, str]:
    return {
        "source": item.source,
        "role": item.role,
        "tier": item.sample.quality.name,
        "kind": kind_words(item.sample.kind),
        "score": "" if item.score is None else format_number(item.score),
    }
