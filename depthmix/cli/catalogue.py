"""Tables of what classes say about themselves: listing them must not wait until the classes are imported."""

import argparse
import csv
import io
import json
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from depthmix.errors import ConfigError

__all__ = ["Rows", "csv_text", "declare", "print_rows", "read_catalogue"]

Rows = Mapping[str, Mapping[str, str]]


def declare(parser: argparse.ArgumentParser, what: str, *, family: str, kind: str) -> None:
    """Declare the options that every catalogue has; `what` is the word for one of its rows."""
    parser.add_argument("action", choices=["list", "show"])
    parser.add_argument("name", nargs="?", help=f"class name of the {what} to show")
    parser.add_argument("--family", help=f"only this family, such as '{family}'")
    parser.add_argument("--kind", type=str.upper, help=f"only {kind}")
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def print_rows(
    rows: Rows, options: argparse.Namespace, what: str, print_list: Callable[[Rows], None], width: int
) -> None:
    """Print rows as the options of `declare` ask; on a card, names of fields take `width` columns.

    Raises:
        ConfigError: no row is left.
    """
    if not rows:
        raise ConfigError(
            f"no {what} is like that", field=f"{options.command} list", hint="leave out a filter"
        )
    if options.json:
        print(json.dumps(rows, indent=2))
    elif options.action == "list":
        print_list(rows)
    else:
        for name, row in rows.items():
            _print_card(name, row, width)


def read_catalogue(file: Path) -> dict[str, dict[str, str]]:
    """Read what shipped classes say about themselves, by class name.

    Raises:
        ConfigError: the table was not installed.
    """
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            return {row.pop("class"): row for row in csv.DictReader(stream)}
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error}", field=str(file), hint="install depthmix again"
        ) from error


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> str:
    """Return the rows as `read_catalogue` reads them."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _print_card(name: str, row: Mapping[str, str], width: int) -> None:
    print(name)
    for field, value in row.items():
        lines = [part for line in value.split("\n") for part in textwrap.wrap(line, 90)] or ["-"]
        print(f"  {field:{width}} " + f"\n{'':{width + 3}}".join(lines))
