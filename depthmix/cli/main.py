"""The `depthmix` command: parse the command line, dispatch, turn every known error into one line."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn, Protocol

from depthmix import __version__
from depthmix.errors import ConfigError, DepthmixError

__all__ = ["main"]

TRAINING = ("fit", "validate", "test")
COMMANDS = {
    "demo": "make raw data of four qualities, prepare, train, evaluate, show: the whole way once",
    "sources": "list the sources that are known, or show the card of one",
    "losses": "list the losses that are known, or show all about one",
    "new-source": "write a source of your own with its fixture writer and its test",
    "prepare": "read a raw data set with a source and write it as checked HDF5 shards",
    "verify": "check every byte of prepared data against its records",
    "inspect": "measure how good the labels of raw or prepared data are, and what looks wrong",
    "init": "write a configuration for prepared sets, with every option explained",
    "check": "report every problem of a training configuration, with file, line and column",
    "mix": "show what a configuration draws from which source, and how often each sample comes",
    "predict": "predict the depth of photos with a trained checkpoint",
    "export": "write a trained checkpoint in forms that run without depthmix",
    "report": "write report.html of a run, or one page that compares several",
    "view": "look at samples of a prepared set, a raw folder or a run, as a page with filters",
    "doctor": "look at packages, GPU, memory and disk of this machine, and say what is wrong",
    "probe": "tell which source an image came from by a trained encoder's features: is the mix readable?",
    "bench": "compare recipes on one rendered corpus: equal data, network, initial weights and steps",
}


class Command(Protocol):
    """What each module of a command offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""

    def run(self, options: argparse.Namespace) -> int:
        """Do the work and return the exit code."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 when all went well, 1 when data or files have problems, 2 when the command line or the
        configuration cannot work, 130 when interrupted, 141 when nobody reads the output any more.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    _distrust_environment()
    try:
        if arguments and arguments[0] in TRAINING:
            return _train(arguments)
        options = _parser(arguments[0] if arguments else "").parse_args(arguments)
        code = int(options.run(options))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # As `depthmix sources list | head` leaves it. What is still buffered goes nowhere, instead of raising
        # again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except DepthmixError as error:
        print(f"depthmix: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        print("depthmix: interrupted", file=sys.stderr)
        return 130


def _distrust_environment() -> None:
    """Close two doors by which a variable that someone else set runs code; workers inherit this."""
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    os.environ["HDF5_PLUGIN_PRELOAD"] = "::"  # what HDF5 reads as: no plug-ins


def _train(arguments: list[str]) -> int:
    if arguments[0] == "test" and any(text.partition("=")[0] == "--protocol" for text in arguments):
        from depthmix.cli.protocol import run as by_protocol

        return by_protocol(arguments[1:])
    from depthmix.cli.training import run  # Lightning takes seconds to import: only for commands that train

    return run(arguments)


class _Parser(argparse.ArgumentParser):
    """Say a mistake in one line instead of below the whole usage."""

    def error(self, message: str) -> NoReturn:
        """Raise what is wrong with the command line."""
        raise ConfigError(message, hint=f"see `{self.prog} --help`")


def _parser(chosen: str) -> argparse.ArgumentParser:
    """Build the parser; only the chosen command is imported, the others are only named."""
    parser = _Parser(prog="depthmix", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"depthmix {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        if name == chosen:
            module: Command = import_module(f"depthmix.cli.{name.replace('-', '_')}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    for name in TRAINING:
        text = f"{name} with the Lightning CLI: depthmix {name} --config mix.yaml"
        more = "; on a published benchmark: depthmix test --protocol list" if name == "test" else ""
        commands.add_parser(name, help=text + more)
    return parser


_DESCRIPTION = "Train monocular depth networks on data sets of mixed quality."
