"""`depthmix view`: look at samples of a prepared set, a raw folder or a run."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from depthmix.errors import ConfigError, StorageError

if TYPE_CHECKING:
    from depthmix.view import Items

__all__ = ["add_arguments", "run"]

MOST = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "path", type=Path, help="prepared set, folder of sets, run folder, or raw data with --source"
    )
    parser.add_argument("--source", help="class name of the source that reads the raw data")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the source"
    )
    parser.add_argument("--options", type=Path, metavar="FILE", help="options of the source as YAML")
    parser.add_argument(
        "--data", type=Path, help="root of the prepared sets of a run (default: as configured)"
    )
    parser.add_argument("--samples", type=int, default=24, help=f"most samples shown, up to {MOST}")
    parser.add_argument("--out", type=Path, default=Path("view.html"), help="the page (default: view.html)")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    parser.add_argument(
        "--rrd", type=Path, metavar="FILE", help="write a recording for rerun instead of a page"
    )
    parser.add_argument("--trust", action="store_true", help="let the checkpoint import foreign code")


def run(options: argparse.Namespace) -> int:
    """Write the page or the recording and print its path; 1 where no sample could be read."""
    if not 0 < options.samples <= MOST:
        raise ConfigError(f"must be from 1 to {MOST}, got {options.samples}", field="--samples")
    if options.source is None and (options.option or options.options):
        raise ConfigError("only a source has options; name it by --source", field="--option")
    if not options.path.exists():
        raise StorageError("no such folder", file=options.path, hint="give a prepared set, a run or raw data")
    from depthmix.view import build_view, write_recording

    items = _items(options)
    if options.rrd is not None:
        print(write_recording(items, options.rrd))
        return int(not items.chosen)
    page = build_view(items, options.out)
    print(page)
    if options.open:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())
    return int(not items.chosen)


def _items(options: argparse.Namespace) -> "Items":
    from depthmix.view import items_of_run, items_of_sets, items_of_source

    path: Path = options.path
    if options.source is not None:
        from depthmix.cli.prepare import construct

        source = construct(options.source, path, options.option, file=options.options)
        return items_of_source(source, options.samples)
    if any((path / name).is_file() for name in ("metrics.csv", "last.ckpt", "config.yaml")):
        return items_of_run(path, options.data, options.samples, trust=options.trust)
    return items_of_sets(path, options.samples)
