"""Decide when bad samples stop a run, and say in a table what is wrong with them."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from depthmix.errors import BadSample, BadSource
from depthmix.store.writer import Skipped

__all__ = ["Budget", "allowed_bad", "reasons"]

LARGE: Final = 0.001  # of a large source
SMALL: Final = 0.1  # of a small one
MIDDLE: Final = 100  # samples between the two
FEW: Final = 8  # bad samples in a row are no news yet, as in a short last shard


def allowed_bad(total: int, fraction: float | None) -> int:
    """Return how many of `total` samples may be bad.

    Args:
        total: samples of the source.
        fraction: part of the samples, rounded up. None takes what a sound copy of a data set keeps to: 0.1 %,
            but at least 100 samples, unless these are more than 10 %.

    Example:
        >>> [allowed_bad(total, None) for total in (20, 5_000, 1_000_000)]
        [2, 100, 1000]
    """
    if fraction is not None:
        return _part(total, fraction)
    return max(_part(total, LARGE), min(MIDDLE, _part(total, SMALL)))


def _part(total: int, fraction: float) -> int:
    # 0.1 * 30 is 3.0000000000000004, and one more sample must not slip through for that.
    return math.ceil(round(fraction * total, 9))


def reasons(name: str, skipped: Sequence[Skipped], most: int = 10) -> str:
    """Return a table of the reasons why samples were left out, the most frequent first.

    Args:
        name: of the source.
        skipped: samples that were left out.
        most: rows; further reasons are only counted.
    """
    groups: dict[str, list[Skipped]] = {}
    for skip in skipped:  # figures differ from file to file
        groups.setdefault(re.sub(r"\d+(\.\d+)?", "0", skip.reason), []).append(skip)
    ordered = sorted(groups.values(), key=len, reverse=True)
    lines = [f"{name}  {len(group):6}  {group[0].reason}, first {group[0].key}" for group in ordered[:most]]
    rest = f"{name}  {sum(map(len, ordered[most:])):6}  for {len(ordered) - most} other reasons"
    return "\n".join(
        ["source and number of bad samples, reason", *lines, *([rest] if ordered[most:] else [])]
    )


@dataclass(slots=True)
class Budget:
    """Count bad samples and stop the run at one too many.

    Args:
        name: of the source.
        root: folder of its raw data.
        total: samples that this run is to prepare.
        allowed: how many of them may be bad.
        on_bad: "error" stops at the first one.
        whole_shards: whether a shard of nothing but bad samples may be.
        skipped: the bad ones so far.
    """

    name: str
    root: Path
    total: int
    allowed: int
    on_bad: Literal["error", "skip"] = "skip"
    whole_shards: bool = False
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def bad(self) -> int:
        """How many bad samples there were."""
        return len(self.skipped)

    def count(self, skipped: Skipped) -> None:
        """Count one more bad sample.

        Raises:
            BadSample: it is the first one, and `on_bad` is "error".
            BadSource: it is one too many, or all are bad.
        """
        self.skipped.append(skipped)
        file = self.root / skipped.file if skipped.file else self.root
        sample = f"{self.name}/{skipped.key}"
        if self.on_bad == "error":
            hint = 'repair or remove the file, or leave it out with on_bad="skip"'
            raise BadSample(skipped.reason, file=file, sample=sample, hint=hint)
        if self.bad == self.total:
            reason = f"all {self.total} samples are bad, the last: {skipped.reason}\n{self._table()}\n"
            raise BadSource(reason, file=file, sample=self.name, hint="check the folder and the source")
        if self.bad > self.allowed:
            reason = f"more than {self.allowed} of {self.total} samples are bad, the last: {skipped.reason}"
            hint = "repair the files or raise max_bad_fraction"
            raise BadSource(f"{reason}\n{self._table()}\n", file=file, sample=sample, hint=hint)

    def check_shard(self, items: Sequence[object]) -> None:
        """Stop at a shard without any good sample: a part of the data set is broken or in the wrong place.

        Raises:
            BadSource: all items of the shard are bad, and they are more than a few.
        """
        if self.whole_shards or len(items) < FEW or not all(isinstance(item, Skipped) for item in items):
            return
        last = self.skipped[-1]
        first = self.skipped[-len(items)]
        reason = f"all {len(items)} samples of a shard are bad, from {first.key} to {last.key}"
        hint = "look at these files, or state max_bad_fraction (--max-bad-fraction) to go on all the same"
        raise BadSource(f"{reason}\n{self._table()}\n", file=self.root, sample=self.name, hint=hint)

    def _table(self) -> str:
        return reasons(self.name, self.skipped)
