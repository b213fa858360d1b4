"""End a training in good order when the cluster asks: save at the next step, exit with 143, go on later."""

import logging
import os
import signal
import subprocess
import threading
from copy import deepcopy
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

__all__ = ["EXIT_CODE", "StopOnSignal", "Stopped", "requeue"]

log = logging.getLogger(__name__)

EXIT_CODE = 128 + signal.SIGTERM  # what a shell reports of a process that ended at SIGTERM
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Stopped(SystemExit):
    """Leave a training that was told to stop, once it is saved.

    Args:
        checkpoint: what to go on from.
    """

    def __init__(self, checkpoint: Path) -> None:
        super().__init__(EXIT_CODE)
        self.checkpoint = checkpoint


class StopOnSignal(Checkpoint):
    """Save and leave at the end of the step in which SIGTERM or SIGUSR1 arrives, on all ranks together.

    Behind the last step of an epoch the epoch is finished first, with its validation, but it is saved before.
    SIGUSR1 is the warning that a SLURM job asks for (`--signal=USR1@120`): the job is also put back into the
    queue. SIGTERM is what `scancel` sends, so it is not.

    Lightning's handling of SIGTERM saves nothing and exits with 0; its handlers are replaced.

    Args:
        path: the checkpoint to write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._got: int | None = None
        self._saved = False
        self._behind_step: dict[str, Any] | None = None  # progress at the end of the step that was the last

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen; Lightning has just put its own handlers in place, and takes ours away at the end."""
        self._listen()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen, where there was no sanity check."""
        self._listen()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and leave at the end of a step, if asked to."""
        last = trainer.is_last_batch
        self._saved = False
        self._behind_step = deepcopy(trainer.fit_loop.state_dict()) if last else None
        if (last or (batch_idx + 1) % trainer.accumulate_grad_batches == 0) and self._asked(trainer):
            self._save(trainer)
            if not last:
                self._leave()

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Save as if before the validation, which nothing can go on from, and try to finish it."""
        if self._behind_step is not None and not self._saved and self._asked(trainer):
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save and leave, if asked to during the validation or the last step."""
        self._behind_step = None
        if self._asked(trainer):
            self._save(trainer)
            self._leave()

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """State the progress before a validation that is under way."""
        if trainer.validating and self._behind_step is not None:
            checkpoint["loops"]["fit_loop"] = self._behind_step

    def _listen(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._note)

    def _note(self, number: int, frame: object) -> None:
        # Nothing else here: a handler interrupts whatever is going on, saving included.
        self._got = number

    def _asked(self, trainer: Trainer) -> bool:
        if trainer.sanity_checking:
            return False
        return bool(trainer.strategy.reduce_boolean_decision(self._got is not None, all=False))

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.path)
        self._saved = True
        warned = trainer.strategy.reduce_boolean_decision(self._got == signal.SIGUSR1, all=False)
        if warned and "SLURM_JOB_ID" in os.environ:
            if trainer.is_global_zero:
                requeue()
            self._leave()  # the job ends now

    def _leave(self) -> None:
        raise Stopped(self.path)


def requeue() -> None:
    """Ask SLURM to run this job again; say so if it does not."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
    job = f"{array}_{task}" if array and task else os.environ["SLURM_JOB_ID"]
    try:
        done = subprocess.run(
            ["scontrol", "requeue", job], capture_output=True, text=True, timeout=60, check=False
        )
        problem = done.stderr.strip() if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    if problem:
        log.error("job %s was not put back into the queue: scontrol requeue: %s", job, problem)
