"""Decide when bad samples stop a run."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from depthmix.errors import BadSample, BadSource
from depthmix.store.writer import Skipped

__all__ = ["Budget", "allowed_bad"]

LARGE: Final = 0.001  # of a large source
SMALL: Final = 0.1  # of a small one
MIDDLE: Final = 100  # samples between the two


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


@dataclass(slots=True)
class Budget:
    """Count bad samples and stop the run at one too many.

    Args:
        name: of the source.
        root: folder of its raw data.
        total: samples that this run is to prepare.
        allowed: how many of them may be bad.
        on_bad: "error" stops at the first one.
        bad: how many there were.
    """

    name: str
    root: Path
    total: int
    allowed: int
    on_bad: Literal["error", "skip"] = "skip"
    bad: int = 0

    def count(self, skipped: Skipped) -> None:
        """Count one more bad sample.

        Raises:
            BadSample: it is the first one, and `on_bad` is "error".
            BadSource: it is one too many, or all are bad.
        """
        self.bad += 1
        file = self.root / skipped.file if skipped.file else self.root
        sample = f"{self.name}/{skipped.key}"
        if self.on_bad == "error":
            hint = 'repair or remove the file, or leave it out with on_bad="skip"'
            raise BadSample(skipped.reason, file=file, sample=sample, hint=hint)
        if self.bad == self.total:
            reason = f"all {self.total} samples are bad, the last: {skipped.reason}"
            raise BadSource(reason, file=file, sample=self.name, hint="check the folder and the source")
        if self.bad > self.allowed:
            reason = f"more than {self.allowed} of {self.total} samples are bad, the last: {skipped.reason}"
            hint = "repair the files or raise max_bad_fraction"
            raise BadSource(reason, file=file, sample=sample, hint=hint)
