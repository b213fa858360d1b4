"""Read image, mask and id files whose bytes are not trusted: an array of the promised type, or `BadSource`.

The size is read from the header and checked before anything is decoded. kornia_rs decodes PNG and JPEG: it
refuses every truncated file and every broken PNG checksum. Pillow takes what kornia_rs does not know
(palette, alpha, CMYK, other formats). A flipped bit inside a JPEG, PFM or NPY file can not be seen by any
reader: only a digest of the file finds it.
"""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal

import numpy as np
from jaxtyping import Bool, Int32, Shaped, UInt8, UInt16

from depthmix.errors import BadSource
from depthmix.sources.files import (
    DAMAGED,
    MAX_PIXELS,
    TOO_LARGE,
    check_pixels,
    file_size,
    read_bytes,
    refusing,
)
from depthmix.sources.pfm import read_pfm, read_pfm_colour

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "MAX_PIXELS",
    "PHOTO_FORMATS",
    "decode_image",
    "read_bytes",
    "read_exif",
    "read_grey8",
    "read_ids",
    "read_image",
    "read_mask",
    "read_npy",
    "read_pfm",
    "read_pfm_colour",
    "read_png16",
    "read_png_grey",
    "read_png_numbers",
    "read_tiff",
    "refusing",
]

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PNG_END: Final = b"IEND\xaeB`\x82"
_JPEG_SIGNATURE: Final = b"\xff\xd8\xff"
PHOTO_FORMATS: Final = ("JPEG", "PNG", "PPM", "BMP", "WEBP", "TIFF")
_GREY, _RGB, _PALETTE, _RGBA = 0, 2, 3, 6  # colour types of the PNG header
_EXIF_ORIENTATION: Final = 0x0112
_DEPTH_MAP: Final = "is this a depth map? convert a photo to 8 bits"
_OTHERS: Final = {  # first bytes, or those behind the first four
    b"GIF8": "GIF",
    b"%PDF": "PDF",
    b"8BPS": "Photoshop",
    b"\x76\x2f\x31\x01": "OpenEXR",
    b"ftypheic": "HEIF",
    b"ftypheix": "HEIF",
    b"ftypmif1": "HEIF",
    b"ftypavif": "AVIF",
}


@dataclass(frozen=True, slots=True)
class _PngHeader:
    width: int
    height: int
    bits: int
    colour: int

    def describe(self) -> str:
        names = {0: "grey", 2: "RGB", 3: "palette", 4: "grey with alpha", 6: "RGB with alpha"}
        return f"{self.bits}-bit {names.get(self.colour, 'unknown')} PNG"


def read_image(file: str | Path, *, max_pixels: int = MAX_PIXELS) -> UInt8[np.ndarray, "h w 3"]:
    """Read a photo as RGB; grey is repeated, alpha dropped, CMYK converted, EXIF orientation applied.

    Args:
        file: JPEG, PNG, PPM, BMP, WebP or TIFF.
        max_pixels: refuse larger images before they are decoded.

    Raises:
        BadSource: no such file, damaged, too large, or a 16-bit grey image, which is no photo.
    """
    return decode_image(read_bytes(file, max_bytes=8 * max_pixels), file, max_pixels=max_pixels)


def decode_image(
    data: bytes, file: str | Path, *, max_pixels: int = MAX_PIXELS
) -> UInt8[np.ndarray, "h w 3"]:
    """Decode the bytes of a photo as `read_image` does.

    Args:
        data: the encoded image.
        file: the name for messages, such as a member of an archive.
        max_pixels: refuse larger images before they are decoded.

    Raises:
        BadSource: as `read_image`.
    """
    with _decoding(file):
        if data.startswith(_PNG_SIGNATURE):
            return _decode_png(data, file, max_pixels)
        if data.startswith(_JPEG_SIGNATURE):
            return _decode_jpeg(data, file, max_pixels)
        image = _open_pillow(BytesIO(data), file, max_pixels)
        return _upright(np.array(image.convert("RGB")), image.getexif().get(_EXIF_ORIENTATION, 1))


