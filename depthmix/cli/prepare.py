"""`depthmix prepare`: raw data set -> checked HDF5 shards."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from depthmix.cli.sizes import parse_size
from depthmix.errors import ConfigError, visible

if TYPE_CHECKING:
    from depthmix.prepare import PrepareReport, Progress
    from depthmix.sources.base import Source

__all__ = ["add_arguments", "construct", "prepare_with_bar", "run", "summary"]

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
    parser.add_argument("--scheduler", metavar="ADDRESS",
                        help="Dask scheduler whose workers do it, such as tcp://node1:8786")  # fmt: skip
    parser.add_argument("--num-jobs", type=int, default=1, help="jobs of an array that share the work")
    parser.add_argument("--job-id", type=int, default=0, help="number of this job in the array, from 0")
    parser.add_argument("--on-bad", choices=["skip", "error"], default="skip")
    parser.add_argument("--max-bad-fraction", type=float, metavar="PART",
                        help="part of the samples that may be bad (default: 0.1 %%, at least 100 samples, "
                             "at most 10 %% of a small source)")  # fmt: skip
    parser.add_argument("--image", choices=["jpeg", "jpeg444", "png"], default="jpeg",
                        help="quality 92 with half the chroma, 95 with all of it, or lossless")  # fmt: skip
    parser.add_argument(
        "--label", choices=["code16", "float32"], default="code16", help="float32 is lossless"
    )
    parser.add_argument("--shard-mb", type=int, default=64, help="size of a shard, about")
    parser.add_argument("--time-limit", type=float, default=300.0, metavar="SECONDS",
                        help="stop when a worker process hangs over one sample (default: 300)")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace a set made with other options")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE",
                        help="an option of the source, such as --option split=val")  # fmt: skip
    parser.add_argument("--options", type=Path, metavar="FILE", help="options of the source as YAML")


def run(options: argparse.Namespace) -> int:
    """Prepare one source and say what was left out and why."""
    from depthmix.store import CodecOptions

    size = parse_size(options.size)
    source = construct(options.source, options.raw, options.option, options.name, file=options.options)
    report = prepare_with_bar(
        source,
        options.out / source.name,
        size=size,
        workers=options.workers,
        scheduler=options.scheduler,
        job_id=options.job_id,
        num_jobs=options.num_jobs,
        on_bad=options.on_bad,
        max_bad_fraction=options.max_bad_fraction,
        codec=CodecOptions(options.image, options.label),
        shard_mb=options.shard_mb,
        overwrite=options.overwrite,
        time_limit_s=options.time_limit,
    )
    print(f"{source.name}: licence: {source.card.licence}")
    print(summary(source.name, report))
    return 0


def prepare_with_bar(source: "Source", out: Path, **options: Any) -> "PrepareReport":
    """Prepare one source under a progress bar; options as in `depthmix.prepare.prepare`."""
    from depthmix.cli.progress import bar
    from depthmix.prepare import prepare
    from depthmix.workers import keep_memory

    keep_memory()
    with bar(f"prepare {source.name}") as update:
        return prepare(
            source,
            out,
            progress=lambda now: update(now.done, now.total, _note(now)),
            **options,
        )


def _note(now: "Progress") -> str:
    skipped = f"{now.skipped} skipped, " if now.skipped else ""
    return f"{skipped}{now.bytes / 1e6:.0f} MB"


def summary(name: str, report: "PrepareReport") -> str:
    """Say in a few lines what was prepared and what was left out."""
    from depthmix.prepare import reasons

    how = "was there already" if report.reused else f"{report.bytes / 1e6:.1f} MB in {report.seconds:.1f} s"
    lines = [f"{name}: {report.count} samples, {len(report.skipped)} skipped, {how}"]
    if report.missing:
        lines.append(f"  {report.missing} shards are other jobs' work; the last job closes the set")
    if report.skipped:
        lines += [visible(f"  {line}") for line in reasons(name, report.skipped).splitlines()]
        lines.append("  quarantine.jsonl lists them all")
    return "\n".join(lines)


def construct(
    source: str, raw: Path, options: Sequence[str], name: str | None = None, *, file: Path | None = None
) -> "Source":
    """Construct a source as the command line names it, with its options as NAME=VALUE or from a YAML file.

    Raises:
        ConfigError: no such source or option, a value that the source refuses, or no such file.
        BadSource: the folder is not what the source reads.
    """
    from depthmix.sources.registry import find

    kind = find(source)
    values = _values_of_file(kind, file) if file is not None else {}
    for option, text in dict(map(_option, options)).items():
        values[option] = _value(text, _hint(kind, option, f"--option {option}"), f"--option {option}")
    if name is not None:
        values["name"] = name
    return _constructed(kind, raw, values)


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise ConfigError(f"must be NAME=VALUE, got {text!r}", field="--option")
    return name, value


def _constructed(kind: "type[Source]", raw: Path, values: dict[str, Any]) -> "Source":
    from depthmix.store.record import storage_errors

    try:
        with storage_errors(raw):
            source = kind(raw, **values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{kind.__name__} refuses its options: {error}", field="--option") from error
    if not re.fullmatch(NAME, source.name):
        raise ConfigError(f"a name holds letters, digits, _ and - only, got {source.name!r}", field="--name")
    return source


def _hint(kind: "type[Source]", option: str, field: str) -> object:
    """Return the type of an option."""
    from inspect import signature
    from typing import get_type_hints

    known = [name for name in signature(kind.__init__).parameters if name not in ("self", "root")]
    if option not in known:
        hint = f"{kind.__name__} takes {', '.join(known)}"
        raise ConfigError(f"{kind.__name__} has no such option", field=field, hint=hint)
    return get_type_hints(kind.__init__).get(option, object)


def _values_of_file(kind: "type[Source]", file: Path) -> dict[str, Any]:
    """Read options from a mapping in YAML; each is checked at its place."""
    import yaml

    from depthmix.cli.schema import shape_problems
    from depthmix.plain_yaml import parse_yaml, read_yaml_text

    try:
        node, values = parse_yaml(read_yaml_text(file))
    except OSError as error:
        raise ConfigError(error.strerror or str(error), file=file, field="--options") from error
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"is no YAML: {reason}", file=file, field="--options") from error
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError("must hold a mapping of options", file=file, field="--options")
    for key, value in node.value:
        place = f"line {key.start_mark.line + 1}: {key.value}"
        hint = _hint(kind, str(key.value), f"{file}: {place}")
        for problem in shape_problems(value, hint, ""):
            raise ConfigError(problem.text, file=file, field=place)
    return dict(values)


def _value(text: str, hint: object, field: str) -> object:
    """Read the value of an option as YAML, unless text is wanted."""
    import yaml

    from depthmix.cli.schema import shape_problems
    from depthmix.plain_yaml import parse_yaml

    if hint is str:
        return text
    try:
        node, value = parse_yaml(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"cannot be read as a value: {text!r}", field=field) from error
    if node is None:
        raise ConfigError("no value given", field=field)
    for problem in shape_problems(node, hint, ""):
        raise ConfigError(problem.text, field=field)
    return value
