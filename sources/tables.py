"""Read small text files: lines, comma-separated tables, matrices and JSON, each with a bound on its size."""

import csv
import json
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float64, Int32

from depthmix.errors import BadSample, BadSource
from depthmix.json_memory import most_memory
from depthmix.sources.files import DAMAGED, read_bytes, refusing

__all__ = [
    "LIST_MEMORY",
    "MISFIT",
    "read_csv",
    "read_json",
    "read_lines",
    "read_numbers",
    "read_pairs",
]

# What Python raises where a stranger's table holds something else than its reader takes from it. JSON knows
# Infinity, which is no integer, and any value may be a list where a name is looked up.
MISFIT: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, BadSample)

# What JSON may need of memory, in bytes: that of one sample or scene, and the list of a whole set. By the sum
# below, the lists of COCO panoptic (118 287 images) and of 32 000 pairs with planes need 3 GB.
_MAX_MEMORY: Final = 512 << 20
LIST_MEMORY: Final = 8 << 30


def read_lines(file: str | Path, *, max_bytes: int = 100_000_000) -> list[str]:
    """Return the lines of a text file without their ends; empty lines and `#` comments are left out.

    Raises:
        BadSource: no such file, too large, or no UTF-8 text.
    """
    with refusing(file):
        text = read_bytes(file, max_bytes=max_bytes).decode("utf-8-sig")
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def read_csv(file: str | Path, *, max_bytes: int = 100_000_000) -> list[dict[str, str]]:
    """Return the rows of a comma-separated table by the names in its first line.

    Raises:
        BadSource: no such file, too large, no text, or a row with more or fewer cells than the first line.
    """
    with refusing(file):
        text = read_bytes(file, max_bytes=max_bytes).decode("utf-8-sig")
        rows = list(csv.DictReader(text.splitlines(), restkey="", restval="\0", strict=True))
    for number, row in enumerate(rows, start=2):
        if "" in row or "\0" in row.values():
            where = f"line {number}"
            raise BadSource("has another number of cells than the first line", file=file, field=where)
    return rows


def read_numbers(
    file: str | Path, shape: tuple[int, ...], *, finite: bool = True
) -> Float64[np.ndarray, "..."]:
    """Read a text file of numbers apart by white space, commas or semicolons.

    Args:
        file: the text file.
        shape: what it must hold; the count has to fit exactly.
        finite: whether inf and NaN are refused.

    Raises:
        BadSource: no such file, no numbers, another count, or not finite.
    """
    with refusing(file):
        text = read_bytes(file, max_bytes=10_000_000).decode("utf-8-sig")
    words = text.replace(",", " ").replace(";", " ").split()
    try:
        values = np.array([float(word) for word in words])
    except ValueError as error:
        raise BadSource(f"must hold numbers only: {error}", file=file) from error
    if values.size != int(np.prod(shape)):
        wanted = " x ".join(map(str, shape))
        raise BadSource(f"must hold {wanted} numbers, got {values.size}", file=file)
    if finite and not np.isfinite(values).all():
        raise BadSource("must hold finite numbers", file=file)
    return values.reshape(shape)


def read_pairs(file: str | Path, size: tuple[int, int]) -> Int32[np.ndarray, "p 5"]:
    """Read ordinal pairs, one a line: u1 v1 u2 v2 relation.

    Args:
        file: the text file.
        size: rows and columns of the image that the points lie in.

    Convention: pixels from 0, u to the right; relation 1 = the first is farther, -1 nearer, 0 alike.

    Raises:
        BadSource: no such file, no pair, a line of another form, a point outside, another relation.
    """
    rows = [line.replace(",", " ").split() for line in read_lines(file)]
    try:
        pairs = np.array([[int(word) for word in row] for row in rows], np.int32).reshape(-1, 5)
    except (ValueError, OverflowError) as error:
        raise BadSource("a line must hold five whole numbers: u1 v1 u2 v2 relation", file=file) from error
    height, width = size
    inside = (pairs[:, :4] >= 0) & (pairs[:, :4] < np.array([width, height, width, height]))
    wrong = ~(inside.all(1) & np.isin(pairs[:, 4], (-1, 0, 1)))
    if not len(pairs) or wrong.any():
        reason = (
            f"{int(wrong.sum())} of {len(pairs)} pairs leave the {height} x {width} image or have no relation"
        )
        raise BadSource(reason, file=file)
    return pairs


def read_json(file: str | Path, *, max_bytes: int | None = None, max_memory: int = _MAX_MEMORY) -> object:
    """Read a JSON file.

    Args:
        file: the JSON file.
        max_bytes: refuse larger files; None takes what `max_memory` leaves for plain text alone.
        max_memory: refuse files that may need more bytes of memory. The values of honest tables take 2 to 4
            times their text, a list of empty lists up to 30 times.

    Raises:
        BadSource: no such file, too large, or no JSON.
    """
    data = read_bytes(file, max_bytes=max_memory // 6 if max_bytes is None else max_bytes)
    # The bytes, their text, and the texts among the values: one character that is not plain, which may be
    # written as \u0000, makes all others of its text take four bytes.
    needed = most_memory(data, per_byte=6 if data.isascii() else 9)
    if needed > max_memory:
        reason = f"may need {needed >> 20} MiB of memory, more than the allowed {max_memory >> 20}"
        raise BadSource(reason, file=file, hint=DAMAGED)
    with refusing(file):
        return json.loads(data)
