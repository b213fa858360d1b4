"""`depthmix report`: one page about a run."""

import argparse
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("run_folder", type=Path, help="folder of the run, with metrics.csv and last.ckpt")
    parser.add_argument("--data", type=Path, required=True, help="root of the prepared mix")
    parser.add_argument("--out", type=Path, help="where to write (default: report.html in the run folder)")
    parser.add_argument("--ckpt", type=Path, help="whose predictions to show (default: last.ckpt of the run)")
    parser.add_argument("--trust", action="store_true", help="let the checkpoint import foreign code")


def run(options: argparse.Namespace) -> int:
    """Write the page and print its path."""
    from depthmix.report import build_report

    page = build_report(options.run_folder, options.data, options.out, options.ckpt, trust=options.trust)
    print(page)
    return 0
