"""Read camera intrinsics from a small JSON file."""

import json
from pathlib import Path

from depthmix.errors import BadSample, BadSource
from depthmix.sample import Intrinsics
from depthmix.sources.decode import read_bytes, refusing
from depthmix.sources.tables import read_numbers

__all__ = ["camera_of_matrix", "camera_of_size", "read_intrinsics", "read_json_object"]

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


def camera_of_matrix(file: Path) -> Intrinsics:
    """Read the nine numbers of a camera matrix, row by row, from a text file.

    Convention: pixels of the stored image, pixel centres at integers.

    Raises:
        BadSource: no such file, not nine finite numbers, skewed, or no camera.
    """
    matrix = read_numbers(file, (3, 3))
    (fx, skew, cx), (below, fy, cy), last = matrix.tolist()
    if skew or below or last != [0, 0, 1]:
        raise BadSource(
            f"is no camera matrix: {matrix.tolist()}", file=file, hint="rows: fx 0 cx, 0 fy cy, 0 0 1"
        )
    try:
        return Intrinsics(fx, fy, cx, cy)
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


def camera_of_size(
    camera: Intrinsics, published: tuple[int, int], size: tuple[int, int], file: Path
) -> Intrinsics:
    """Scale the one camera of a data set from its published size to that of a resized copy.

    Args:
        camera: the camera at the published size.
        published: rows and columns that `camera` belongs to.
        size: rows and columns of the image at hand.
        file: the image, for the message.

    Raises:
        BadSource: the two sizes differ in their aspect, so the image was cropped and its camera is not known.
    """
    (rows, columns), (height, width) = published, size
    if rows * width != columns * height:
        reason = f"{width} x {height} pixels, the camera belongs to {columns} x {rows} or the same aspect"
        raise BadSource(reason, file=file, hint="use the published images, not cropped ones")
    return camera.resized(width / columns, height / rows)
