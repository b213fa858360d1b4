"""The log of a training in its run folder: on disk row by row, and kept when the training goes on."""

import csv
import io
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from depthmix.errors import StorageError
from depthmix.store.record import commit, storage_errors

__all__ = ["RunLog"]

Row = Mapping[str, Any]


class RunLog(Logger):
    """Write `metrics.csv`, one row per logging event with its step.

    Lightning's own CSV logger deletes the file that it finds as soon as the trainer is set up, even if the
    training then stops over a mistake, and holds rows back, which a kill loses.

    Args:
        folder: the run folder.
        resume: the step of the checkpoint from which a training goes on here; its rows up to there are kept.
            Without it a file that lies there gives way to the first row.

    Raises:
        StorageError: the rows to keep cannot be read.
    """

    def __init__(self, folder: str | Path, *, resume: int | None = None) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.file = self.folder / "metrics.csv"
        # Behind the checkpoint the stopped training may have gone further; those steps are done again.
        old = _read(self.file) if resume is not None and self.file.is_file() else []
        self._kept = [row for row in old if int(row["step"]) <= (resume or 0)]
        self._latest: list[Row] = []  # rows of the last epoch: an epoch is averaged without reading the file
        for row in self._kept:
            self._remember(row)
        self._columns: list[str] = []

    @property
    def name(self) -> str:
        """No name: the run folder holds one run."""
        return ""

    @property
    def version(self) -> str:
        """No version, for the same reason."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return str(self.folder)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Leave them to `config.yaml`."""

    @rank_zero_only
    def log_metrics(self, metrics: Row, step: int | None = None) -> None:
        """Write one row.

        Raises:
            StorageError: the file system refuses.
        """
        row = {**metrics, "step": 0 if step is None else step}
        if not self._columns:
            self._rewrite(self._kept, row)
        elif not row.keys() <= set(self._columns):
            self._rewrite(_read(self.file), row)
        with storage_errors(self.file), self.file.open("a", newline="", encoding="utf-8") as file:
            file.write(self._lines([row]))
        self._remember(row)

    def means(self, epoch: int) -> dict[str, float]:
        """Average every figure over the rows of an epoch; empty for any but the last one of the log."""
        found: dict[str, list[float]] = {}
        for row in self._latest:
            if _epoch(row) == epoch:
                for name, value in row.items():
                    if value not in (None, "") and name not in ("step", "epoch"):
                        found.setdefault(name, []).append(float(value))
        return {name: fmean(values) for name, values in found.items()}

    def _remember(self, row: Row) -> None:
        epoch = _epoch(row)
        if epoch is None:
            return
        if self._latest and _epoch(self._latest[0]) != epoch:
            self._latest = []
        self._latest.append(row)

    def _rewrite(self, rows: list[dict[str, str]], following: Row) -> None:
        """Put the rows back under a head that has room for one more."""
        self._columns = sorted({*self._columns, *following}.union(*rows))
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        head = dict(zip(self._columns, self._columns, strict=True))
        commit(self.file, self._lines([head, *rows]).encode())

    def _lines(self, rows: Iterable[Row]) -> str:
        text = io.StringIO()
        csv.DictWriter(text, self._columns, lineterminator="\n").writerows(rows)
        return text.getvalue()


def _epoch(row: Row) -> float | None:
    value = row.get("epoch")
    return None if value in (None, "") else float(value)


def _read(file: Path) -> list[dict[str, str]]:
    """Read whole rows; a last row that a kill cut short is left out."""
    try:
        with storage_errors(file), file.open(newline="", encoding="utf-8") as text:
            rows = [row for row in csv.DictReader(text) if None not in row.values()]
        return [row for row in rows if int(row["step"]) >= 0]
    except (ValueError, KeyError, csv.Error) as error:
        hint = "move it away; the training then goes on with a new log"
        raise StorageError("is no log of a training", file=file, hint=hint) from error
