"""Files that are well formed and wrong: checksums agree, containers open, and what they say is absurd.

Damage at random stops at the first checksum. What lies behind it is reached by taking a file apart, changing
one thing and putting it together again.
"""

import io
import json
import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.sources.oddities import (
    FLOATS,
    MANY_DIGITS,
    NUMBERS,
    SIZES,
    Random,
    odd_array,
    odd_tree,
    overwritten,
    pick,
    swollen,
)


def crafted(data: bytes, random: Random) -> tuple[str, bytes] | None:
    """Return what is changed in a file and the new file, or None where it cannot be taken apart."""
    name, change = next(
        ((name, change) for mark, name, change in _FORMATS if data.startswith(mark)),
        ("text", _text) if _is_text(data) else ("floats", _floats),
    )
    try:
        with np.errstate(all="ignore"):
            return f"crafted {name}", change(data, random)
    except Exception:  # noqa: BLE001  # foreign libraries and odd files: this is no test of either
        return None


def _png(data: bytes, random: Random) -> bytes:
    if random.random() < 0.3:
        return _picture(data, random)
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    kind = int(random.integers(5))
    if kind == 0:  # another size
        changed = overwritten(chunks[0][1], pick(random, (0, 4)), struct.pack(">I", pick(random, SIZES)))
        chunks[0] = b"IHDR", changed
    elif kind == 1:  # bits, colour, compression, filter, interlacing
        value = pick(random, (0, 1, 2, 3, 4, 6, 8, 16, 255))
        chunks[0] = b"IHDR", overwritten(chunks[0][1], int(random.integers(8, 13)), bytes([value]))
    elif kind == 2:  # other pixels
        body = _deflated(b"".join(body for name, body in chunks if name == b"IDAT"), random)
        chunks = [chunk for chunk in chunks if chunk[0] not in (b"IDAT", b"IEND")]
        chunks += [(b"IDAT", body), (b"IEND", b"")]
    elif kind == 3:  # one chunk less, or twice
        place = int(random.integers(len(chunks)))
        chunks[place : place + 1] = [chunks[place]] * int(pick(random, (0, 2)))
    else:  # one chunk more
        names = b"PLTE tRNS eXIf zTXt iCCP gAMA acTL fcTL fdAT sBIT abcd".split()
        bodies = (b"", bytes(4), b"\1\2\3" * 256, b"a\0\0" + zlib.compress(swollen(random)), _exif(random))
        chunks.insert(int(random.integers(1, len(chunks))), (pick(random, names), pick(random, bodies)))
    return data[:8] + b"".join(_png_chunk(name, body) for name, body in chunks)


def _png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _deflated(data: bytes, random: Random) -> bytes:
    """Change what a zlib stream holds."""
    plain = zlib.decompress(data)
    place = int(random.integers(max(len(plain), 1)))
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: plain[:place],
        lambda: plain + swollen(random),
        lambda: overwritten(plain, place, random.bytes(4)),
        lambda: plain[:1] + b"\xff" * (len(plain) - 1),
        lambda: b"\xff" + plain[1:],  # of a PNG, the filter of the first row
        lambda: b"",
    )
    return zlib.compress(pick(random, ways)())


def _exif(random: Random) -> bytes:
    """Return one entry of EXIF: the orientation, or a lie about its type, count or place."""
    tag, kind = pick(random, (0x0112, 0x8769, 0x011A)), pick(random, (3, 4, 5, 7, 99))
    count, value = pick(random, (1, 0, 2**31, 2**32 - 1)), pick(random, (0, 1, 6, 9, 8, 2**32 - 1))
    return b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", tag, kind, count, value) + bytes(4)


