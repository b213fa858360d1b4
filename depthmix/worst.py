"""List the samples that the network disagrees with most, for a person to look at."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from torch import distributed as dist

from depthmix.batch import Batch
from depthmix.objective import ObjectiveValue
from depthmix.pulls import world_size
from depthmix.store.record import commit

__all__ = ["WORST", "WorstSamples"]

WORST = "worst.json"  # in the run folder
KEPT = 20  # entries that are kept in memory for each one that is listed


@dataclass(frozen=True)
class _Seen:
    """What one batch gave on this rank; it stays on the device."""

    names: tuple[str, ...]
    tensors: tuple[Tensor, ...]  # score, weight, source, losses and which are carried, a row for each sample


class WorstSamples:
    """Collect the scores of samples over a training, in bounded memory.

    Scores stay on the device until `take_up`, which all ranks call together and after which all hold the
    same list. The samples of the highest mean score are kept, 20 times as many as are listed; one that falls
    out and comes back starts anew, so where there are more samples than that, `seen` is a lower bound.

    Args:
        folder: the run folder.
        terms: names of the terms.
        sources: names of the sources.
        listed: how many samples the file names.
    """

    def __init__(self, folder: Path, terms: Sequence[str], sources: Sequence[str], listed: int) -> None:
        self.file, self.listed = folder / WORST, listed
        self.terms, self.sources = list(terms), list(sources)
        self._seen: list[_Seen] = []
        self._entries: dict[str, dict[str, Any]] = {}
        self._weights: dict[str, list[float]] = {}  # sum and number, by source

    def watch(self, value: ObjectiveValue, batch: Batch) -> None:
        """Take up one batch, without waiting for the device."""
        if value.scores is not None and value.trust is not None and batch.names:
            tensors = value.scores, value.trust, batch.source, value.per_row.T, value.carried.T
            self._seen.append(_Seen(batch.names, tensors))

    def take_up(self) -> None:
        """Put the batches of all ranks since the last time into the list; every rank must ask."""
        mine = [row for one in self._seen for row in self._rows(one)]
        self._seen = []
        for row in _over_ranks(mine):
            entry = self._entries.setdefault(row["sample"], {"seen": 0, "mean_score": 0.0})
            seen = entry["seen"] + 1
            mean = entry["mean_score"] + (row["score"] - entry["mean_score"]) / seen
            entry |= row | {"seen": seen, "mean_score": mean}
            total, count = self._weights.get(row["source"], (0.0, 0))
            self._weights[row["source"]] = [total + row["weight"], count + 1]
        kept = sorted(self._entries.items(), key=lambda item: (-item[1]["mean_score"], item[0]))
        self._entries = dict(kept[: KEPT * self.listed])

    def figures(self) -> dict[str, float]:
        """Return the mean weight of the samples of each source since the last time, as columns of the log."""
        found = {f"train/trust/{name}": total / count for name, (total, count) in self._weights.items()}
        self._weights = {}
        return found

    def write(self, step: int) -> None:
        """Write the file; one rank does.

        Raises:
            StorageError: the file system refuses.
        """
        samples = list(self._entries.values())[: self.listed]
        self.file.parent.mkdir(parents=True, exist_ok=True)
        commit(self.file, json.dumps({"step": step, "samples": samples}, indent=1).encode())

    def plain(self) -> dict[str, Any]:
        """Return all that was taken up in plain values, to go on from."""
        return {"samples": [dict(entry) for entry in self._entries.values()], "weights": dict(self._weights)}

    def go_on(self, state: Mapping[str, Any]) -> None:
        """Go on from what `plain` gave."""
        self._entries = {entry["sample"]: dict(entry) for entry in state["samples"]}
        self._weights = {name: list(sums) for name, sums in state["weights"].items()}

    def _rows(self, one: _Seen) -> Iterator[dict[str, Any]]:
        lists = (tensor.tolist() for tensor in one.tensors)
        for name, score, weight, source, losses, carried in zip(one.names, *lists, strict=True):
            told = [x if math.isfinite(x) else None for x in losses]  # JSON has no other word for it
            yield {
                "sample": name,
                "source": self.sources[source],
                "score": score,
                "weight": weight,
                "losses": {term: x for term, x, own in zip(self.terms, told, carried, strict=True) if own},
            }


def _over_ranks(mine: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if world_size() == 1:
        return mine
    found: list[Any] = [None] * world_size()
    dist.all_gather_object(found, mine)
    return [row for rank in found for row in rank]
