"""`depthmix check`: every problem of a training configuration at once, before anything is started."""

import argparse
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

from depthmix.cli.meaning import TOP_LEVEL, meaning_problems
from depthmix.cli.schema import (
    Document,
    Problem,
    call_problems,
    import_named,
    named_classes,
    read_document,
)
from depthmix.configured import (
    data_arguments,
    did_you_mean,
    names_of_plug_ins,
    paths_of,
    recipe,
    term_from,
)

__all__ = [
    "TOP_LEVEL",
    "add_arguments",
    "config_problems",
    "data_arguments",
    "is_plain",
    "recipe",
    "run",
    "term_from",
]

# The networks whose options are all that can be wrong with them: known without building one.
PLAIN_NETS = ("LightDepthNet", "LiteDepthNet")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("config", help="YAML file, or the name of a shipped recipe")
    parser.add_argument("--data.root", dest="root", help="folder of the prepared sets, as given to fit")
    parser.add_argument(
        "--full", action="store_true", help="build the network and all else, as fit does; takes ten seconds"
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="import the classes outside of depthmix that it names, as fit does",
    )


def run(options: argparse.Namespace) -> int:
    """Print one line per problem; exit code 1 if there is one."""
    file = recipe(options.config)
    light = not options.full
    problems = config_problems(file, root=options.root, trust=options.trust, light=light)
    for problem in problems:
        print(problem.located(file), file=sys.stderr)
    print(f"{len(problems)} problem{'' if len(problems) == 1 else 's'}")
    return 1 if problems else 0


def config_problems(
    file: Path, *, partial: bool = False, root: str | None = None, trust: bool = False, light: bool = False
) -> list[Problem]:
    """List all problems of a configuration, in the order of the file.

    A configuration is code: it names classes, and training with it imports and runs them. Checking it runs
    nothing but depthmix, unless its user trusts it.

    Args:
        file: the YAML file.
        partial: other files or options complete this one, so what it lacks is no problem, and whether its
            terms fit its sources is left to the run itself.
        root: folder of the prepared sets, instead of the one that the file names.
        trust: import the classes outside of depthmix that it names, from the present folder, too; that runs
            their code.
        light: import neither torch nor Lightning where nothing can be found with them that is not found
            without, see `is_plain`.
    """
    document, problems = read_document(file)
    if document is None:
        return problems
    failed = list(import_named(document.root)) if trust else []
    places = {(one.line, one.column) for one in failed}
    light = light and is_plain(document)
    kinds = import_module("depthmix.cli.constructors" if light else "depthmix.kinds")
    shape = _shape(document, kinds, root)
    problems += failed + [one for one in shape if (one.line, one.column) not in places]
    if not partial:
        problems += meaning_problems(document, kinds, root, problems)
    return sorted({problem for problem in problems if not (partial and problem.missing)})


def is_plain(document: Document) -> bool:
    """Tell whether constructors without torch know all that is to be known about a configuration.

    They do not where a class of another package is named, a network that reads files of its own, features of
    a teacher, or stages of the encoder, which are only counted when it is built.
    """
    from depthmix.cli.constructors import ORIGINS

    known = {path for name, module in ORIGINS.items() for path in paths_of(name, module)}
    model = document.values.get("model")
    options = model if isinstance(model, dict) else {}
    net = options.get("net")
    name = str(net.get("class_path") if isinstance(net, dict) else net).rpartition(".")[2]
    named = [str(node.value) for _, node in named_classes(document.root)]
    return (
        not names_of_plug_ins().intersection(named)
        and all("." not in path or path in known for path in named)
        and (name in PLAIN_NETS or name not in ORIGINS)
        and not options.get("feature_alignment")
        and not options.get("frozen_stages")
    )


def _shape(document: Document, kinds: ModuleType, root: str | None) -> Iterator[Problem]:
    """Compare every section with the constructor that takes it."""
    targets = {"trainer": kinds.Trainer, "model": kinds.DepthTask, "data": kinds.MixData}
    for key, value in document.root.value:
        if key.value in targets:
            found = call_problems(value, targets[key.value], key.value)
            yield from (one for one in found if not (root and one.text == "lacks the option 'root'"))
        elif key.value not in TOP_LEVEL:
            line, column = document.place(key.value)
            yield Problem(line, column, key.value, "unknown section" + did_you_mean(key.value, TOP_LEVEL))
    for name in ("model", "data"):
        if name not in document.values:
            yield Problem(1, 1, name, "this section is missing", missing=True)
