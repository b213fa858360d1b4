"""Read MATLAB files of versions 5 to 7.2 in plain numpy, which no bytes can crash."""

import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from depthmix.errors import BadSource
from depthmix.sources.files import DAMAGED, read_bytes, refusing

__all__ = ["read_matlab"]

_MAX_BYTES: Final = 1_000_000_000
_HEAD: Final = 128
_MATRIX, _COMPRESSED = 14, 15
# Types of stored numbers; text is stored as one of them. Classes of arrays that hold numbers.
_TYPES: Final = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS: Final = {16: "u1", 17: "u2", 18: "u4"}
_NUMBERS: Final = {
    6: "f8",
    7: "f4",
    8: "i1",
    9: "u1",
    10: "i2",
    11: "u2",
    12: "i4",
    13: "u4",
    14: "i8",
    15: "u8",
}
_CELL, _STRUCT, _TEXT = 1, 2, 4
_COMPLEX: Final = 0x0800
_MAX_DEPTH: Final = 8  # structures inside of structures


def read_matlab(file: str | Path, names: Sequence[str], *, max_bytes: int = _MAX_BYTES) -> dict[str, Any]:
    """Read variables of a MATLAB file; axes of length 1 are dropped.

    Args:
        file: the MATLAB file, version 5 to 7.2; later ones are HDF5.
        names: the wanted variables; the others are not unpacked.
        max_bytes: refuse larger files, and variables that unpack to more.

    Returns:
        By name: an array of numbers, a text, a structure as a dictionary of its fields, or a list of what a
        cell or an array of structures holds, column by column.

    Raises:
        BadSource: no such file or variable, damaged, too large, of another version, or a variable that is
            complex, sparse, an object or a function.
    """
    data = read_bytes(file, max_bytes=max_bytes)
    with refusing(file):
        order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
        if order is None or struct.unpack(f"{order}H", data[124:126]) != (0x0100,):
            reason = f"is no MATLAB file of version 5 to 7.2, it starts with {data[:19]!r}"
            raise BadSource(reason, file=file, hint=DAMAGED)
        found: dict[str, Any] = {}
        for kind, body in _elements(data[_HEAD:], order):
            if kind == _COMPRESSED:
                kind, body = next(_elements(_unpacked(body, max_bytes), order))
            if kind != _MATRIX:
                raise ValueError(f"an element of type {kind} where a variable must be")
            name = bytes(_head(body, order)[2]).decode("ascii")
            if name in names:
                found[name] = _matrix(body, order, _MAX_DEPTH)
    missing = [name for name in names if name not in found]
    if missing:
        raise BadSource(f"holds no variable {', '.join(missing)}", file=file, hint=DAMAGED)
    return found


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield the type and the bytes of each element; a file that ends inside of one is refused."""
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        if kind >> 16:  # up to four bytes share the eight of the tag
            kind, size, start, step = kind & 0xFFFF, kind >> 16, at + 4, 8
            if size > 4:
                raise ValueError(f"a short element of {size} bytes")
        else:
            start = at + 8
            step = 8 + (size if kind == _COMPRESSED else size + -size % 8)
        # Only the padding of the last element may be missing.
        if start + size > len(data):
            raise ValueError(f"an element of {size} bytes reaches beyond its end")
        yield kind, data[start : start + size]
        at += step


def _unpacked(data: bytes, max_bytes: int) -> bytes:
    unpacker = zlib.decompressobj()
    result = unpacker.decompress(data, max_bytes)
    if not unpacker.eof:
        raise ValueError(f"a variable is cut, or unpacks to more than {max_bytes} bytes")
    return result


def _head(body: bytes, order: str) -> tuple[int, tuple[int, ...], bytes, list[tuple[int, bytes]]]:
    parts = list(_elements(body, order))
    (flags_kind, flags), (shape_kind, shape), (name_kind, name), *rest = parts
    if (flags_kind, shape_kind, name_kind) != (6, 5, 1) or len(flags) != 8:
        raise ValueError("an array without its head")
    sizes = np.frombuffer(shape, f"{order}i4")
    if len(sizes) < 2 or len(sizes) > 32 or (sizes < 0).any():
        raise ValueError(f"an array of shape {sizes.tolist()}")
    return struct.unpack(f"{order}I", flags[:4])[0], tuple(sizes.tolist()), name, rest


def _matrix(body: bytes, order: str, depth: int) -> Any:
    if not body:
        return np.zeros((0, 0))
    if not depth:
        raise ValueError(f"structures are nested deeper than {_MAX_DEPTH}")
    flags, shape, _, parts = _head(body, order)
    kind, count = flags & 0xFF, int(np.prod([float(size) for size in shape]))
    if flags & _COMPLEX:
        raise ValueError("complex numbers")
    if kind in _NUMBERS:
        values = _values(parts[0], order).astype(_NUMBERS[kind])
        return values.reshape(shape, order="F").squeeze()
    if kind == _TEXT:
        return "".join(chr(letter) for letter in _values(parts[0], order)) if parts else ""
    if kind == _CELL:
        return _matrices(parts, count, order, depth)
    if kind == _STRUCT:
        length = int(_values(parts[0], order)[0])
        text = parts[1][1]
        fields = [
            text[at : at + length].split(b"\0")[0].decode("ascii") for at in range(0, len(text), length)
        ]
        flat = _matrices(parts[2:], count * len(fields), order, depth)
        width = len(fields)
        records = [dict(zip(fields, flat[i * width : (i + 1) * width], strict=True)) for i in range(count)]
        return records[0] if count == 1 else records
    raise ValueError(f"an array of class {kind}, which holds neither numbers nor text, cells or a structure")


def _matrices(parts: list[tuple[int, bytes]], count: int, order: str, depth: int) -> list[Any]:
    if len(parts) != count or any(kind != _MATRIX for kind, _ in parts):
        raise ValueError(f"{len(parts)} members where {count} must be")
    return [_matrix(body, order, depth - 1) for _, body in parts]


def _values(part: tuple[int, bytes], order: str) -> np.ndarray:
    kind, data = part
    name = (_TYPES | _TEXTS).get(kind)
    if name is None:
        raise ValueError(f"numbers of type {kind}")
    return np.frombuffer(data, order + name)
