"""`depthmix test --protocol NAME`: a published evaluation on a raw copy, without preparing it."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from depthmix.errors import BadSource, ConfigError, visible

if TYPE_CHECKING:
    from depthmix.evaluation import Outcome
    from depthmix.metrics.protocol import Protocol
    from depthmix.sources.base import Source

__all__ = ["OPTION", "chosen", "find_protocol", "parser", "read_protocol", "run", "shipped_protocols"]

OPTION = "--protocol"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message, hint=f"see `depthmix test {OPTION} NAME --help`")


def run(arguments: Sequence[str]) -> int:
    """Evaluate a checkpoint by a protocol; 1 where a sample could not be read, or none could be measured."""
    options = parser().parse_args(arguments)
    if options.protocol == "list":
        print("\n".join(f"{name:24}{protocol.about}" for name, protocol in _all().items()))
        return 0
    protocol = find_protocol(options.protocol)
    for needed in ("ckpt", "raw"):
        if getattr(options, needed) is None:
            raise ConfigError("not given", field=f"--{needed}", hint=f"{protocol.name}: {protocol.about}")
    source, changed = _source(protocol, options.raw, options.option)
    keys, missing = chosen(protocol, source, options.split_file)
    if options.limit is not None:
        from depthmix.audit.run import spread_out

        keys = spread_out(keys, options.limit)
    outcome, seen = _evaluated(options, protocol, source, keys)
    facts = {
        "protocol": protocol.plain(),
        "changed": changed,
        "licence": source.card.licence,
        "count": {"measured": outcome.measured, "of": protocol.split.images, "limit": options.limit},
        "missing": missing,
        "skipped": outcome.skipped,
        "notes": outcome.notes,
        "images": outcome.images,
    }
    out = options.out or (seen.parent if seen.is_file() else seen) / protocol.name
    _write(out, outcome, str(options.ckpt), facts)
    print(visible(_said(protocol, outcome, missing, changed, options), "\n"))
    unreadable = any(reason != _empty() for reason in outcome.skipped.values())
    return int(unreadable or not outcome.measured)


def parser() -> argparse.ArgumentParser:
    """Return the parser of this form of `depthmix test`."""
    found = _Parser(prog="depthmix test", description="Evaluate a checkpoint as published tables do.")
    found.add_argument(OPTION, required=True, help="name of a shipped protocol, a YAML file, or list")
    found.add_argument("--ckpt", "--ckpt_path", type=Path, help="checkpoint, run folder or exported folder")
    found.add_argument("--raw", type=Path, help="folder of the raw data set")
    found.add_argument("--split-file", "--split_file", type=Path, metavar="FILE",
                        help="list of the images (default: the usual name, in the raw folder)")  # fmt: skip
    found.add_argument("--out", type=Path, help="folder for test.json and test.csv (default: beside ckpt)")
    found.add_argument("--limit", type=_positive, metavar="N",
                        help="take N images, spread over the split")  # fmt: skip
    found.add_argument("--option", action="append", default=[], metavar="NAME=VALUE",
                        help="change an option of the source; the result says so")  # fmt: skip
    found.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto",
                        help="where the network computes (default: a GPU where there is one)")  # fmt: skip
    found.add_argument("--on-bad", choices=["error", "skip"], default="error",
                        help="what to do with samples that cannot be read")  # fmt: skip
    found.add_argument("--trust", action="store_true", help="let the checkpoint import code outside depthmix")
    return found


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def shipped_protocols() -> dict[str, Path]:
    """Return the protocols that depthmix ships by name."""
    folder = Path(__file__).parents[1] / "configs" / "protocols"
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def find_protocol(name: str) -> "Protocol":
    """Return a protocol: a file, or one of those shipped.

    Raises:
        ConfigError: there is none of this name, or the file is no protocol.
    """
    from depthmix.configured import did_you_mean

    shipped = shipped_protocols()
    if Path(name).is_file():
        return read_protocol(Path(name))
    if name not in shipped:
        raise ConfigError(f"no protocol is called {name!r}" + did_you_mean(name, shipped), field=OPTION)
    return read_protocol(shipped[name])


def read_protocol(file: Path) -> "Protocol":
    """Read a protocol from YAML, and compare it with what a protocol and its source take.

    Raises:
        ConfigError: the first problem, as file:line:column, and how many others there are.
    """
    from depthmix.cli.schema import Problem, call_problems, read_document
    from depthmix.metrics.protocol import Protocol
    from depthmix.sources.registry import find

    document, problems = read_document(file)
    if document is None:
        raise ConfigError(problems[0].located(file), hint="see docs/evaluation.md for an example")
    problems += call_problems(document.root, Protocol, "")
    if not problems:
        try:
            protocol = Protocol.of(document.values)
            _check_options(document.root, find(protocol.source), problems)
        except ConfigError as error:
            line, column = document.place(*(error.field or "").split("."))
            text = error.reason + (f"; {error.hint}" if error.hint else "")
            problems.append(Problem(line, column, error.field or "", text))
    if problems:
        others = len(problems) - 1
        hint = f"{others} more problem{'' if others == 1 else 's'}" if others else None
        raise ConfigError(sorted(problems)[0].located(file), hint=hint)
    return protocol


def _check_options(root: Any, source: "type[Source]", problems: list[Any]) -> None:
    from depthmix.cli.schema import call_problems

    for key, value in root.value:
        if key.value == "options":
            found = call_problems(value, source, "options")
            problems += [problem for problem in found if not problem.missing]


def _all() -> "dict[str, Protocol]":
    return {name: read_protocol(file) for name, file in shipped_protocols().items()}


def _source(protocol: "Protocol", raw: Path, options: Sequence[str]) -> "tuple[Source, dict[str, str]]":
    from depthmix.cli.prepare import construct

    own = [f"{name}={value if isinstance(value, str) else json.dumps(value)}"
           for name, value in protocol.options.items()]  # fmt: skip
    source = construct(protocol.source, raw, [*own, *options])
    return source, dict(text.split("=", 1) for text in options)


def chosen(protocol: "Protocol", source: "Source", split_file: Path | None) -> tuple[list[str], list[str]]:
    """Return the keys of the split that the raw copy has, and the ones that it lacks.

    Raises:
        ConfigError: the list is not there, or names other things than images.
        BadSource: the raw folder is another one, or has no image of the list.
    """
    from depthmix.sources.tables import read_lines

    there = list(source.keys())
    split = protocol.split
    if not split.file:
        if split_file is not None:
            reason = f"{protocol.name} takes all images that {type(source).__name__} lists"
            raise ConfigError(reason, field="--split-file", hint="leave it out")
        return there, []
    file = split_file or source.root / split.file
    if not file.is_file():
        reason = f"the list of the {split.images} images is not there: {file}"
        hint = f"fetch {split.published} and give it with --split-file"
        raise ConfigError(reason, field="--split-file", hint=hint)
    try:
        wanted = split.keys(read_lines(file))
    except ConfigError as error:
        raise ConfigError(error.reason, file=file, hint=error.hint) from error
    known = {_plain_key(key): key for key in there}
    found = [known[_plain_key(key)] for key in wanted if _plain_key(key) in known]
    if not found:
        reason = f"holds none of the {len(wanted)} images of {file}, such as {wanted[0] if wanted else '-'}"
        raise BadSource(reason, file=source.root, hint=f"expected {source.layout}")
    return found, [key for key in wanted if _plain_key(key) not in known]


def _plain_key(key: str) -> str:
    """Drop zeros before the number of a frame: exports of one data set differ in them."""
    folder, slash, number = key.rpartition("/")
    return folder + slash + (number.lstrip("0") or "0") if number.isdecimal() else key


def _evaluated(
    options: argparse.Namespace, protocol: "Protocol", source: "Source", keys: Sequence[str]
) -> "tuple[Outcome, Path]":
    from depthmix.artefact import checkpoint_at
    from depthmix.cli.progress import bar
    from depthmix.evaluation import evaluate
    from depthmix.predict import on_device
    from depthmix.trained import load_trained

    file = checkpoint_at(options.ckpt)
    trained = on_device(load_trained(file, trust=options.trust), options.device)
    with bar(f"test {protocol.name}") as update:
        return evaluate(trained, source, keys, protocol, on_bad=options.on_bad, progress=update), file


def _write(out: Path, outcome: "Outcome", checkpoint: str, facts: Mapping[str, Any]) -> None:
    from depthmix.metrics.table import write_results

    write_results(out, outcome.rows, checkpoint, facts)


def _empty() -> str:
    from depthmix.evaluation import EMPTY

    return EMPTY


def _said(
    protocol: "Protocol",
    outcome: "Outcome",
    missing: Sequence[str],
    changed: Mapping[str, str],
    options: argparse.Namespace,
) -> str:
    from depthmix.metrics.table import format_table

    lines = [f"{protocol.name}: {protocol.about}",
             f"{outcome.measured} of {protocol.split.images} images"]  # fmt: skip
    if options.limit is not None:
        lines[-1] += f", --limit {options.limit}"
    if outcome.measured != protocol.split.images:
        lines[-1] += ": not comparable with published figures"
    if missing:
        lines.append(f"{len(missing)} of the list are not in {options.raw}, such as {missing[0]}")
    for reason in dict.fromkeys(outcome.skipped.values()):
        some = [key for key, other in outcome.skipped.items() if other == reason]
        lines.append(f"{len(some)} left out, such as {some[0]}: {reason}")
    if changed:
        lines.append("changed: " + ", ".join(f"{name}={value}" for name, value in changed.items()))
    lines += outcome.notes
    return "\n".join([*lines, format_table(outcome.rows)])
