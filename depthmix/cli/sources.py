"""`depthmix sources`: the sources that are known and what their labels are worth."""

import argparse
import textwrap
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Final

from depthmix.cli.catalogue import Rows, declare, print_rows, read_catalogue
from depthmix.errors import ConfigError
from depthmix.plug_ins import SOURCES, announced, package_of

__all__ = ["COLUMNS", "add_arguments", "run"]

# Written by docs/make_sources.py from the cards of the classes; read here because importing every reader to
# list their names would take longer than the reader of the list waits.
CATALOGUE: Final = Path(__file__).parents[1] / "sources" / "sources.csv"
COLUMNS: Final = (
    *("name", "class", "family", "quality", "kind", "unit", "density", "noise", "licence", "size"),
    *("read on real files", "layout", "citation"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    declare(parser, "source", family="lidar", kind="this kind, such as METRIC_DEPTH")
    parser.add_argument("--quality", type=str.upper, help="only this tier: WEAK, LOW, MIDDLE or HIGH")


def run(options: argparse.Namespace) -> int:
    """Print one line per source, or the whole card of one."""
    listed = read_catalogue(CATALOGUE)
    rows = listed | _plug_ins(listed)
    if options.action == "show":
        shown = _shown(rows, options.name)
        rows = {shown: rows[shown]}
    for field in ("family", "quality", "kind"):
        wanted = getattr(options, field)
        if wanted:
            rows = {name: row for name, row in rows.items() if row[field] == wanted}
    print_rows(rows, options, "source", _print_list, 18)
    return 0


def _plug_ins(listed: Container[str]) -> dict[str, dict[str, str]]:
    packages = {point.name: package_of(point) for point in announced(SOURCES)}
    if not packages:
        return {}
    from depthmix.sources.registry import available, described

    rows = {
        name: described(name, source) | {"package": packages[name]}
        for name, source in available().items()
        if name not in listed
    }
    return {row.pop("class"): row for row in rows.values()}


def _shown(rows: Mapping[str, dict[str, str]], name: str | None) -> str:
    if not name:
        raise ConfigError("no source named", field="name", hint="see `depthmix sources list`")
    if name in rows:
        return name
    # The name in the mix and other capitals are meant for the same card.
    for known, row in rows.items():
        if name.lower() in (known.lower(), row["name"]):
            return known
    from depthmix.sources.registry import find

    find(name)  # says which names are near
    raise AssertionError(name)


def _print_list(rows: Rows) -> None:
    width = max(len(name) for name in rows)
    last = ""
    for name, row in sorted(rows.items(), key=lambda item: (item[1]["family"], item[0])):
        if row["family"] != last:
            last = row["family"]
            print(f"{last}:")
        real = "real" if row["read on real files"] == "yes" else ""
        licence = textwrap.shorten(row["licence"], 60, placeholder=" ...")
        package = f" (package {row['package']})" if "package" in row else ""
        start = f"  {name:{width}} {row['quality']:7} {row['kind']:17} {row['density']:7} {real:5}"
        print(f"{start} {licence}{package}")
    print(f"{len(rows)} sources; real = the reader was run on files of the publisher, too")
    print("`depthmix sources show NAME` prints the card of one: unit, size, layout, citation")