def read_exif(file: str | Path, folder: int, *, max_pixels: int = MAX_PIXELS) -> dict[int, Any]:
    """Read what a photo states in a folder of its EXIF data; empty where it has none. No pixel is decoded.

    Raises:
        BadSource: as `read_image`, as far as the header tells.
    """
    file_size(file)  # refuses pipes and devices, which have no end
    with _decoding(file), Path(file).open("rb") as stream:
        return dict(_open_pillow(stream, file, max_pixels).getexif().get_ifd(folder))


def read_grey8(file: str | Path, *, max_pixels: int = MAX_PIXELS) -> UInt8[np.ndarray, "h w"]:
    """Read 8-bit grey values; an RGB file is taken where its three channels are equal.

    Raises:
        BadSource: no such file, damaged, too large, or the pixels are not 8-bit grey.
    """
    return _one_channel(*_read_label(file, max_pixels), bits=(8,), file=file).astype(np.uint8, copy=False)


def read_png16(file: str | Path, *, max_pixels: int = MAX_PIXELS) -> UInt16[np.ndarray, "h w"]:
    """Read 16-bit grey values bit by bit.

    Raises:
        BadSource: no such file, damaged, too large, or not 16-bit grey: an 8-bit copy has lost the depth.
    """
    data = read_bytes(file, max_bytes=8 * max_pixels)
    with _decoding(file):
        header = _png_header(data, file, max_pixels)
        if (header.bits, header.colour) != (16, _GREY):
            hint = "use the original file: a conversion has lost the low bits"
            raise BadSource(f"must be a 16-bit grey PNG, got {header.describe()}", file=file, hint=hint)
        return _kornia_png(data, header)[..., 0]


def read_png_grey(file: str | Path, *, max_pixels: int = MAX_PIXELS) -> Shaped[np.ndarray, "h w"]:
    """Read 8- or 16-bit grey values bit by bit, as uint8 or uint16.

    Raises:
        BadSource: no such file, damaged, too large, or other bits or channels.
    """
    return _one_channel(*_read_label(file, max_pixels), bits=(8, 16), file=file)


def read_png_numbers(
    file: str | Path, *, bits: Literal[8, 16], channels: Literal[3, 4], max_pixels: int = MAX_PIXELS
) -> Shaped[np.ndarray, "h w c"]:
    """Read a colour PNG whose channels carry numbers, bit by bit, in the order red, green, blue, alpha.

    Args:
        file: the PNG.
        bits: of one channel; 16 with three channels only.
        channels: 3 for RGB, 4 for RGB with alpha.
        max_pixels: refuse larger images before they are decoded.

    Raises:
        BadSource: no such file, damaged, too large, or other bits or channels.
    """
    data = read_bytes(file, max_bytes=8 * max_pixels)
    with _decoding(file):
        header = _png_header(data, file, max_pixels)
        if (header.bits, header.colour) != (bits, _RGB if channels == 3 else _RGBA):
            wanted = f"{bits}-bit {'RGB' if channels == 3 else 'RGB with alpha'} PNG"
            hint = "use the original file: a conversion has lost its numbers"
            raise BadSource(f"must be a {wanted}, got {header.describe()}", file=file, hint=hint)
        if channels == 3:
            return _kornia_png(data, header)
        return np.array(_verified_pillow_png(data, file, max_pixels))


def read_mask(file: str | Path, *, max_pixels: int = MAX_PIXELS) -> Bool[np.ndarray, "h w"]:
    """Read a PNG mask: True where the value is not 0.

    Raises:
        BadSource: no such file, damaged, too large, lossy (no PNG), or not grey.
    """
    return _one_channel(*_read_label(file, max_pixels), bits=(1, 2, 4, 8, 16), file=file) > 0


def read_ids(file: str | Path, *, max_pixels: int = MAX_PIXELS) -> Int32[np.ndarray, "h w"]:
    """Read instance ids.

    Args:
        file: 8- or 16-bit grey PNG, palette PNG (the index is the id), 24-bit RGB PNG, or integer NPY.
        max_pixels: refuse larger maps before they are decoded.

    Convention: RGB holds id = R + 256 G + 65536 B.

    Raises:
        BadSource: no such file, damaged, too large, no integers, negative, or beyond int32.
    """
    if Path(file).suffix.lower() == ".npy":
        return _checked_ids(read_npy(file, max_pixels=max_pixels), file)
    pixels, header = _read_label(file, max_pixels)
    if header.colour == _RGB and header.bits == 8:
        return pixels.astype(np.int32) @ np.array([1, 256, 65536], np.int32)
    if not (header.colour == _PALETTE or (header.colour == _GREY and header.bits >= 8)):
        raise BadSource(
            f"ids must be 8- or 16-bit grey, palette or 8-bit RGB, got {header.describe()}", file=file
        )
    return pixels.astype(np.int32)


