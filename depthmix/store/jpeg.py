"""JPEG files of which a window decodes alone: any decoder reads them, ours skips what lies outside.

The scan of a JPEG is one bit stream, but a restart marker starts it afresh: the stretch between two markers
needs nothing from the others. With a marker after every few blocks of a row, the stretches that a window
touches, put behind the same tables and a header that states their size, are a smaller JPEG with the same
pixels.

Reference: ITU-T T.81, B.2 and E.1.4.
"""

import io
import math
import struct
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Int64, UInt8

from depthmix.coded import Window
from depthmix.errors import CorruptShard

__all__ = ["JpegHeader", "decode_jpeg", "encode_jpeg", "read_header"]

Blob = bytes | memoryview
Size = tuple[int, int]
Chroma = Literal["4:2:0", "4:4:4"]

FRAME: Final = 0xC0  # baseline, all that we write; a progressive file can ask for any number of passes
RESTART_INTERVAL: Final = 0xDD
SCAN: Final = 0xDA
SKIPPED: Final = (0xC4, 0xDB, 0xFE, *range(0xE0, 0xF0))  # tables, comments, application data
FIRST_RESTART: Final = 0xD0
END: Final = b"\xff\xd9"
INTERVALS: Final = (
    4,
    5,
    6,
    7,
    8,
    3,
)  # blocks between markers, the best first: a marker costs some three bytes
FROM: Final = 96_000  # pixels from which on windows are cut out; below, the whole decodes as fast
WORTH: Final = 0.75  # part of the pixels up to which cutting pays
MARGIN: Final = 2  # pixels beyond the window that colours at half resolution are interpolated from


@dataclass(frozen=True, slots=True, eq=False)
class JpegHeader:
    """Hold what a JPEG states of itself, and where that and its markers stand.

    Args:
        size: height and width in pixels.
        block: rows and columns of the pixels that are coded together.
        frame: place of the frame header.
        scan: place where the bit stream starts.
        interval: blocks between restart markers; 0 where there are none that windows could be cut out by.
        restarts: places of the markers.
    """

    size: Size
    block: Size
    frame: int
    scan: int
    interval: int
    restarts: Int64[np.ndarray, " n"]


