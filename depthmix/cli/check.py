"""`depthmix check`: every problem of a training configuration at once, before anything is started."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthmix.cli.schema import Document, Problem, call_problems, did_you_mean, read_document, resolve_class
from depthmix.errors import DepthmixError

if TYPE_CHECKING:
    from depthmix.objective import Term

__all__ = ["add_arguments", "config_problems", "recipe", "run", "term_from"]

TOP_LEVEL = (
    "seed_everything",
    "trainer",
    "model",
    "data",
    "ckpt_path",
    "optimizer",
    "lr_scheduler",
    "weights_only",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("config", help="YAML file, or the name of a shipped recipe")


def run(options: argparse.Namespace) -> int:
    """Print one line per problem; exit code 1 if there is one."""
    file = recipe(options.config)
    problems = config_problems(file)
    for problem in problems:
        print(problem.located(file), file=sys.stderr)
    print(f"{len(problems)} problem{'' if len(problems) == 1 else 's'}")
    return 1 if problems else 0


def recipe(name: str) -> Path:
    """Find a configuration: a file, or the name of a recipe that depthmix ships."""
    shipped = Path(__file__).parents[1] / "configs"
    path = Path(name)
    return path if path.exists() or path.suffix else shipped / f"{name}.yaml"


def config_problems(file: Path, *, partial: bool = False) -> list[Problem]:
    """List all problems of a configuration, in the order of the file.

    Args:
        file: the YAML file.
        partial: other files or options complete this one, so what it lacks is no problem, and whether its
            terms fit its sources is left to the run itself.
    """
    document, problems = read_document(file)
    if document is None:
        return problems
    problems += [problem for problem in _shape(document) if not (partial and problem.missing)]
    if not problems and not partial:
        problems += _meaning(document)
    return sorted(problems)


def _shape(document: Document) -> Iterator[Problem]:
    from lightning.pytorch import Trainer

    import depthmix.losses
    import depthmix.models  # noqa: F401  (imported so that short names of losses and networks resolve)
    from depthmix.data import MixData
    from depthmix.task import DepthTask

    targets = {"trainer": Trainer, "model": DepthTask, "data": MixData}
    for key, value in document.root.value:
        if key.value in targets:
            yield from call_problems(value, targets[key.value], key.value)
        elif key.value not in TOP_LEVEL:
            line, column = document.place(key.value)
            yield Problem(line, column, key.value, "unknown section" + did_you_mean(key.value, TOP_LEVEL))


def _meaning(document: Document) -> Iterator[Problem]:
    """Compare terms with sources: build the losses, read the cards, refuse impossible pairs."""
    from depthmix.data import MixData
    from depthmix.objective import term_problems

    data = document.values.get("data")
    terms = {}
    for name, options in document.values.get("model", {}).get("terms", {}).items():
        try:
            terms[name] = term_from(options)
        except (TypeError, ValueError) as error:
            yield Problem(*document.place("model", "terms", name), f"model.terms.{name}", str(error))
    if data is None:
        return
    try:
        cards = MixData(**_data_arguments(data)).cards
    except DepthmixError as error:
        yield Problem(*document.place("data", "sources"), "data", str(error))
        return
    for text in term_problems(terms, cards):
        name = text.split(":")[0].removeprefix("terms.")
        yield Problem(*document.place("model", "terms", name), "model", text)


def term_from(options: dict[str, Any]) -> "Term":
    """Build a term from its plain options in a configuration.

    Raises:
        ValueError: an option of the loss is out of its range.
    """
    import depthmix.losses  # noqa: F401  (imported so that short names resolve)
    from depthmix.losses.base import DepthLoss
    from depthmix.objective import Term

    loss = options["loss"]
    spec: dict[str, Any] = {"class_path": loss} if isinstance(loss, str) else loss
    found = resolve_class(spec["class_path"], DepthLoss)
    assert found is not None  # the shape was checked before
    rest = {name: value for name, value in options.items() if name != "loss"}
    return Term(loss=found(**(spec.get("init_args") or {})), **rest)


def _data_arguments(data: dict[str, Any]) -> dict[str, Any]:
    from depthmix.augment import AugmentOptions
    from depthmix.data import SourceSpec

    arguments = dict(data)
    arguments["sources"] = {name: SourceSpec(**(spec or {})) for name, spec in data["sources"].items()}
    if data.get("augment"):
        arguments["augment"] = AugmentOptions(**data["augment"])
    return arguments
