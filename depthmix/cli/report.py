"""`depthmix report`: one page about a run, or about several side by side."""

import argparse
from pathlib import Path

from depthmix.errors import ConfigError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "run_folder",
        type=Path,
        nargs="+",
        help="folder of a run, with metrics.csv and last.ckpt; several are compared with the first",
    )
    parser.add_argument("--data", type=Path, required=True, help="root of the prepared mix")
    parser.add_argument(
        "--out",
        type=Path,
        help="where to write (default: report.html in the run folder, or comparison.html in the first one)",
    )
    parser.add_argument("--ckpt", type=Path, help="whose predictions to show (default: last.ckpt of the run)")
    parser.add_argument("--trust", action="store_true", help="let the checkpoint import foreign code")


def run(options: argparse.Namespace) -> int:
    """Write the page and print its path."""
    from depthmix.report import build_comparison, build_report

    runs = options.run_folder
    if len(runs) > 1:
        if options.ckpt:
            raise ConfigError("is of one run; several show their last.ckpt", field="--ckpt")
        page = build_comparison(runs, options.data, options.out, trust=options.trust)
    else:
        page = build_report(runs[0], options.data, options.out, options.ckpt, trust=options.trust)
    print(page)
    return 0
