"""Checkpoints that survive a kill, a full disk and other file systems, and that never run code."""

import io
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO

from depthmix.errors import ConfigError
from depthmix.store.record import commit, storage_errors
from depthmix.trained import read_checkpoint

__all__ = ["CheckpointFiles", "newest_checkpoint"]

log = logging.getLogger(__name__)

PREVIOUS = ".previous"


class CheckpointFiles(CheckpointIO):
    """Save and load checkpoints as plain local files; give it to a Trainer as a plug-in.

    Lightning writes into the temporary folder and moves the file. Where that is another file system, as on
    most clusters, a kill during the move leaves neither the old nor the new checkpoint. Here the bytes go
    into a file beside the target, onto the disk, and are renamed; the checkpoint that they replace stays as
    `<name>.previous.ckpt`.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Write all of the checkpoint or nothing; it is on the disk when this returns.

        Raises:
            ConfigError: the path is not one of this machine.
            StorageError: the file system refuses.
        """
        path = _local(path)
        data = io.BytesIO()
        torch.save(checkpoint, data)
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            for left_by_a_kill in path.parent.glob(f".{path.name}.*.tmp"):
                left_by_a_kill.unlink()
        _keep(path)
        commit(path, data.getbuffer())

    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint onto the CPU; tensors and plain values only, whatever is asked for.

        Raises:
            ConfigError: no such file, damaged, or it holds more than tensors and plain values.
        """
        return read_checkpoint(_local(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint and the one that it replaced.

        Raises:
            StorageError: the file system refuses.
        """
        for file in (_local(path), _previous(_local(path))):
            with storage_errors(file):
                file.unlink(missing_ok=True)


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint of a run folder that can be gone on from; None where there is none at all.

    Those that cannot be loaded are named in a warning and passed over.

    Raises:
        ConfigError: there are checkpoints, but none can be gone on from.
    """
    found = sorted(folder.glob("*.ckpt"), key=_age, reverse=True)
    best = next(_resumable(found), None)
    if found and best is None:
        hint = "move them away to start anew"
        raise ConfigError(f"none of {len(found)} checkpoints can be loaded", file=folder, hint=hint)
    return best


def _age(file: Path) -> tuple[int, bool]:
    # Two names of one file, where a kill came between the second name and the new bytes: the first name wins.
    return file.stat().st_mtime_ns, not file.stem.endswith(PREVIOUS)


def _resumable(files: list[Path]) -> Iterator[Path]:
    for file in files:
        try:
            if "optimizer_states" in read_checkpoint(file):  # else only weights, kept for evaluation
                yield file
        except ConfigError as error:
            log.warning("%s; passed over", error)


def _local(path: str | Path) -> Path:
    if "://" in str(path):
        raise ConfigError("checkpoints are local files", file=str(path), hint="copy it to this machine first")
    return Path(path)


def _previous(path: Path) -> Path:
    return path.with_name(f"{path.stem}{PREVIOUS}{path.suffix}")


def _keep(path: Path) -> None:
    """Give a file that will be replaced a second name; no bytes are copied."""
    second = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with suppress(OSError):  # no such file yet, or a file system without hard links
        try:
            os.link(path, second)
            second.replace(_previous(path))
        finally:
            second.unlink(missing_ok=True)
