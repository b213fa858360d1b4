"""`depthmix mix`: what a configuration draws from which source, before anything is trained."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from depthmix.errors import ConfigError, visible

if TYPE_CHECKING:
    from depthmix.cli.constructors import MixData

__all__ = ["add_arguments", "run", "shares"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("config", help="YAML file, or the name of a shipped recipe")
    parser.add_argument("--data.root", dest="root", help="folder of the prepared sets, as given to fit")
    parser.add_argument(
        "--steps", type=int, help="length of the training (default: what the trainer section says)"
    )
    parser.add_argument(
        "--show", type=int, default=0, metavar="N", help="also list the samples of the first N batches"
    )
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def run(options: argparse.Namespace) -> int:
    """Print a table of the sources and what the training takes from them."""
    from depthmix.shapes import shape_shares

    data, trainer = _mixed(options.config, options.root)
    steps = options.steps if options.steps is not None else _length(trainer, data)
    if steps < 1:
        raise ConfigError(f"must be at least 1, got {steps}", field="--steps")
    rows = shares(data, steps)
    plan = data.plan
    batches = [[f"{slot.source}/{slot.index}" for slot in plan.batch(step)] for step in range(options.show)]
    parts = zip(plan.shapes, shape_shares(plan.shapes), strict=True) if plan.shapes else []
    named = {f"{shape.height}x{shape.width}": part for shape, part in parts}
    shown = [list(named)[plan.shape(step)] for step in range(options.show)] if named else []
    if options.json:
        print(
            json.dumps(
                {
                    "steps": steps,
                    "batch_size": data.batch_size,
                    "sources": rows,
                    "shapes": named,
                    "batches": batches,
                    "batch_shapes": shown,
                },
                indent=2,
            )
        )
        return 0
    print(f"{steps} steps of {data.batch_size} samples")
    width = max(len(visible(name)) for name in rows)
    print(f"{'source':{width}}  quality  samples   share  drawn      epochs  each sample comes")
    for name, row in rows.items():
        counts = f"{row['samples']:<8} {row['share']:6.1%}  {row['drawn']:<9}  {row['epochs']:6.2f}"
        times = _times(row["least_often"], row["most_often"])
        print(f"{visible(name):{width}}  {row['quality']:7}  {counts}  {times}")
    for shape, part in named.items():
        print(f"images of {shape}: {part:.1%} of the batches")
    for number, batch in enumerate(batches):
        shape = f" ({shown[number]})" if shown else ""
        print(f"batch {number}{shape}: {visible(', '.join(batch))}")
    return 0


def _times(least: int, most: int) -> str:
    return f"{least} times" if least == most else f"{least} or {most} times"


def shares(data: "MixData", steps: int) -> dict[str, dict[str, Any]]:
    """Return for each source what `steps` steps draw from it.

    The counts are those of the plan itself, not its expectation.
    """
    drawn = data.plan.drawn(steps)
    rows = {}
    for name, shards in data.train_sets.items():
        epochs, rest = divmod(drawn[name], len(shards))
        rows[name] = {
            "quality": data.cards[name].quality.name,
            "kind": data.cards[name].kind.name,
            "samples": len(shards),
            "share": drawn[name] / (steps * data.batch_size),
            "drawn": drawn[name],
            "epochs": drawn[name] / len(shards),
            "least_often": epochs,
            "most_often": epochs + bool(rest),
        }
    return rows


def _mixed(config: str, root: str | None) -> tuple["MixData", dict[str, Any]]:
    from depthmix.cli import constructors
    from depthmix.cli.schema import read_document
    from depthmix.configured import data_arguments, recipe

    file = recipe(config)
    document, problems = read_document(file)
    hint = f"`depthmix check {config}` says where"
    if document is None or problems:
        raise ConfigError("is no configuration", file=file, hint=hint)
    try:
        # The copy knows the plan, and takes half a second where the loaders of Lightning take ten.
        arguments = data_arguments(document.values["data"], root, constructors)
        return constructors.MixData(**arguments), document.values.get("trainer") or {}
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"its data section cannot be read ({error!r})", file=file, hint=hint) from error


def _length(trainer: dict[str, Any], data: "MixData") -> int:
    longest = trainer.get("max_steps")
    if isinstance(longest, int) and longest > 0:
        return longest
    epochs = trainer.get("max_epochs")
    if isinstance(epochs, int) and epochs > 0:
        return epochs * data.steps_per_epoch
    raise ConfigError("the trainer section states no length", field="--steps", hint="give --steps")
