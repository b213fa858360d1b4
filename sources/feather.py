"""Read columns of feather files (Arrow's file form)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from depthmix.errors import BadSource
from depthmix.sources.files import file_size, refusing

__all__ = ["read_feather"]

_MAX_BYTES: Final = 500_000_000


def read_feather(file: str | Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return columns by name.

    Raises:
        BadSource: no such file or column, damaged, too large, a column with gaps or of neither numbers
            nor text, or pyarrow is missing.
    """
    try:
        from pyarrow import feather, types
    except ImportError as error:
        hint = "pip install depthmix[formats]"
        raise BadSource("pyarrow is needed to read this file", file=file, hint=hint) from error
    if file_size(file) > _MAX_BYTES:
        raise BadSource(f"more than the allowed {_MAX_BYTES} bytes", file=file)
    with refusing(file):
        table = feather.read_table(str(file), memory_map=False)
        table.validate(full=True)
        missing = [name for name in names if name not in table.column_names]
        if missing:
            known = ", ".join(table.column_names[:12])
            raise BadSource(f"has no column {', '.join(missing)}, but {known}", file=file)
        columns = {}
        for name in names:
            if table[name].null_count:
                raise BadSource("has gaps", file=file, field=name)
            kind = table[name].type
            if not (types.is_integer(kind) or types.is_floating(kind) or types.is_string(kind)):
                raise BadSource(f"must be numbers or text, got {kind}", file=file, field=name)
            columns[name] = table[name].combine_chunks().to_numpy(zero_copy_only=False)
        return columns