def _jpeg(data: bytes, random: Random) -> bytes:
    kind = int(random.integers(4))
    if kind == 0:
        return _picture(data, random)
    if kind == 1:
        body = b"Exif\0\0" + _exif(random)
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
    frame = re.search(rb"\xff[\xc0-\xc2]\0", data)
    if frame is None:
        return data[:-2]
    if kind == 2:  # rows or columns
        size = struct.pack(">H", pick(random, SIZES) & 0xFFFF)
        return overwritten(data, frame.start() + pick(random, (5, 7)), size)
    # Baseline or progressive, bits, number of components, sampling.
    value = bytes([pick(random, (0, 1, 2, 4, 8, 12, 0x11, 0xC2, 255))])
    return overwritten(data, frame.start() + pick(random, (1, 4, 9, 11)), value)


def _picture(data: bytes, random: Random) -> bytes:
    """Return another picture under the same name."""
    import cv2

    image = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))
    grey = image if image.ndim == 2 else image[..., 0]
    largest = 3e38 if image.dtype.kind == "f" else np.iinfo(image.dtype).max
    ways: tuple[Callable[[], Any], ...] = (
        lambda: image[:1, :1],
        lambda: image.swapaxes(0, 1),
        lambda: image[::2, ::2],
        lambda: np.zeros_like(image),
        lambda: np.full_like(image, largest),
        lambda: image.astype(np.uint16) * 257 if image.dtype == np.uint8 else image.astype(np.uint8),
        lambda: np.dstack([grey] * 3) if image.ndim == 2 else grey,
        lambda: np.dstack([grey] * 4),
        lambda: np.zeros((1, 20_000), image.dtype),
        lambda: np.full((8000, pick(random, (8000, 8001))), 7, image.dtype),  # the bound, and beyond
    )
    if random.random() < 0.2:
        return _recoloured(grey.astype(np.uint8), random)
    changed = np.ascontiguousarray(pick(random, ways)())
    suffix = pick(random, (".png", ".png", ".jpg", ".tif", ".bmp", ".webp"))
    if suffix not in (".png", ".tif"):  # eight bits, no alpha, few columns
        changed = changed.astype(np.uint8)[:, :9000]
        changed = changed[..., :3] if changed.ndim == 3 else changed
    return cv2.imencode(suffix, changed)[1].tobytes()


def _recoloured(grey: np.ndarray, random: Random) -> bytes:
    """Return the picture in one of the rarer forms of pixels."""
    from PIL import Image

    kinds = ("PNG 1", "PNG P", "PNG LA", "PNG RGBA", "PNG I;16", "TIFF CMYK", "TIFF F", "TIFF I", "JPEG CMYK")
    kind, mode = pick(random, kinds).split()
    target = io.BytesIO()
    Image.fromarray(grey).convert("L").convert("I" if mode == "I;16" else mode).convert(mode).save(
        target, kind
    )
    return target.getvalue()


def _exr(data: bytes, random: Random) -> bytes:
    names = "dataWindow:box2i displayWindow:box2i channels:chlist compression:compression lineOrder:lineOrder"
    name = pick(random, names.split()).encode().replace(b":", b"\0") + b"\0"
    # The length of the attribute, and its numbers.
    place = data.index(name) + len(name) + 4 * int(random.integers(6))
    return overwritten(data, place, struct.pack("<I", pick(random, (*SIZES, 2**31, 0x7FC00000))))


def _portable_map(data: bytes, random: Random) -> bytes:
    """Change one of the three lines in front of the pixels, or the pixels."""
    lines = data.split(b"\n", 3)
    if random.random() < 0.5:
        lines[3] = _floats(lines[3], random)
    else:
        heads = b"PF,Pf,Pf4,P5,P6".split(b",")
        sizes = [*b"0 0,-3 4,1000000 1000000,3,nan 3,3 4 5,".split(b","), MANY_DIGITS.encode() + b" 1"]
        scales = [*b"0,nan,inf,1,-1e999,,-2,255,65536".split(b","), MANY_DIGITS.encode()]
        place = int(random.integers(3))
        lines[place] = pick(random, (heads, sizes, scales)[place])
    return b"\n".join(lines)


