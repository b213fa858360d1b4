"""Write sources/sources.csv, docs/sources.md and README.md's table of sources from the cards of the classes.

Run `python docs/make_sources.py` after a source was added or a card changed; a test compares all three.
"""

from pathlib import Path

from depthmix.cli.catalogue import csv_text
from depthmix.cli.sources import COLUMNS
from depthmix.sources.registry import described, shipped

ROOT = Path(__file__).parents[1]
FILES = {
    "table": ROOT / "sources" / "sources.csv",
    "page": ROOT / "docs" / "sources.md",
    "readme": ROOT / "README.md",
}
HEAD = """# Sources

Made by `python docs/make_sources.py` from the cards of the classes. Quality: how far the numbers can be
trusted (WEAK < LOW < MIDDLE < HIGH). Kind: what is mathematically known. Real files: whether a test reads
files of the publisher, not only files written after its description. depthmix downloads nothing: fetch a
data set from its publisher under its own terms, and point the source at the folder. Own folders need no
code: `FolderSource`.
"""


def rows() -> list[dict[str, str]]:
    """Return one row a source, by family and name."""
    found = [described(name, source) for name, source in shipped().items()]
    return sorted(found, key=lambda row: (row["family"], row["class"]))


def table(stated: list[dict[str, str]]) -> str:
    """Return the rows as CSV."""
    return csv_text(COLUMNS, stated)


def page(stated: list[dict[str, str]]) -> str:
    """Return the rows as tables in Markdown, one a family."""
    parts = [HEAD]
    for family in sorted({row["family"] for row in stated}):
        parts.append(
            f"\n## {family}\n\n| source | quality | kind | density | layout | size | licence | real files |"
        )
        parts.append("|---|---|---|---|---|---|---|---|")
        for row in (row for row in stated if row["family"] == family):
            cells = [f"`{row['class']}`", row["quality"], row["kind"], row["density"], f"`{row['layout']}`"]
            cells += [row["size"], row["licence"], row["read on real files"]]
            parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(parts) + "\n"


def readme(stated: list[dict[str, str]], text: str) -> str:
    """Return the text of README.md with the table of its section Sources made anew, one row a family."""
    lines = ["| family | sources |", "|---|---|"]
    for family in sorted({row["family"] for row in stated}):
        names = ", ".join(f"`{row['class']}`" for row in stated if row["family"] == family)
        lines.append(f"| {family} | {names} |")
    before, _, after = text.partition("## Sources\n")
    return f"{before}## Sources\n" + "\n".join(lines) + "\n\n" + after.partition("\n\n")[2]


def main() -> None:
    """Write the three files."""
    stated = rows()
    FILES["table"].write_text(table(stated), encoding="utf-8")
    FILES["page"].write_text(page(stated), encoding="utf-8")
    text = FILES["readme"].read_text(encoding="utf-8")
    FILES["readme"].write_text(readme(stated, text), encoding="utf-8")


if __name__ == "__main__":
    main()
