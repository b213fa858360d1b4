"""Read camera intrinsics from a small JSON file."""

import json
from pathlib import Path

from depthmix.errors import BadSample, BadSource
from depthmix.sample import Intrinsics
from depthmix.sources.decode import read_bytes, refusing

__all__ = ["read_intrinsics", "read_json_object"]

MAX_BYTES = 1_000_000


def read_intrinsics(file: Path) -> Intrinsics:
    """Read `{"fx": ..., "fy": ..., "cx": ..., "cy": ...}`; other entries are ignored.

    Convention: pixels of the stored image, pixel centres at integers.

    Raises:
        BadSource: no such file, no JSON object, an entry is missing, no number, or impossible.
    """
    content = read_json_object(file)
    numbers = {name: content.get(name) for name in ("fx", "fy", "cx", "cy")}
    for name, value in numbers.items():
        if not isinstance(value, float):
            raise BadSource(f"must be a number, got {value!r}", file=file, field=name)
    try:
        return Intrinsics(**numbers)  # type: ignore[arg-type]
    except BadSample as error:
        raise BadSource(error.reason, file=file, field=error.field) from error


def read_json_object(file: Path) -> dict[str, object]:
    """Read a JSON file whose content is an object; every number in it becomes a float, too large ones inf.

    Raises:
        BadSource: no such file, too large, no JSON, or something else than an object.
    """
    data = read_bytes(file, max_bytes=MAX_BYTES)
    with refusing(file):
        content = json.loads(data, parse_int=float)
    if not isinstance(content, dict):
        raise BadSource(f"must be a JSON object, got {type(content).__name__}", file=file)
    return content
