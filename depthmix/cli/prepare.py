"""`depthmix prepare`: raw data set -> checked HDF5 shards."""

import argparse
from pathlib import Path

__all__ = ["add_arguments", "prepare_with_bar", "run"]

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depthmix.prepare import PrepareReport
    from depthmix.sources.base import Source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("source", help="class name of the source, see `depthmix sources list`")
    parser.add_argument("raw", type=Path, help="folder of the raw data")
    parser.add_argument("out", type=Path, help="root of the prepared mix; the set goes to OUT/NAME")
    parser.add_argument("--name", help="name of the source in the mix (default: the source's own)")
    parser.add_argument("--size", help="HxW: scale to cover and crop the centre, such as 384x512")
    parser.add_argument("--workers", type=int, default=2, help="processes; the result does not depend on it")
    parser.add_argument("--on-bad", choices=["skip", "error"], default="skip")
    parser.add_argument("--overwrite", action="store_true", help="replace a set made with other options")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE",
                        help="an option of the source, such as --option split=val")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Prepare one source and say what was left out and why."""
    from depthmix.sources.registry import find

    given = dict(_option(text) for text in options.option)
    if options.name:
        given["name"] = options.name
    source = _construct(find(options.source), options.raw, given)
    report = prepare_with_bar(
        source,
        options.out / source.name,
        size=_size(options.size),
        workers=options.workers,
        on_bad=options.on_bad,
        overwrite=options.overwrite,
    )
    print(summary(source.name, report))
    return 0


def prepare_with_bar(source: "Source", out: Path, **options: Any) -> "PrepareReport":
    """Prepare one source under a progress bar; options as in `depthmix.prepare.prepare`."""
    from depthmix.cli.progress import bar
    from depthmix.prepare import prepare

    with bar(f"prepare {source.name}") as update:
        return prepare(
            source,
            out,
            progress=lambda now: update(now.done, now.total, f"{now.skipped} skipped" if now.skipped else ""),
            **options,
        )


def summary(name: str, report: "PrepareReport") -> str:
    """Say in a few lines what was prepared and what was left out."""
    how = "was there already" if report.reused else f"{report.bytes / 1e6:.1f} MB in {report.seconds:.1f} s"
    lines = [f"{name}: {report.count} samples, {len(report.skipped)} skipped, {how}"]
    lines += [f"  skipped {skipped.key}: {skipped.reason}" for skipped in report.skipped[:10]]
    if len(report.skipped) > 10:
        lines.append(f"  and {len(report.skipped) - 10} more, see quarantine.jsonl")
    return "\n".join(lines)


def _option(text: str) -> tuple[str, object]:
    import yaml

    from depthmix.errors import ConfigError

    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise ConfigError(f"must be NAME=VALUE, got {text!r}", field="--option")
    return name, yaml.safe_load(value)


def _construct(kind: "type[Source]", raw: Path, given: dict[str, object]) -> "Source":
    from inspect import signature

    from depthmix.errors import ConfigError

    known = [name for name in signature(kind.__init__).parameters if name not in ("self", "root")]
    for name in given:
        if name not in known:
            hint = f"{kind.__name__} takes {', '.join(known)}"
            raise ConfigError(f"{kind.__name__} has no such option", field=f"--option {name}", hint=hint)
    return kind(raw, **given)  # type: ignore[arg-type]


def _size(text: str | None) -> tuple[int, int] | None:
    from depthmix.errors import ConfigError

    if text is None:
        return None
    height, cross, width = text.partition("x")
    if not (cross and height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise ConfigError(f"must be HEIGHTxWIDTH such as 384x512, got {text!r}", field="--size")
    return int(height), int(width)
