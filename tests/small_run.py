"""The smallest mixed training, run in a forked child that may be killed, and what is left of it."""

import logging
import os
import signal
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from difflib import ndiff
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from torch import Tensor, nn

from depthmix.augment import AugmentOptions
from depthmix.checkpoints import CheckpointFiles, newest_checkpoint
from depthmix.data import MixData, SourceSpec
from depthmix.losses import PlaneLoss, ScaleShiftInvariantLoss, SilogLoss
from depthmix.objective import Term
from depthmix.run_log import RunLog
from depthmix.stop import StopOnSignal
from depthmix.task import DepthTask
from depthmix.trained import read_checkpoint
from tests.test_data import write_set

STEPS_PER_EPOCH = 10
SIZES = {"web": 9, "kitti": 4, "planes": 6}


class TwoLayers(nn.Module):
    """Two convolutions with dropout between them; in every tenth step or so the output is not finite."""

    def __init__(self, broken: float = 0.1) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 1, 3, padding=1)
        self.broken = broken

    def forward(self, image: Tensor) -> Tensor:
        hidden = nn.functional.dropout(torch.tanh(self.first(image)), 0.2, self.training)
        maps: Tensor = self.last(hidden)
        return maps * torch.nan if self.training and float(torch.rand(())) < self.broken else maps


def write_sets(root: Path) -> Path:
    for source, count in SIZES.items():
        write_set(root / source, source, [(18 + number % 2, 18) for number in range(count)])
    write_set(root / "rooms", "kitti", [(16, 16)] * 6)  # two batches
    return root


def mixed(root: Path, **options: Any) -> MixData:
    sources = {"web": SourceSpec(2.0), "kitti": SourceSpec(), "planes": SourceSpec(0.5)}
    basic = {"batch_size": 4, "steps_per_epoch": STEPS_PER_EPOCH, "workers": 0, "seed": 5}
    basic |= {"augment": AugmentOptions(height=16, width=16), "val_sources": {"rooms": "rooms"}}
    return MixData(str(root), **({"sources": sources} | basic | options))


def small_task(net: nn.Module | None = None, **options: Any) -> DepthTask:
    torch.manual_seed(0)
    terms = {
        "ssi": Term(ScaleShiftInvariantLoss()),
        "metric": Term(SilogLoss(), sources=["kitti"]),
        "plane": Term(PlaneLoss(min_pixels=20), weight=0.1),
    }
    return DepthTask(net or TwoLayers(), terms, focal_canonical=20.0, warmup_steps=3, **options)


def train(
    folder: Path,
    data: MixData,
    *callbacks: Callback,
    every: int = 0,
    epochs: int = 3,
    task: DepthTask | None = None,
    **options: Any,
) -> None:
    """Train in a folder as the CLI does, from the newest checkpoint that lies there."""
    checkpoint = newest_checkpoint(folder)
    step = read_checkpoint(checkpoint)["global_step"] if checkpoint else None
    often = {"every_n_train_steps": every} if every else {"save_on_train_epoch_end": True}
    keep = ModelCheckpoint(dirpath=folder, filename="last", enable_version_counter=False, **often)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice on workers and precision
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=epochs,
            default_root_dir=folder,
            log_every_n_steps=4,
            num_sanity_val_steps=1,
            enable_progress_bar=False,
            enable_model_summary=False,
            plugins=[CheckpointFiles()],
            logger=RunLog(folder, resume=step),
            callbacks=[*callbacks, keep, StopOnSignal(folder / "last.ckpt")],
            **options,
        )
        trainer.fit(task or small_task(), datamodule=data, ckpt_path=checkpoint)


class Signal(Callback):
    """Send a signal to this process, as a step or the validation behind it begins."""

    def __init__(self, step: int, number: int, *, validating: bool = False) -> None:
        self.step, self.number, self.validating = step, number, validating
        self.sent = False

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if not self.validating and trainer.global_step == self.step:
            self._send()

    def on_validation_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if self.validating and trainer.global_step == self.step and not trainer.sanity_checking:
            self._send()

    def _send(self) -> None:
        self.sent = True
        os.kill(os.getpid(), self.number)


def in_child(work: Callable[[], object]) -> int:
    """Fork, work, and return the exit code; that of a killed child is minus the signal."""
    return code_of(start(work))


def start(work: Callable[[], object]) -> int:
    """Fork a child in a process group of its own, and return its number."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    code: object = 70
    try:
        os.setpgid(0, 0)
        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        code = work() or 0
    except SystemExit as leaving:
        code = leaving.code
    except BaseException:  # noqa: BLE001  # a child must never go on as a second pytest
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 70)


def code_of(child: int, limit: float = 120.0) -> int:
    """Wait for a child; one that takes too long is killed and fails."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise TimeoutError(f"the child took longer than {limit} s")


def on_two_ranks(work: Callable[[int], object]) -> list[int]:
    """Run `work(rank)` in two processes that Lightning takes for those of `torchrun`; return exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def one(rank: int) -> object:
        os.environ |= {"TORCHELASTIC_RUN_ID": "x", "RANK": str(rank), "LOCAL_RANK": str(rank)}
        os.environ |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0"}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        return work(rank)

    children = [start(lambda rank=rank: one(rank)) for rank in range(2)]  # type: ignore[misc]
    return [code_of(child) for child in children]


def state_of(folder: Path) -> dict[str, Any]:
    """Return all that a training leaves and that must not depend on interruptions."""
    content = read_checkpoint(folder / "last.ckpt")
    kept = ("state_dict", "optimizer_states", "lr_schedulers", "depthmix", "figures", "epoch", "global_step")
    kept += ("average",) if "average" in content else ()
    logs = {
        name: (folder / name).read_text() if (folder / name).exists() else ""
        for name in ("metrics.csv", "skipped.jsonl")
    }
    return {name: content[name] for name in kept} | logs


def differences(a: Any, b: Any, at: str = "") -> list[str]:
    """Name the places where two states are not the same to the bit."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return [] if torch.equal(a.nan_to_num(7e7), b.nan_to_num(7e7)) else [at]
    if isinstance(a, dict) and isinstance(b, dict):
        keys = sorted({*a, *b}, key=str)
        return [found for key in keys for found in differences(a.get(key), b.get(key), f"{at}.{key}")]
    if isinstance(a, list | tuple) and isinstance(b, list | tuple) and len(a) == len(b):
        return [f for k, (x, y) in enumerate(zip(a, b, strict=True)) for f in differences(x, y, f"{at}[{k}]")]
    if isinstance(a, str) and isinstance(b, str):
        return [f"{at}: {line}" for line in ndiff(a.splitlines(), b.splitlines()) if line[0] in "+-"]
    return [] if a == b else [f"{at}: {a!r} != {b!r}"]