def read_npy(file: str | Path, *, max_pixels: int = MAX_PIXELS) -> Shaped[np.ndarray, "..."]:
    """Read an NPY file of numbers whose length agrees with its header; pickles are refused.

    Args:
        file: the NPY file.
        max_pixels: refuse arrays with more elements than 4 times this before they are read.

    Raises:
        BadSource: no such file, damaged, too large, or no plain numbers.
    """
    size = file_size(file)
    with _decoding(file):
        mapped = np.lib.format.open_memmap(Path(file), mode="r")
        if mapped.size > 4 * max_pixels:
            raise BadSource(f"{mapped.size} elements, more than the allowed {4 * max_pixels}", file=file)
        if mapped.dtype.kind not in "biuf":
            raise BadSource(f"must hold numbers, got {mapped.dtype}", file=file)
        if mapped.offset + mapped.nbytes != size:
            raise BadSource(f"{size} bytes, the header asks for {mapped.offset + mapped.nbytes}", file=file)
        return np.array(mapped, dtype=mapped.dtype.newbyteorder("="), order="C")


def read_tiff(file: str | Path, *, max_pixels: int = MAX_PIXELS) -> Shaped[np.ndarray, "h w"]:
    """Read a TIFF of one channel of numbers: 8 or 16 bits, 32-bit integers or floats.

    Raises:
        BadSource: no such file, damaged, too large, or more than one channel.
    """
    from PIL import Image

    data = read_bytes(file, max_bytes=8 * max_pixels)
    with _decoding(file):
        image = Image.open(BytesIO(data), formats=("TIFF",))
        check_pixels(*image.size, file, max_pixels)
        if image.mode not in ("L", "I;16", "I;16B", "I", "F"):
            raise BadSource(f"must hold one channel of numbers, got mode {image.mode}", file=file)
        return np.array(image)


@contextmanager
def _decoding(file: str | Path) -> Iterator[None]:
    # Pillow warns about broken metadata, without the name of the file, and goes on; so does whoever shows
    # the picture. numpy warns where a product of sizes overflows, and goes on with what is left of it.
    with refusing(file), warnings.catch_warnings(), np.errstate(over="raise"):
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _png_header(data: bytes, file: str | Path, max_pixels: int) -> _PngHeader:
    if not data.startswith(_PNG_SIGNATURE) or data[12:16] != b"IHDR":
        raise BadSource(f"is not a PNG, it starts with {data[:8]!r}", file=file, hint=DAMAGED)
    # kornia_rs does not miss the last four bytes, whose lack says that the file was cut.
    if data.rfind(_PNG_END) < 0:
        raise BadSource("the PNG has no end, it was cut", file=file, hint=DAMAGED)
    header = _PngHeader(*struct.unpack(">IIBB", data[16:26]))
    check_pixels(header.width, header.height, file, max_pixels)
    return header


def _kornia_png(data: bytes, header: _PngHeader) -> Shaped[np.ndarray, "h w c"]:
    from kornia_rs.io import decode_image_png_u8, decode_image_png_u16

    decode = {8: decode_image_png_u8, 16: decode_image_png_u16}[header.bits]
    mode = {_GREY: "mono", _RGB: "rgb"}[header.colour]
    pixels: Shaped[np.ndarray, "h w c"] = decode(data, (header.height, header.width), mode)
    return pixels


def _open_pillow(stream: IO[bytes], file: str | Path, max_pixels: int) -> "Image":
    from PIL import Image, UnidentifiedImageError

    try:
        image = Image.open(stream, formats=PHOTO_FORMATS)
    except UnidentifiedImageError as error:
        stream.seek(0)
        raise _unknown(stream.read(16), file) from error
    except Image.DecompressionBombError as error:  # which does not say the size in words of ours
        raise BadSource(f"more than {max_pixels} pixels", file=file, hint=TOO_LARGE) from error
    check_pixels(*image.size, file, max_pixels)
    if image.mode.startswith(("I", "F")):
        raise BadSource(f"must be a photo, got pixels of mode {image.mode}", file=file, hint=_DEPTH_MAP)
    return image


