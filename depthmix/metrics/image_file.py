"""What an evaluation says about each image, as a file: for paired comparisons and for the worst images."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from depthmix.errors import CorruptShard, StorageError
from depthmix.store.record import commit, read_plain, storage_errors
from depthmix.store.strict_json import parse

__all__ = ["IMAGES", "read_images", "write_images"]

IMAGES: Final = "test_images.json"  # in the run folder, beside test.json
MOST: Final = 64 << 20  # bytes that are read; 40 000 images with all measures after three alignments

Row = Mapping[str, Any]


def write_images(folder: Path, rows: Sequence[Row]) -> None:
    """Write the file, whole or not at all.

    Args:
        folder: created where it does not exist.
        rows: as `DepthMetrics.images` gives them; what a row cannot bear is left out.

    Raises:
        StorageError: the file system refuses.
    """
    told = [{name: value for name, value in row.items() if value is not None} for row in rows]
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    commit(folder / IMAGES, json.dumps({"schema": 1, "images": told}, allow_nan=False).encode())


def read_images(path: Path) -> list[dict[str, Any]]:
    """Read the rows of `test_images.json`: set, alignment and image as text, and numbers.

    Raises:
        StorageError: the file cannot be read, is larger than 64 MB, or is not one of ours.
    """
    try:
        rows: list[dict[str, Any]] = parse(read_plain(path, most=MOST))["images"]
        for row in rows:
            named = {"set", "alignment", "image"}
            texts = all(isinstance(row[name], str) for name in named)
            if not texts or not all(isinstance(row[name], int | float) for name in row.keys() - named):
                raise TypeError("a row holds other things than names and numbers")
    except CorruptShard as error:
        raise StorageError(error.reason, file=path, hint="`depthmix test` writes it anew") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(
            "is no list of images of `depthmix test`", file=path, hint="`depthmix test` writes it anew"
        ) from error
    return rows
