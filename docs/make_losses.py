"""Write losses/losses.csv from the classes and from the table of losses/README.md.

Run `python docs/make_losses.py` after a loss was added or its words changed; a test compares the two.
"""

import re
from pathlib import Path

from depthmix.cli.catalogue import csv_text
from depthmix.cli.losses import COLUMNS, options_text
from depthmix.losses.registry import described, shipped

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "losses" / "README.md"
OUT = ROOT / "losses" / "losses.csv"


def rows(page: str) -> list[dict[str, str]]:
    """Return one row a loss, in the order of the page, which also gives family, formula and paper."""
    found, family, losses = [], "", shipped()
    for line in page.splitlines():
        cells = [_plain(cell) for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells and line.startswith("| **"):
            family = cells[0].strip("*").partition(":")[0]
        elif cells and cells[0] in losses:
            loss = losses[cells[0]]
            stated = {
                "family": family,
                "formula": cells[1],
                "paper": cells[-1],
                "options": options_text(loss),
            }
            found.append(described(loss) | stated)
    return found


def table(stated: list[dict[str, str]]) -> str:
    """Return the rows as CSV."""
    return csv_text(COLUMNS, stated)


def _plain(cell: str) -> str:
    """Return a cell of a table in Markdown as it reads."""
    linked = re.sub(r"\[[^]]*\]\(([^)]*)\)", r"\1", cell)
    return linked.replace("\\|", "|").replace("\\*", "*").replace("`", "").strip()


if __name__ == "__main__":
    OUT.write_text(table(rows(PAGE.read_text(encoding="utf-8"))), encoding="utf-8")
