"""`depthmix prepare`: raw data set -> checked HDF5 shards."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from depthmix.errors import ConfigError

if TYPE_CHECKING:
    from depthmix.prepare import PrepareReport
    from depthmix.sources.base import Source

__all__ = ["add_arguments", "prepare_with_bar", "run", "summary"]

# The rule of the mixture, kept here, too: a name becomes a folder, and must stay below OUT.
NAME: Final = r"[A-Za-z0-9][A-Za-z0-9_-]*"


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
    if options.name is not None:
        given["name"] = options.name
    size = _size(options.size)
    source = _construct(find(options.source), options.raw, given)
    report = prepare_with_bar(
        source,
        options.out / source.name,
        size=size,
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


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise ConfigError(f"must be NAME=VALUE, got {text!r}", field="--option")
    return name, value


def _construct(kind: "type[Source]", raw: Path, given: dict[str, str]) -> "Source":
    from inspect import signature
    from typing import get_type_hints

    known = [name for name in signature(kind.__init__).parameters if name not in ("self", "root")]
    hints = get_type_hints(kind.__init__)
    values: dict[str, Any] = {}
    for name, text in given.items():
        if name not in known:
            hint = f"{kind.__name__} takes {', '.join(known)}"
            raise ConfigError(f"{kind.__name__} has no such option", field=f"--option {name}", hint=hint)
        values[name] = _value(text, hints.get(name, object), f"--option {name}")
    try:
        source = kind(raw, **values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{kind.__name__} refuses its options: {error}", field="--option") from error
    if not re.fullmatch(NAME, source.name):
        raise ConfigError(f"a name holds letters, digits, _ and - only, got {source.name!r}", field="--name")
    return source


def _value(text: str, hint: object, field: str) -> object:
    """Read the value of an option as YAML, unless text is wanted."""
    import yaml

    from depthmix.cli.schema import shape_problems

    if hint is str:
        return text
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"cannot be read as a value: {text!r}", field=field) from error
    if node is None:
        raise ConfigError("no value given", field=field)
    for problem in shape_problems(node, hint, ""):
        raise ConfigError(problem.text, field=field)
    return value


def _size(text: str | None) -> tuple[int, int] | None:
    from depthmix.sources.files import MAX_PIXELS

    if text is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]*)x([1-9][0-9]*)", text)
    if found is None:
        raise ConfigError(f"must be HEIGHTxWIDTH such as 384x512, got {text!r}", field="--size")
    height, width = int(found[1]), int(found[2])
    if height * width > MAX_PIXELS:
        raise ConfigError(f"more than {MAX_PIXELS} pixels, got {text}", field="--size")
    return height, width
