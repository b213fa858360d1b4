"""`depthmix losses`: the losses that are known, and what each of them asks of a label."""

import argparse
import re
import sys
import textwrap
from collections.abc import Container, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from depthmix.cli.catalogue import Rows, declare, print_rows, read_catalogue
from depthmix.cli.options import REQUIRED, options_of
from depthmix.configured import did_you_mean
from depthmix.errors import ConfigError
from depthmix.plug_ins import LOSSES, announced, package_of

if TYPE_CHECKING:
    from depthmix.losses import DepthLoss

__all__ = ["COLUMNS", "add_arguments", "options_text", "run"]

# Written by docs/make_losses.py; read here because the classes need torch, which takes seconds to import.
CATALOGUE: Final = Path(__file__).parents[1] / "losses" / "losses.csv"
COLUMNS: Final = ("class", "family", "what", "accepts", "needs", "formula", "options", "paper", "module")
EVERY_KIND: Final = "all kinds"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    declare(parser, "loss", family="edges", kind="those for this kind, such as AFFINE_DISPARITY")


def run(options: argparse.Namespace) -> int:
    """Print one line per loss, or all about one."""
    listed = read_catalogue(CATALOGUE)
    rows = listed | _plug_ins(listed)
    if options.action == "show":
        shown = _shown(rows, options.name)
        rows = {shown: rows[shown]}
    if options.family:
        rows = {name: row for name, row in rows.items() if row["family"] == options.family}
    if options.kind:
        rows = {name: row for name, row in rows.items() if _accepts(row, options.kind)}
    print_rows(rows, options, "loss", _print_list, 10)
    return 0


def options_text(loss: "type[DepthLoss]") -> str:
    """Return the options of a loss, one a line, with the words of its class or of its formula."""
    formula = re.search(r"`(\w+)`", (loss.__doc__ or "").partition("\n")[0])
    function = getattr(sys.modules[loss.__module__], formula[1], None) if formula else None
    told = {one.name: one.text for one in options_of(function)} if callable(function) else {}
    lines = []
    for option in options_of(loss):
        words = option.text or told.get(option.name, "")
        default = "" if option.default is REQUIRED else f" = {option.default!r}"
        lines.append(f"{option.name}{default}" + (f": {words}" if words else ""))
    return "\n".join(lines)


def _plug_ins(listed: Container[str]) -> dict[str, dict[str, str]]:
    packages = {point.name: package_of(point) for point in announced(LOSSES)}
    if not packages:
        return {}
    from depthmix.losses.registry import available, described

    rows = {}
    for name, loss in available().items():
        if name not in listed:
            row = dict.fromkeys(COLUMNS[1:], "") | described(loss) | {"options": options_text(loss)}
            del row["class"]
            rows[name] = row | {"family": "other packages", "package": packages[name]}
    return rows


def _shown(rows: Mapping[str, dict[str, str]], name: str | None) -> str:
    if not name:
        raise ConfigError("no loss named", field="name", hint="see `depthmix losses list`")
    by_lower = {known.lower(): known for known in rows}
    if name.lower() not in by_lower:
        raise ConfigError(f"no loss is called {name!r}{did_you_mean(name, rows)}", field="name")
    return by_lower[name.lower()]


def _accepts(row: Mapping[str, str], kind: str) -> bool:
    return row["accepts"] == EVERY_KIND or kind in row["accepts"].split(", ")


def _print_list(rows: Rows) -> None:
    width = max(len(name) for name in rows)
    last = ""
    for name, row in rows.items():
        if row["family"] != last:
            last = row["family"]
            print(f"{last}:")
        what = textwrap.shorten(row["what"].partition("; see ")[0].rstrip("."), 80, placeholder=" ...")
        package = f" (package {row['package']})" if "package" in row else ""
        print(f"  {name:{width}} {_kinds(row):21} {row['needs']:19} {what}{package}")
    print(f"{len(rows)} losses: the kinds of label that each accepts, what else it needs, what it does")
    print("`depthmix losses show NAME` prints all about one: formula, options, paper")


def _kinds(row: Mapping[str, str]) -> str:
    """Return the kinds of label by the first words of their names, the best first."""
    if row["accepts"] == EVERY_KIND:
        return EVERY_KIND
    return " ".join(kind.partition("_")[0].lower() for kind in reversed(row["accepts"].split(", ")))
