"""The table of an evaluation as JSON, CSV and text."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from depthmix import __version__
from depthmix.errors import ConfigError
from depthmix.store.record import commit, storage_errors
from depthmix.store.strict_json import parse

__all__ = ["format_table", "read_rows", "reported", "write_results"]

Row = Mapping[str, Any]

_LEADING = ("set", "tier", "alignment", "count")
_SHOWN = (
    "abs_rel", "delta1", "rmse", "silog", "ssi", "whdr",
    "planarity_rms", "planarity_angle", "normal_angle", "boundary_f1",
)  # fmt: skip
_RARE = ("whdr",)  # shown where a row bears it
_FLATNESS, _BESIDE = ("planarity_rms", "planarity_angle"), ("normal_angle", "boundary_f1")
_SHORT = {
    "affine_depth": "affine z",
    "affine_inverse_depth": "affine 1/z",
    "robust_inverse_depth": "robust 1/z",
}


def write_results(
    folder: Path, rows: Sequence[Row], checkpoint: str | None, facts: Mapping[str, Any] | None = None
) -> None:
    """Write `test.json` and `test.csv` into `folder`, each whole or not at all.

    Args:
        folder: created where it does not exist.
        rows: as `DepthMetrics.rows` gives them.
        checkpoint: path of the evaluated checkpoint.
        facts: what else `test.json` states, such as the protocol.

    Raises:
        StorageError: the file system refuses.
    """
    record = {"schema": 1, "version": __version__, "checkpoint": checkpoint, "rows": list(rows)}
    record |= facts or {}
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row)) or list(_LEADING)
    writer = csv.DictWriter(text, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    commit(folder / "test.json", (json.dumps(record, indent=2, allow_nan=False) + "\n").encode())
    commit(folder / "test.csv", text.getvalue().encode())


def format_table(rows: Sequence[Row]) -> str:
    """Lay the main figures out as lines of plain text, one row per set and alignment.

    Convention: see `reported`; all measures stand in `test.json` and `test.csv`.
    """
    told = [reported(row) for row in rows]
    rare = {name for name in _RARE if all(row.get(name) is None for row in told)}
    head = [name for name in (*_LEADING, *_SHOWN) if name not in rare]
    lines = [head, *[[_cell(row.get(name)) for name in head] for row in told]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join("  ".join(map(_pad, line, widths, head)).rstrip() for line in lines)


def reported(row: Row) -> Row:
    """Return the row as it may be shown to people: without flatness where nothing tells if it was earned.

    Convention: a flat map is perfectly flat, so planarity stands beside normal error and boundary F1 only.
    """
    earned = all(row.get(name) is not None for name in _BESIDE)
    return row if earned else {**row, **{name: None for name in _FLATNESS if name in row}}


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 100 else f"{value:.1f}"
    return _SHORT.get(str(value), str(value)) if value is not None else "-"


def _pad(text: str, width: int, column: str) -> str:
    return text.ljust(width) if column in _LEADING[:3] else text.rjust(width)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a `test.json`.

    Raises:
        ConfigError: the file is missing or is not a table of ours.
    """
    try:
        record = parse(path.read_bytes())
        rows: list[dict[str, Any]] = record["rows"]
    except OSError as error:
        hint = "write it with `depthmix test`"
        raise ConfigError(error.strerror or "cannot be read", file=path, hint=hint) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError("is not a table of `depthmix test`", file=path) from error
    return rows
