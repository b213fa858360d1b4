"""The figures of the evaluation that lies beside a checkpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from depthmix.errors import ConfigError, DepthmixError
from depthmix.store.record import read_plain
from depthmix.store.strict_json import parse

__all__ = ["figures_beside"]

FILE: Final = "test.json"
MOST: Final = 16 << 20


def figures_beside(checkpoint: Path) -> tuple[Sequence[Mapping[str, Any]], str | None]:
    """Return the rows of `test.json` in the folder of a checkpoint, and why there are none.

    Figures of another checkpoint, or of an older one under the same name, are left out.

    Args:
        checkpoint: the file that is exported.

    Raises:
        ConfigError: there is a `test.json`, but it is no table of `depthmix test`.
    """
    file = checkpoint.parent / FILE
    if checkpoint.is_dir() or not file.is_file():
        return [], "no test.json beside the checkpoint: `depthmix test` writes it"
    try:
        record = parse(read_plain(file, most=MOST))
        rows, evaluated = record["rows"], Path(str(record.get("checkpoint"))).name
        if not all({"set", "alignment", "count"} <= row.keys() for row in rows):
            raise ValueError("rows lack set, alignment or count")
    except (DepthmixError, AttributeError, KeyError, TypeError, ValueError) as error:
        hint = "write it again with `depthmix test`, or move it away"
        raise ConfigError(f"is no table of `depthmix test`: {error}", file=file, hint=hint) from error
    if evaluated != checkpoint.name:
        return [], f"test.json is about {evaluated}"
    if file.stat().st_mtime < checkpoint.stat().st_mtime:
        return [], "test.json is older than the checkpoint: `depthmix test` writes it anew"
    return rows, None
