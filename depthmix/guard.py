"""Keep steps without a finite gradient from the weights, on all ranks alike, and write down their samples."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist

from depthmix.batch import Batch
from depthmix.errors import DepthmixError
from depthmix.objective import ObjectiveValue
from depthmix.pulls import world_size
from depthmix.store.record import commit, read_plain, storage_errors

__all__ = ["SKIPPED", "StepGuard"]

SKIPPED = "skipped.jsonl"  # in the run folder, one line for each skipped step


@dataclass(frozen=True)
class _Seen:
    """What one batch of a step gave on this rank; tensors are looked at only when something is wrong."""

    value: ObjectiveValue
    names: tuple[str, ...]


class StepGuard:
    """Decide for all ranks together whether the gradient of a step may reach the weights.

    Args:
        folder: the run folder.
        terms: names of the terms.
        patience: skipped steps in a row after which training gives up.
    """

    def __init__(self, folder: Path, terms: Sequence[str], patience: int) -> None:
        self.file = folder / SKIPPED
        self.terms, self.patience = list(terms), patience
        self.skipped, self.in_a_row = 0, 0
        self._seen: list[_Seen] = []

    def begin(self, step: int) -> None:
        """Forget the lines of steps that are to come; those of an older training, when this one is new.

        Raises:
            StorageError: the file system refuses.
        """
        if self.file.is_file():
            lines = [line for line in read_plain(self.file).splitlines(True) if _step_of(line) < step]
            commit(self.file, b"".join(lines))

    def watch(self, value: ObjectiveValue, batch: Batch) -> None:
        """Take up one batch of the coming step, without waiting for the device."""
        self._seen.append(_Seen(value, batch.names))

    def admits(self, gradients: Iterable[Tensor], step: int, main: bool) -> bool:
        """Tell whether all that the step is made of is finite; all ranks get the same answer.

        Args:
            gradients: those of the parameters; none where a scaler of half precision looks after them.
            step: the number of the step.
            main: whether this rank writes the samples down.

        Raises:
            DepthmixError: too many steps in a row were not.
            StorageError: the samples cannot be written down.
        """
        seen, self._seen = self._seen, []
        flags = [one.value.finite for one in seen]
        if found := [
            gradient for gradient in gradients if gradient.numel()
        ]:  # a small weight may lie elsewhere
            # The largest entry: a sum of squares may overflow where every gradient is finite.
            flags.append(nn.utils.get_total_norm(found, norm_type=math.inf).isfinite())
        finite = torch.stack(flags or [torch.tensor(True)]).all().float()
        if world_size() > 1:
            dist.all_reduce(finite, op=dist.ReduceOp.MIN)
        if bool(finite):  # the only look at the device
            self.in_a_row = 0
            return True
        self.skipped += 1
        self.in_a_row += 1
        self._report(seen, step, main)
        return False

    def _report(self, seen: Sequence[_Seen], step: int, main: bool) -> None:
        broken = sorted({term for one in seen for term in _broken(self.terms, one.value)})
        suspects, samples = _over_ranks([_suspects(one) for one in seen], [one.names for one in seen])
        line = {"step": step, "not_finite": broken, "suspects": suspects, "samples": samples}
        if main:
            with storage_errors(self.file):
                self.file.parent.mkdir(parents=True, exist_ok=True)
                with self.file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
        if self.in_a_row >= self.patience:
            reason = f"no finite gradient in {self.patience} steps in a row, the last on these samples"
            hint = "lower model.learning_rate, or look at the samples"
            names = ", ".join(suspects or samples) or None
            raise DepthmixError(reason, file=self.file, sample=names, hint=hint)


def _step_of(line: bytes) -> float:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):  # cut short by a kill
        return math.inf


def _broken(terms: Sequence[str], value: ObjectiveValue) -> list[str]:
    finite = (value.terms.isfinite() & value.gradients.isfinite()).tolist()
    return [term for term, sound in zip(terms, finite, strict=True) if not sound]


def _suspects(one: _Seen) -> tuple[str, ...]:
    sound = one.value.per_row.isfinite().all(0).tolist()
    return tuple(name for name, row in zip(one.names, sound, strict=False) if not row)


def _over_ranks(*parts: Sequence[Sequence[str]]) -> list[list[str]]:
    """Put the names of all ranks together, in the order of ranks."""
    mine = [[name for names in part for name in names] for part in parts]
    if world_size() == 1:
        return mine
    found: list[Any] = [None] * world_size()
    dist.all_gather_object(found, mine)
    return [[name for rank in found for name in rank[k]] for k in range(len(parts))]
