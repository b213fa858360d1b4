"""Store an image as JPEG or PNG, and decode the window of it that is used."""

import struct
from functools import partial
from typing import Final

import numpy as np
from jaxtyping import UInt8

from depthmix.coded import CodedImage, Window
from depthmix.errors import CorruptShard
from depthmix.store.codec_options import CodecOptions
from depthmix.store.jpeg import decode_jpeg, encode_jpeg, read_header

__all__ = ["coded_image", "encode_image"]

PNG_CHUNKS: Final = (b"IHDR", b"IDAT", b"IEND")

Blob = bytes | memoryview
Size = tuple[int, int]


def encode_image(image: UInt8[np.ndarray, "h w 3"], options: CodecOptions) -> bytes:
    """Encode an RGB image as JPEG or PNG."""
    if options.image == "png":
        import cv2

        return cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))[1].tobytes()
    return encode_jpeg(image, 95, "4:4:4") if options.image == "jpeg444" else encode_jpeg(image, 92, "4:2:0")


def coded_image(blob: Blob, size: Size, options: CodecOptions) -> CodedImage:
    """Take up a stored image; its pixels are decoded when a window of them is asked for.

    Raises:
        CorruptShard: not an image of the size that the record states. What is damaged behind its header shows
            when it is decoded, as `CorruptShard`, too.
    """
    # Decoders allocate what the header states: it is compared before they see it.
    if options.image == "png":
        _check_size(_png_size(blob), size)
        return CodedImage(size, partial(_decode_png, blob, size))
    header = read_header(blob)
    _check_size(header.size, size)
    return CodedImage(size, partial(decode_jpeg, blob, header))


def _check_size(stated: Size, size: Size) -> None:
    if stated != size:
        reason = f"must be {size[0]} x {size[1]} pixels, states {stated[0]} x {stated[1]}"
        raise CorruptShard(reason)


def _png_size(blob: Blob) -> Size:
    """Read height and width from the header of an 8-bit RGB PNG that holds pixels and nothing else."""
    if len(blob) < 29 or bytes(blob[12:16]) != b"IHDR":
        raise CorruptShard("PNG has no header")
    width, height, bits, colour = struct.unpack_from(">IIBB", blob, 16)
    if (bits, colour) != (8, 2):
        raise CorruptShard(f"PNG must be 8-bit RGB, has {bits} bits and colour type {colour}")
    place = 8
    while place + 8 <= len(blob):
        length, name = struct.unpack_from(">I4s", blob, place)
        # Texts and profiles unpack to any size, and frames of an animation have sizes of their own.
        if name not in PNG_CHUNKS:
            raise CorruptShard(f"PNG holds a chunk {name!r}, which is neither header nor pixels")
        place += 12 + length
    return height, width


def _decode_png(blob: Blob, size: Size, window: Window) -> UInt8[np.ndarray, "H W 3"]:
    import cv2

    try:
        image = cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:  # empty input; other damage gives None
        raise CorruptShard(f"PNG does not decode: {error}") from error
    if image is None or image.shape != (*size, 3):
        raise CorruptShard("PNG does not decode to a colour image")
    return np.ascontiguousarray(image[window][..., ::-1])
