"""`depthmix verify`: every byte of prepared data against its records."""

import argparse
import sys
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("root", type=Path, nargs="+", help="prepared sets, or a folder that holds some")


def run(options: argparse.Namespace) -> int:
    """Print one line per problem; exit code 1 if there is one."""
    from depthmix.errors import StorageError

    problems = 0
    for root in options.root:
        sets = sorted(path.parent for path in [*root.glob("index.json"), *root.glob("*/index.json")])
        if not sets:
            raise StorageError(
                "no prepared set here (no index.json)", file=root, hint="run `depthmix prepare`"
            )
        problems += sum(_verify(folder) for folder in sets)
    return 1 if problems else 0


def _verify(folder: Path) -> int:
    """Print the problems of one set, its record included, and return how many there are."""
    from depthmix.errors import DepthmixError
    from depthmix.store.reader import ShardSet

    try:
        shards = ShardSet(folder)
        found = shards.verify()
    except DepthmixError as error:  # the other sets are looked at all the same
        print(error, file=sys.stderr)
        return 1
    for problem in found:
        print(problem, file=sys.stderr)
    print(f"{folder}: {len(shards)} samples, {len(found)} problem{'' if len(found) == 1 else 's'}")
    return len(found)