def _npy(data: bytes, random: Random) -> bytes:
    if random.random() < 0.5:
        target = io.BytesIO()
        np.lib.format.write_array(target, odd_array(np.lib.format.read_array(io.BytesIO(data)), random))
        return target.getvalue()
    start = 10 + int.from_bytes(data[8:10], "little")
    head = data[10:start].decode("latin1").rstrip()
    if random.random() < 0.5:
        shapes = "(0,)|()|(-1, 4)|(1000000, 1000000)|(True, 2)|(4294967296, 4294967296)|None|(1e3,)|(2,)"
        head = re.sub(r"'shape': \([^)]*\)", f"'shape': {pick(random, shapes.split('|'))}", head)
    else:
        types = ("'|O'", "'<f2'", "'>f8'", "'<U9'", "[('a', '<f4')]", "'<f3'", "''", "1", "'|V0'", "'<m8'")
        head = re.sub(r"'descr': '[^']*'", f"'descr': {pick(random, types)}", head)
    if random.random() < 0.1:
        head = "(" * 90 + head
    head += " " * (64 - (len(head) + 11) % 64) + "\n"
    return data[:8] + struct.pack("<H", len(head)) + head.encode("latin1") + data[start:]


def _zip(data: bytes, random: Random) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(target, "w") as new:
        chosen = pick(random, old.namelist())
        for name in old.namelist():
            body = old.read(name)
            if name == chosen:
                kind = int(random.integers(8))
                body = _npy(body, random) if kind < 5 and name.endswith(".npy") else body
                body = {5: b"", 6: body + swollen(random)}.get(kind, body)
                name = "../" + name if kind == 7 else name
            new.writestr(zipfile.ZipInfo(name), body, zipfile.ZIP_DEFLATED)
    changed = target.getvalue()
    if random.random() < 0.2:  # the size that the directory states, and what really comes
        return overwritten(changed, changed.index(b"PK\1\2") + 24, struct.pack("<I", pick(random, SIZES)))
    return changed


def _hdf5(data: bytes, random: Random) -> bytes:
    import h5py

    target = io.BytesIO(data)
    with h5py.File(target, "r+") as opened:
        names: list[str] = []
        opened.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        name = pick(random, sorted(names))
        values = opened[name][()]
        del opened[name]
        side = pick(
            random, (16_000, 1_000_000)
        )  # nothing is stored: two gigabytes are claimed, or a terabyte
        ways: tuple[Callable[[], Any], ...] = (
            lambda: h5py.SoftLink(f"/{name}"),
            lambda: h5py.ExternalLink("/dev/zero", "/"),
            lambda: h5py.Empty("f4"),
            lambda: pick(random, ("text", b"bytes", 3.0, ["a", "b"])),
        )
        kind = int(random.integers(10))
        if kind == 0:
            opened.create_group(name)
        elif kind == 1:
            opened.create_dataset(name, (side, side), pick(random, ("u1", "f8")), chunks=(1000, 1000))
        elif kind < 6:
            opened[name] = ways[kind - 2]()
        else:
            changed = odd_array(np.asarray(values), random)
            opened[name] = changed.astype("S") if changed.dtype.kind in "UM" else changed  # HDF5 has neither
    return target.getvalue()


def _feather(data: bytes, random: Random) -> bytes:
    import pyarrow
    from pyarrow import feather

    table = feather.read_table(io.BytesIO(data))
    place, rows = int(random.integers(table.num_columns)), table.num_rows
    columns: tuple[Any, ...] = (
        *(["x"], [[1.0]], [b"\0"], [2**62], [None], [True], [{"a": 1}]),
        *([np.nan], [1e308], [-1.0], [0.0], [np.inf]),
    )
    column = pyarrow.array(pick(random, columns) * rows)
    table = table.set_column(place, table.column_names[place], column) if random.random() < 0.7 else table
    table = pick(random, (table, table, table.slice(0, 0), pyarrow.concat_tables([table, table])))
    target = io.BytesIO()
    feather.write_feather(table, target)
    return target.getvalue()


