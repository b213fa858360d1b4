"""`depthmix fit | validate | test`: the Lightning CLI with our network task, our data, and short errors."""

import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.plugins.io import CheckpointIO
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException

import depthmix.models  # noqa: F401  (imported so that short names of networks resolve)
from depthmix.checkpoints import CheckpointFiles, newest_checkpoint
from depthmix.cli.check import config_problems, recipe
from depthmix.cli.epochs import EpochTable, FewNumbers
from depthmix.configured import names_of_plug_ins, resolve_class
from depthmix.data import MixData
from depthmix.errors import ConfigError, StorageError
from depthmix.foreign import look_here
from depthmix.losses import DepthLoss
from depthmix.run_log import RunLog
from depthmix.stop import EXIT_CODE, StopOnSignal, Stopped
from depthmix.task import DepthTask
from depthmix.tensorboard import PanelWriter, TensorBoard
from depthmix.terms import term_problems
from depthmix.trained import read_checkpoint

__all__ = ["run"]

log = logging.getLogger(__name__)

RESTARTS = "SLURM_RESTART_COUNT"  # how often SLURM has requeued this job; not set in its first run


def run(arguments: Sequence[str]) -> int:
    """Check the configuration, then hand over to Lightning.

    Raises:
        ConfigError: the configuration can not work; the message says where.
        StorageError: the run folder cannot be written.
    """
    look_here()
    arguments = _with_recipes(list(arguments))
    _import_losses(arguments)
    _quieten()
    try:
        MixCli(
            DepthTask,
            MixData,
            args=arguments,
            seed_everything_default=0,
            # Only a training owns the run folder: an evaluation must not replace its configuration or log.
            save_config_callback=SaveConfigCallback if arguments[0] == "fit" else None,
            save_config_kwargs={"overwrite": True},
        )
    except Stopped as stopped:
        _say(f"depthmix: stopped by a signal; saved {stopped.checkpoint}; go on with --ckpt_path last")
        return EXIT_CODE
    except SIGTERMException:  # by Lightning, where nothing is to be saved; it would exit with 0
        return EXIT_CODE
    except OSError as error:
        raise StorageError(error.strerror or str(error), file=error.filename) from error
    return 0


class MixParser(LightningArgumentParser):
    """Raise instead of printing the whole usage above the one line that matters."""

    def error(self, message: str, ex: Exception | None = None) -> Any:
        """Turn a parser error into a `ConfigError` of one line."""
        lines = [line.strip() for line in str(message).splitlines() if line.strip()]
        raise ConfigError("; ".join(lines), hint="see `depthmix check CONFIG`") from ex


class MixCli(LightningCLI):
    """Put logs, checkpoint and configuration into one folder, `trainer.default_root_dir`."""

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Use the parser with short errors."""
        parser = MixParser(**kwargs)
        parser.add_argument("-c", "--config", action="config", help="YAML file or name of a shipped recipe")
        return parser

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Leave out what would let a checkpoint run code."""
        return {name: {*left_out, "weights_only"} for name, left_out in LightningCLI.subcommands().items()}

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse without Lightning's warning that arguments were given in two ways: ours never are."""
        self.config = parser.parse_args(args)
        command = self.config["subcommand"]
        self.config[command]["ckpt_path"] = _checkpoint(command, self.config[command])

    def _parse_ckpt_path(self) -> None:
        """Take no options from the checkpoint, which Lightning would put above those of the user.

        They also name classes, and importing a class runs code.
        """

    def instantiate_classes(self) -> None:
        """Build trainer, task and data; what their constructors refuse becomes one line."""
        try:
            super().instantiate_classes()
        except (ValueError, TypeError, MisconfigurationException) as error:
            raise ConfigError(" ".join(str(error).split()), hint="see `depthmix check CONFIG`") from error

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Set defaults of the trainer that fit a mixture."""
        defaults = {
            "trainer.default_root_dir": "runs/latest",
            "trainer.enable_model_summary": False,
            "trainer.use_distributed_sampler": False,  # the mixture splits its batches over ranks itself
        }
        parser.set_defaults(defaults)

    def before_fit(self) -> None:
        """Refuse an impossible mix, and terms that its labels cannot bear, before anything is written."""
        assert self.datamodule.plan
        problems = term_problems(self.model.terms, self.datamodule.cards)
        if problems:
            raise ConfigError(problems[0], hint=_more(problems, "CONFIG"))
        self.model.recipe = self._recipe()

    def _recipe(self) -> dict[str, Any]:
        """Return the options of model and data, defaults and all, as plain values."""
        options = self._parser(self.subcommand).dump(
            self.config[self.subcommand], skip_none=False, format="json"
        )
        return {name: value for name, value in json.loads(options).items() if name in ("model", "data")}

    def instantiate_trainer(self, **kwargs: Any) -> Any:
        """Add the run folder's logger, checkpoint and a progress bar with few numbers."""
        config = self._get(self.config_init, "trainer", default={})
        folder = str(config.get("default_root_dir"))
        kwargs["logger"] = self._loggers(folder, config.get("logger")) if self.subcommand == "fit" else False
        saves = self.subcommand == "fit" and config.get("enable_checkpointing") in (None, True)
        kwargs["callbacks"] = [*_listed(config.get("callbacks")), *(_saving(folder) if saves else [])]
        if config.get("enable_progress_bar") in (None, True):
            kwargs["callbacks"] += [FewNumbers(), *([EpochTable()] if self.subcommand == "fit" else [])]
        if any(hasattr(one, "add_image") for one in _listed(kwargs["logger"] or None)):
            kwargs["callbacks"].append(PanelWriter())
        kwargs["plugins"] = _listed(config.get("plugins"))
        if not any(isinstance(plugin, CheckpointIO) for plugin in kwargs["plugins"]):
            kwargs["plugins"].append(CheckpointFiles())
        return super().instantiate_trainer(**kwargs)

    def _loggers(self, folder: str, given: Any) -> Any:
        """Keep the log of the run folder beside those that the user chose, unless there shall be none."""
        if given is False:
            return False
        others = [] if given is True else _listed(given)
        for one in others:
            if isinstance(one, TensorBoard) and one.folder is None:
                one.folder = Path(folder) / "tensorboard"
        return [self._run_log(folder), *others]

    def _run_log(self, folder: str) -> RunLog:
        checkpoint = self._get(self.config_init, "ckpt_path")
        if checkpoint is None or Path(checkpoint).resolve().parent != Path(folder).resolve():
            return RunLog(folder)
        return RunLog(folder, resume=read_checkpoint(Path(checkpoint))["global_step"])