def _unknown(start: bytes, file: str | Path) -> BadSource:
    """Say of a file that no decoder knows what it is, as far as its first bytes tell."""
    if not start:
        return BadSource("is empty", file=file, hint=DAMAGED)
    found = next((name for mark, name in _OTHERS.items() if mark in (start[: len(mark)], start[4:12])), None)
    if found is None:
        return BadSource(f"is no image, it starts with {start!r}", file=file, hint=DAMAGED)
    return BadSource(f"is {found}, which is not read here", file=file, hint="convert it to PNG or JPEG")


def _decode_png(data: bytes, file: str | Path, max_pixels: int) -> UInt8[np.ndarray, "h w 3"]:
    header = _png_header(data, file, max_pixels)
    if (header.bits, header.colour) == (16, _GREY):
        raise BadSource("must be a photo, got a 16-bit grey PNG", file=file, hint=_DEPTH_MAP)
    if header.bits == 8 and header.colour in (_GREY, _RGB) and b"eXIf" not in data:
        pixels = _kornia_png(data, header)
        return np.repeat(pixels, 3, axis=2) if header.colour == _GREY else pixels
    image = _verified_pillow_png(data, file, max_pixels)
    pixels = np.array(image.convert("RGB"))
    return _upright(pixels, image.getexif().get(_EXIF_ORIENTATION, 1))


def _verified_pillow_png(data: bytes, file: str | Path, max_pixels: int) -> "Image":
    # Pillow checks the sums of all chunks only when asked, and an image that was verified cannot be used.
    _open_pillow(BytesIO(data), file, max_pixels).verify()
    return _open_pillow(BytesIO(data), file, max_pixels)


def _decode_jpeg(data: bytes, file: str | Path, max_pixels: int) -> UInt8[np.ndarray, "h w 3"]:
    from kornia_rs.io import decode_image_jpegturbo

    image = _open_pillow(BytesIO(data), file, max_pixels)
    if image.mode in ("RGB", "L"):
        pixels = decode_image_jpegturbo(data, "rgb")
    else:
        pixels = np.array(image.convert("RGB"))
    return _upright(pixels, image.getexif().get(_EXIF_ORIENTATION, 1))


def _upright(pixels: UInt8[np.ndarray, "h w 3"], orientation: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    # EXIF 2..8 are the seven symmetries of a rectangle other than "as it is"; unknown numbers mean that too.
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _read_label(file: str | Path, max_pixels: int) -> tuple[Shaped[np.ndarray, "h w *c"], _PngHeader]:
    data = read_bytes(file, max_bytes=8 * max_pixels)
    with _decoding(file):
        header = _png_header(data, file, max_pixels)
        if header.bits >= 8 and header.colour in (_GREY, _RGB):
            pixels = _kornia_png(data, header)
            return (pixels[..., 0] if header.colour == _GREY else pixels), header
        return np.array(_verified_pillow_png(data, file, max_pixels)), header


def _one_channel(
    pixels: Shaped[np.ndarray, "h w *c"], header: _PngHeader, *, bits: tuple[int, ...], file: str | Path
) -> Shaped[np.ndarray, "h w"]:
    if header.colour == _RGB and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., 0]
    if header.bits not in bits or header.colour not in (_GREY, _RGB) or pixels.ndim != 2:
        wanted = "8-bit grey" if bits == (8,) else "grey"
        raise BadSource(f"must be a {wanted} PNG, got {header.describe()}", file=file)
    return pixels


def _checked_ids(values: Shaped[np.ndarray, "..."], file: str | Path) -> Int32[np.ndarray, "h w"]:
    if values.dtype.kind not in "iu" or values.ndim != 2 or not values.size:
        raise BadSource(f"ids must be integers (h, w), got {values.dtype} {values.shape}", file=file)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > np.iinfo(np.int32).max:
        raise BadSource(f"ids must lie in 0..2147483647, got {low}..{high}", file=file)
    return values.astype(np.int32)
