"""`depthmix init`: a configuration for the prepared sets at hand, with every option explained."""

import argparse
import dataclasses
import json
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from depthmix.cli.options import REQUIRED, Option, options_of, record_in
from depthmix.errors import ConfigError, visible
from depthmix.store.record import commit, storage_errors

if TYPE_CHECKING:
    from depthmix.store import ShardSet

__all__ = ["add_arguments", "draft", "run"]

WIDTH: Final = 116
EVALUATED: Final = ("_val", "_test")  # how names of sets end that are not for training
STEP: Final = 16  # training sizes are multiples of it
ROOM: Final = 1.25  # stored images are this much larger than training images, so that windows can be drawn
SMALLEST: Final = 32
DEFAULT_SIZE: Final = (96, 128)
DEFAULT_FOCAL: Final = 120.0
SCHEMA_NAME: Final = "depthmix.schema.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("file", type=Path, nargs="?", default=Path("mix.yaml"), help="default: mix.yaml")
    parser.add_argument(
        "--data.root", dest="root", type=Path, default=Path("prepared"),
        help="folder of the prepared sets (default: prepared)",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it is there")


def run(options: argparse.Namespace) -> int:
    """Write the configuration and the schema beside it, and say what comes next."""
    from depthmix.cli.json_schema import config_schema

    file: Path = options.file
    if file.exists() and not options.overwrite:
        raise ConfigError("is there already", file=file, hint="give another name, or --overwrite")
    sets = _sets(options.root)
    text = draft(options.root, sets, file.name)
    with storage_errors(file):
        file.absolute().parent.mkdir(parents=True, exist_ok=True)
    commit(file.with_name(SCHEMA_NAME), (json.dumps(config_schema(), indent=1) + "\n").encode())
    commit(file, text.encode())
    names = ", ".join(visible(name) for name in sets) or f"no prepared set was found in {options.root}"
    print(f"{file}: {names}; {SCHEMA_NAME} lies beside it for editors\nnext: depthmix check {file}")
    return 0


def _sets(root: Path) -> dict[str, "ShardSet"]:
    from depthmix.store import ShardSet
    from depthmix.store.local import find_sets

    return {folder.name: ShardSet(folder) for folder in find_sets(root) if folder != root}


def draft(root: Path, sets: "Mapping[str, ShardSet]", name: str = "mix.yaml") -> str:
    """Return the text of a configuration for these sets.

    Sets whose names end with `_val` and `_test` are for validation and test. The terms are those of the
    recipe `quality_aware` that the labels of the others can bear; sizes and the canonical focal length
    follow from the first sample of each set. Every option that is not set stands there as a comment.

    Args:
        root: folder of the prepared sets.
        sets: the sets by name.
        name: of the file that it is for.
    """
    from lightning.pytorch import Trainer

    from depthmix.data import MixData
    from depthmix.task import DepthTask

    train = {name: one for name, one in sets.items() if not name.endswith(EVALUATED)}
    height, width, focal = _sizes(train)
    model = {
        "net": {"class_path": "depthmix.models.LightDepthNet"},
        "terms": _terms(train),
        "focal_canonical": focal,
        "learning_rate": 0.003,
    }
    data = {
        "root": str(root),
        "sources": {name: {"weight": 1.0} for name in train} or {"NAME": {"weight": 1.0}},
        "augment": {"height": height, "width": width},
    }
    for option, ending in zip(("val_sources", "test_sources"), EVALUATED, strict=True):
        data |= {option: {name: name for name in sets if name.endswith(ending)}}
    trainer = {"max_epochs": 30, "default_root_dir": "runs/mine", "log_every_n_steps": 20}
    lines = [
        f"# yaml-language-server: $schema={SCHEMA_NAME}",
        "# What is not set stands as a comment, with its default. Next:",
        f"#   depthmix check {name}    every mistake, with its line",
        f"#   depthmix mix {name}      what is drawn from which set",
        f"#   depthmix fit --config {name}",
        "seed_everything: 0",
    ]
    for section, given, target in (("model", model, DepthTask), ("data", data, MixData)):
        lines += ["", f"{section}:", *_section(target, given, 1)]
    lines += ["", "# Options of Lightning's Trainer, in its own words.", "trainer:"]
    return "\n".join([*lines, *_section(Trainer, trainer, 1)]) + "\n"


def _sizes(train: "Mapping[str, ShardSet]") -> tuple[int, int, float]:
    """Return height and width of training images, and a focal length near theirs."""
    from depthmix.errors import DepthmixError

    sizes, focals = [], []
    for shards in train.values():
        try:
            sample = shards[0]
        except (DepthmixError, IndexError):  # `check` says what is wrong with it
            continue
        sizes.append(sample.size)
        if sample.intrinsics is not None:
            focals.append((sample.intrinsics.fx, sample.size))
    if not sizes:
        return *DEFAULT_SIZE, DEFAULT_FOCAL
    height, width = (
        max(SMALLEST, int(min(sides) / ROOM) // STEP * STEP) for sides in zip(*sizes, strict=True)
    )
    # A window of this shape that the image just holds is shrunk by this factor.
    found = sorted(fx * max(height / rows, width / columns) for fx, (rows, columns) in focals)
    return height, width, float(f"{found[len(found) // 2]:.3g}") if found else float(width)


def _terms(train: "Mapping[str, ShardSet]") -> dict[str, Any]:
    """Return the terms of the default recipe that some of the sources can bear."""
    from depthmix.configured import recipe, term_from
    from depthmix.objective import term_problems
    from depthmix.sources.base import SourceCard

    terms: dict[str, Any] = yaml.safe_load(recipe("quality_aware").read_text())["model"]["terms"]
    cards = {name: SourceCard(**shards.card) for name, shards in train.items()}
    problems = term_problems({name: term_from(term) for name, term in terms.items()}, cards) if cards else []
    refused = {line.partition(":")[0].removeprefix("terms.") for line in problems}
    return {name: term for name, term in terms.items() if name not in refused}


def _section(target: Callable[..., object], given: Mapping[str, Any], depth: int) -> Iterator[str]:
    """Write the options of a constructor: those given as they are, the others as comments."""
    for option in options_of(target):
        yield from _comment(option.text, depth)
        if option.name in given and given[option.name] != {}:
            yield from _given(option, given[option.name], depth)
        else:
            yield f"{'  ' * depth}# {option.name}: {_default(option)}"
            yield from _record(option, depth)


def _given(option: Option, value: Any, depth: int) -> Iterator[str]:
    indent = "  " * depth
    record = record_in(option.hint)
    if isinstance(value, Mapping) and dataclasses.is_dataclass(option.hint) and isinstance(option.hint, type):
        yield f"{indent}{option.name}:"
        yield from _section(option.hint, value, depth + 1)
        return
    if not isinstance(value, Mapping):
        yield f"{indent}{option.name}: {_flow(value)}"
        return
    yield f"{indent}{option.name}:"
    if record is not None:
        yield from _explained(record, depth + 1)
    for name, inner in value.items():
        yield f"{indent}  {_flow(name)}: {_flow(inner)}"


def _record(option: Option, depth: int) -> Iterator[str]:
    """Explain, as comments, the options of a record that is not given."""
    record = record_in(option.hint)
    if record is not None:
        yield from _explained(record, depth + 1)


def _explained(record: type, depth: int) -> Iterator[str]:
    for inner in options_of(record):
        yield from _wrapped(f"{inner.name}: {_default(inner)}  ({inner.text.rstrip('.')})", depth)


def _default(option: Option) -> str:
    if option.default is REQUIRED:
        return "..."
    if dataclasses.is_dataclass(option.default):
        return "{...}"
    return _flow(option.default)


def _flow(value: Any) -> str:
    """Write a value in one line of YAML."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...").removesuffix("...").strip()


def _comment(text: str, depth: int) -> Iterator[str]:
    yield from _wrapped(text, depth) if text else ()


def _wrapped(text: str, depth: int) -> Sequence[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=f"{'  ' * depth}# ", subsequent_indent=f"{'  ' * depth}#   ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
