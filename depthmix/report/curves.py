"""The numbers that a run logged, over its steps."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from depthmix.errors import StorageError

__all__ = ["Curve", "read_curves"]


@dataclass(frozen=True, slots=True)
class Curve:
    """Hold one logged number over the steps; None where it was not a finite number."""

    steps: list[int]
    values: list[float | None]

    @property
    def gaps(self) -> int:
        """How many values were not finite."""
        return sum(value is None for value in self.values)


def read_curves(file: Path) -> dict[str, Curve]:
    """Read a `metrics.csv` with the columns `step`, `epoch` and one per logged number.

    Convention: empty cells are other events' rows; "nan" and "inf" are kept as None. Columns without any
    value are left out.

    Raises:
        StorageError: the file can not be read, or has no column `step`.
    """
    try:
        with file.open(newline="", encoding="utf-8") as text:
            reader = csv.DictReader(text)
            if "step" not in (reader.fieldnames or []):
                raise StorageError("has no column `step`", file=file)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StorageError(f"cannot be read: {error}", file=file) from error
    names = [name for name in rows[0] if name not in ("step", "epoch")] if rows else []
    curves = {name: _curve(rows, name) for name in names if name}
    return {name: curve for name, curve in curves.items() if curve.steps}


def _curve(rows: list[dict[str, str]], name: str) -> Curve:
    cells = [(row["step"], row.get(name)) for row in rows]
    pairs = [(int(float(step)), _number(cell)) for step, cell in cells if _is_number(step) and cell]
    return Curve([step for step, _ in pairs], [value for _, value in pairs])


def _is_number(cell: str | None) -> bool:
    return _number(cell) is not None


def _number(cell: str | None) -> float | None:
    try:
        value = float(cell or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