def _matlab(data: bytes, random: Random) -> bytes:
    """Change what lies behind the compression of one element."""
    elements, at = [], 128
    while at + 8 <= len(data):
        kind, length = struct.unpack("<II", data[at : at + 8])
        elements.append((kind, data[at + 8 : at + 8 + length]))
        at += 8 + length
    place = int(random.integers(len(elements)))
    kind, body = elements[place]
    plain = zlib.decompress(body) if kind == 15 else struct.pack("<II", kind, len(body)) + body
    way = int(random.integers(5))
    if way == 0:
        plain = plain[: int(random.integers(len(plain)))]
    elif way == 1:
        plain += swollen(random)
    else:  # mostly in the head, where types, sizes and names are
        word = pick(random, (*SIZES, 3, 5, 9, 14, 15, 0x00010001, 0x00040005))
        spot = int(random.integers(min(len(plain), 160) // 4 if way < 4 else len(plain) // 4))
        plain = overwritten(plain, 4 * spot, struct.pack("<I", word))
    elements[place] = 15, zlib.compress(plain)
    return data[:128] + b"".join(struct.pack("<II", kind, len(body)) + body for kind, body in elements)


def _pickled(data: bytes, random: Random) -> bytes:
    # These pickles come from the project's own tests.
    return pickle.dumps(odd_tree(pickle.loads(data), random), protocol=pick(random, (2, 4)))


def _json(data: bytes, random: Random) -> bytes:
    kind = int(random.integers(20))
    if kind == 0:
        return pick(random, (b"[", b'{"a":')) * 200_000
    if kind == 1:
        return re.sub(rb"\d+", MANY_DIGITS.encode(), data, count=1)
    return json.dumps(odd_tree(json.loads(data), random)).encode()


def _text(data: bytes, random: Random) -> bytes:
    if data.lstrip()[:1] in (b"[", b"{"):
        return _json(data, random)
    lines = data.split(b"\n")
    place = int(random.integers(len(lines)))
    kind = int(random.integers(10))
    if kind == 0:
        del lines[place]
    elif kind == 1:
        lines.insert(place, pick(random, lines))
    elif kind == 2:
        lines[place] += pick(random, (b" 1", b",1", b" x", b"\0", b"\r", "\u2028".encode(), b'"', b"#"))
    elif kind == 3:
        return pick(random, (b"\xff\xfe" + data.decode("latin1").encode("utf-16-le"), data * 40))
    else:
        found = pick(random, list(re.finditer(rb"[-+]?\d[\d.eE+-]*", data)))
        odd = MANY_DIGITS if random.random() < 0.05 else pick(random, NUMBERS)
        return data[: found.start()] + odd.encode() + data[found.end() :]
    return b"\n".join(lines)


def _floats(data: bytes, random: Random) -> bytes:
    values = np.frombuffer(data[: len(data) // 4 * 4], "<f4").copy()
    step = int(random.integers(1, 8))
    values[int(random.integers(step)) :: step] = pick(random, FLOATS)
    return values.tobytes()


def _is_text(data: bytes) -> bool:
    return bool(data) and not re.search(rb"[\0-\x08\x0e-\x1f]", data[:2000])


_FORMATS: tuple[tuple[bytes | tuple[bytes, ...], str, Callable[[bytes, Random], bytes]], ...] = (
    (b"\x89PNG", "PNG", _png),
    (b"\xff\xd8\xff", "JPEG", _jpeg),
    (b"II*\0", "TIFF", _picture),
    (b"\x93NUMPY", "NPY", _npy),
    (b"PK\3\4", "NPZ", _zip),
    ((b"\x89HDF", b"MATLAB 7.3"), "HDF5", _hdf5),
    (b"ARROW1", "feather", _feather),
    (b"MATLAB", "MATLAB", _matlab),
    (b"v/1\1", "EXR", _exr),
    ((b"Pf\n", b"PF\n"), "PFM", _portable_map),
    (b"P5\n", "PGM", _portable_map),
    ((b"\x80\2", b"\x80\4"), "pickle", _pickled),
)