def _saving(folder: str) -> list[Callback]:
    every_epoch = ModelCheckpoint(
        dirpath=folder, filename="last", enable_version_counter=False, save_on_train_epoch_end=True
    )
    return [every_epoch, StopOnSignal(Path(folder) / "last.ckpt")]


@rank_zero_only
def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _with_recipes(arguments: list[str]) -> list[str]:
    """Replace names of recipes by their files, and stop on mistakes in any of the files."""
    for place, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name not in ("-c", "--config"):
            continue
        if equals:
            file = recipe(value)
            arguments[place] = f"--config={file}"
        elif place + 1 < len(arguments):
            file = recipe(arguments[place + 1])
            arguments[place + 1] = str(file)
        else:
            raise ConfigError("no file given", field="--config")
        _stop_on_problems(file)
    return arguments


def _import_losses(arguments: list[str]) -> None:
    """Import the losses of other packages that the command line names: the parser knows imported ones."""
    for name in names_of_plug_ins().intersection(re.findall(r"[\w.]+", " ".join(arguments))):
        resolve_class(name, DepthLoss)


def _stop_on_problems(file: Path) -> None:
    problems = config_problems(file, partial=True, trust=True)
    if problems:
        raise ConfigError(problems[0].located(file), hint=_more(problems, str(file)))


def _more(problems: Sequence[object], config: str) -> str:
    """Say how many problems there are besides the first, and how to see them."""
    others = len(problems) - 1
    count = f"{others} more problem{'' if others == 1 else 's'}, " if others else ""
    return f"{count}see `depthmix check {config}`"


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]


def _checkpoint(command: str, config: Any) -> str | None:
    """Find the checkpoint to go on from or to evaluate.

    Raises:
        ConfigError: there is none, it cannot be loaded, or none is named where one must be.
    """
    named, folder = config.get("ckpt_path"), Path(config["trainer"]["default_root_dir"])
    if named is None and command == "fit" and os.environ.get(RESTARTS, "0") != "0":
        named = "last"
    if named is None:
        if command != "fit":
            hint = f"such as {folder / 'last.ckpt'}"
            raise ConfigError("no checkpoint given", field="--ckpt_path", hint=hint)
        return None
    if named != "last":
        content = read_checkpoint(Path(named))
        if command == "fit" and "optimizer_states" not in content:
            reason = "holds weights, but not the state of a training to go on with"
            raise ConfigError(reason, file=named, field="--ckpt_path", hint="give last.ckpt of a run folder")
        return str(named)
    found = newest_checkpoint(folder)
    if found is None and command != "fit":
        hint = "train with `depthmix fit` first"
        raise ConfigError("no checkpoint in this folder", file=folder, field="--ckpt_path", hint=hint)
    if found is None:
        log.warning("%s: no checkpoint yet, training starts at the first step", folder)
    return None if found is None else str(found)


def _quieten() -> None:
    """Drop messages that every run repeats and nobody can act on."""
    # Lightning calls functions that jsonargparse has deprecated: nothing that a user could change.
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in (
        ".*does not have many workers.*",
        ".*Experiment logs directory.*",
        "Checkpoint directory .* exists",
        "The dirpath has changed",
        ".*smaller than the logging interval.*",
        "Total length of `list` across ranks is zero.*",
        ".*LeafSpec.*",
        ".*tips.*",
        "Found .* module.* in eval mode at the start of training",  # those of frozen stages
        "FSDP2-wrapped module .* returned a view tensor",  # which nobody changes in place
    ):
        warnings.filterwarnings("ignore", message=text)
