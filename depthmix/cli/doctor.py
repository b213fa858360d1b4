"""`depthmix doctor`: what this machine has, what is wrong with it, and what to do."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from depthmix.cli.health import Finding, findings

__all__ = ["add_arguments", "run"]

MARKS = {"ok": "ok", "note": "-", "warning": "!", "problem": "X"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path(), help="where data and runs are to lie (default: here)"
    )
    parser.add_argument("--quick", action="store_true", help="import nothing; takes no time")
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def run(options: argparse.Namespace) -> int:
    """Print one line for each finding; exit with 1 if there is a problem."""
    found = findings(options.folder, tries=not options.quick)
    if options.json:
        print(json.dumps([asdict(one) for one in found], indent=2))
    else:
        width = max(len(one.what) for one in found)
        for one in found:
            print(_line(one, width))
        print(_summary(found))
    return int(any(one.level == "problem" for one in found))


def _line(one: Finding, width: int) -> str:
    hint = f"; {one.hint}" if one.hint else ""
    return f"{MARKS[one.level]:>2}  {one.what:{width}}  {one.found}{hint}"


def _summary(found: list[Finding]) -> str:
    counts = {level: sum(one.level == level for one in found) for level in ("problem", "warning")}
    named = [f"{count} {level}{'' if count == 1 else 's'}" for level, count in counts.items() if count]
    return ", ".join(named) if named else "nothing is wrong"