def encode_jpeg(image: UInt8[np.ndarray, "h w 3"], quality: int, chroma: Chroma) -> bytes:
    """Encode RGB as baseline JPEG, with restart markers where windows of it will be worth decoding alone."""
    from PIL import Image

    height, width = image.shape[:2]
    side = 16 if chroma == "4:2:0" else 8
    file = io.BytesIO()
    Image.fromarray(image).save(
        file,
        "JPEG",
        quality=quality,
        subsampling=chroma,
        restart_marker_blocks=_interval(-(-width // side)) if height * width >= FROM else 0,
    )
    return file.getvalue()


def _interval(blocks: int) -> int:
    """Choose after how many blocks a marker follows, so that one stands at the end of each row of blocks."""
    return next((one for one in INTERVALS if blocks % one == 0), blocks)


def read_header(blob: Blob) -> JpegHeader:
    """Read size and markers of a JPEG, by a walk that every decoder takes the same way.

    Raises:
        CorruptShard: not a baseline JPEG with one scan.
    """
    place, frame, interval = 2, 0, 0
    while place + 9 <= len(blob) and blob[place] == 0xFF:
        marker, length = blob[place + 1], struct.unpack_from(">H", blob, place + 2)[0]
        if marker == SCAN and frame:
            return _stated(blob, frame, place + 2 + length, interval)
        if marker == FRAME and not frame:
            frame = place
        elif marker == RESTART_INTERVAL and length == 4:
            interval = struct.unpack_from(">H", blob, place + 4)[0]
        elif marker not in SKIPPED:
            break
        place += 2 + length
    raise CorruptShard("JPEG states no size")


def _stated(blob: Blob, frame: int, scan: int, interval: int) -> JpegHeader:
    data = np.frombuffer(blob, np.uint8)
    places = np.flatnonzero(data[:-1] == 0xFF)
    kinds = data[places + 1]
    # Inside a scan these two bytes never meet, so each one is a scan, and each scan is a pass.
    if np.count_nonzero(kinds == SCAN) > 1:
        raise CorruptShard("JPEG has more than one scan")
    height, width, components = struct.unpack_from(">HHB", blob, frame + 5)
    sampling = data[frame + 11 : frame + 18 : 3].tolist() if components == 3 else [0]
    block = 8 * max(one & 15 for one in sampling), 8 * max(one >> 4 for one in sampling)
    if not all(block) or (interval and -(-width // block[1]) % interval):
        interval = 0  # not of ours: it is decoded whole
    restarts = places[(kinds & 0xF8 == FIRST_RESTART) & (places >= scan)]
    return JpegHeader((height, width), block, frame, scan, interval, restarts)


def decode_jpeg(blob: Blob, header: JpegHeader, window: Window) -> UInt8[np.ndarray, "H W 3"]:
    """Decode a window of a JPEG: the same pixels as those of the whole.

    Raises:
        CorruptShard: it does not decode, or has other markers than its header asks for.
    """
    (top, bottom, _), (left, right, _) = (
        part.indices(size) for part, size in zip(window, header.size, strict=True)
    )
    rows = _covering(top, bottom, header.block[0], header.size[0])
    columns = _covering(left, right, header.block[1] * header.interval, header.size[1])
    if not header.interval or len(rows) * len(columns) > WORTH * math.prod(header.size):
        return _decode(blob, header.size)[window]
    cut = _decode(_cut(blob, header, rows, columns), (len(rows), len(columns)))
    return cut[top - rows.start : bottom - rows.start, left - columns.start : right - columns.start]


def _covering(first: int, last: int, step: int, size: int) -> range:
    """Return the smallest range of whole steps that holds `first` to `last` and a margin, inside `size`."""
    step = step or size
    return range(max(first - MARGIN, 0) // step * step, min(-(-(last + MARGIN) // step) * step, size))


def _cut(blob: Blob, header: JpegHeader, rows: range, columns: range) -> bytearray:
    """Put the stretches of a window together as a JPEG of its own."""
    high, wide = header.block[0], header.block[1] * header.interval
    box = np.s_[rows.start // high : -(-rows.stop // high), columns.start // wide : -(-columns.stop // wide)]
    starts, ends = (places[box] for places in _stretches(blob, header))
    first, behind = starts[:, 0], ends[:, -1] + 2  # of each row, its last marker included
    rows_of_blocks = [blob[start:end] for start, end in zip(first.tolist(), behind.tolist(), strict=True)]
    cut = bytearray().join([blob[: header.scan], *rows_of_blocks])
    struct.pack_into(">HH", cut, header.frame + 5, len(rows), len(columns))
    # Markers count from 0 to 7 and round again, so each is written anew; the last one ends the image.
    lengths = behind - first
    moved = ends + (header.scan + np.cumsum(lengths) - lengths - first)[:, None]
    np.frombuffer(cut, np.uint8)[moved.ravel() + 1] = FIRST_RESTART + np.arange(moved.size) % 8
    cut[-2:] = END
    return cut


def _stretches(blob: Blob, header: JpegHeader) -> tuple[Int64[np.ndarray, "r c"], Int64[np.ndarray, "r c"]]:
    """Give where the bit stream between markers starts and ends, by row of blocks."""
    rows = -(-header.size[0] // header.block[0])
    columns = -(-header.size[1] // (header.block[1] * header.interval))
    found, wanted = len(header.restarts), rows * columns - 1
    if found != wanted or bytes(blob[-2:]) != END:
        raise CorruptShard(f"JPEG has {found} restart markers, its header asks for {wanted}")
    ends = np.append(header.restarts, len(blob) - 2).reshape(rows, columns)
    starts = np.append(header.scan, header.restarts + 2).reshape(rows, columns)
    return starts, ends


def _decode(blob: Blob | bytearray, size: Size) -> UInt8[np.ndarray, "h w 3"]:
    from kornia_rs import io as decoders

    try:
        image = np.asarray(decoders.decode_image_jpegturbo(bytes(blob), "rgb"))
    except Exception as error:  # kornia_rs raises bare Exception, so nothing narrower exists
        raise CorruptShard(f"JPEG does not decode: {error}") from error
    if image.shape != (*size, 3):
        raise CorruptShard(f"must decode to {(*size, 3)}, decodes to {image.shape}")
    return image
