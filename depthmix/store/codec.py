"""Turn the fields of a sample into bytes and back; every loss of precision is stated here."""

import math
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Integer, UInt8, UInt16

from depthmix.coded import CodedImage, CodedMap
from depthmix.errors import CorruptShard
from depthmix.sample import LabelKind, Sample
from depthmix.store.codec_options import CodecOptions
from depthmix.store.images import coded_image, encode_image

__all__ = [
    "FIELDS",
    "affine16_error",
    "decode_affine16",
    "decode_fields",
    "decode_log16",
    "decode_mask",
    "decode_pairs",
    "decode_plain",
    "decode_planes",
    "encode_affine16",
    "encode_fields",
    "encode_log16",
    "encode_mask",
    "encode_pairs",
    "encode_plain",
    "encode_planes",
    "log16_error",
]

FIELDS: Final = ("image", "target", "valid", "sky", "planes", "sigma", "pairs")
STEPS: Final = 65534  # most that a code has: 0 means "not valid", 1 .. steps + 1 span the range
SPACING: Final = (
    1.25e-4  # of codes on a logarithmic scale, where so many steps are enough; finer ones store noise
)
RANGE: Final = struct.Struct("<ffH")  # in front of the codes: smallest and largest valid value, steps between
FRAME: Final = struct.Struct("<BBBBIII")  # header of a Blosc frame: versions, flags, sizes
PAIR_BYTES: Final = 20  # u1, v1, u2, v2 and the relation, 4 bytes each
PLANE_TYPES: Final[dict[int, np.dtype]] = {
    1: np.dtype(np.uint8),
    2: np.dtype(np.uint16),
    4: np.dtype(np.int32),
}

Blob = bytes | memoryview
Size = tuple[int, int]
Decoded = np.ndarray | CodedMap | CodedImage | None


def encode_fields(sample: Sample, options: CodecOptions) -> dict[str, bytes]:
    """Encode the fields of one sample; a field without content becomes empty bytes."""
    return {
        "image": encode_image(sample.image, options),
        "target": _encode_label(sample.target, sample.valid, sample.kind, options),
        "valid": encode_mask(sample.valid),
        "sky": encode_mask(sample.sky),
        "planes": encode_planes(sample.planes),
        # A standard deviation is positive whatever the target means, so it always takes the log code.
        "sigma": b""
        if sample.sigma is None
        else _encode_label(sample.sigma, sample.valid, LabelKind.METRIC_DEPTH, options),
        "pairs": b"" if sample.pairs is None else encode_pairs(sample.pairs),
    }


def decode_fields(
    blobs: Mapping[str, Blob], size: Size, kind: LabelKind, options: CodecOptions
) -> dict[str, Decoded]:
    """Decode what `encode_fields` returned into maps of height and width `size`.

    Returns:
        arrays, but `image` as `CodedImage`, and `target` and `sigma` as `CodedMap` where they were stored in
        codes: those hold values that a `Sample` may have, just where `valid`.

    Raises:
        CorruptShard: bytes that no encoder of this module writes; `field` names them.
    """
    decoders: dict[str, Callable[[Blob], Decoded]] = {
        "image": lambda blob: coded_image(blob, size, options),
        "target": lambda blob: _decode_label(blob, size, kind, options),
        "valid": lambda blob: _decode_valid(blob, size, decoded["target"]),
        "sky": lambda blob: decode_mask(blob, size),
        "planes": lambda blob: decode_planes(blob, size),
        "sigma": lambda blob: _decode_label(blob, size, LabelKind.METRIC_DEPTH, options) if blob else None,
        "pairs": lambda blob: decode_pairs(blob, size) if blob else None,
    }
    decoded: dict[str, Decoded] = {}
    for field in FIELDS:
        try:
            decoded[field] = decoders[field](blobs[field])
        except CorruptShard as error:
            raise CorruptShard(error.reason, field=error.field or field) from error
    if bool(blobs["target"]) != bool(blobs["valid"]):
        raise CorruptShard("must be stored just where `target` is", field="valid")
    sigma, valid = decoded["sigma"], decoded["valid"]
    if isinstance(sigma, CodedMap) and isinstance(valid, np.ndarray):
        _must_agree(np.array_equal(sigma.codes != 0, valid), "sigma")
    return decoded


def _decode_valid(blob: Blob, size: Size, target: Decoded) -> Bool[np.ndarray, "h w"]:
    if not blob or not isinstance(target, CodedMap):
        return decode_mask(blob, size)
    # Where there are codes, the mask follows from them; to compare bits is cheaper than to unpack them.
    valid: Bool[np.ndarray, "h w"] = target.codes != 0
    _must_agree(np.array_equal(np.packbits(valid), _packed_bits(blob, valid.size)), "target")
    return valid


def _must_agree(agree: bool, field: str) -> None:
    if not agree:
        raise CorruptShard("must have a code just where `valid`", field=field)


def encode_log16(values: Float32[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"]) -> bytes:
    """Encode positive values on a logarithmic scale of at most 16 bits between the smallest and largest one.

    Convention: the worst-case relative error is `log16_error(smallest, largest)`.
    """
    place = values[valid].astype(np.float64)
    low, high = place.min(), place.max()
    # In place, here and in what follows: at every step a new array would be fresh memory.
    np.log(place, out=place)
    place -= np.log(low)
    place /= (np.log(high) - np.log(low)) or 1.0
    return _pack_codes(valid, place, low, high, _log_steps(low, high))


def decode_log16(blob: Blob, size: Size) -> CodedMap:
    """Decode `encode_log16`; pixels outside `valid` are 0, others positive."""
    low, high, steps, codes = _unpack_codes(blob, size)
    if not 0 < low <= high:
        raise CorruptShard(f"range must be positive and ordered, got {low:g} .. {high:g}")
    # All values as an outer product of two short tables in float64: exact to float32 rounding, the same on
    # every processor, and 20 times cheaper than one exponential per pixel.
    step, rows = np.log(high / low) / steps, (steps + 1) // 256 + 1  # the last code is steps + 1
    table = np.outer(np.exp(np.arange(rows) * 256 * step), low * np.exp((np.arange(256) - 1) * step))
    return _coded(codes, table.ravel()[: steps + 2], high)


def encode_affine16(values: Float32[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"]) -> bytes:
    """Encode values on a linear 16-bit scale between the smallest and largest valid one.

    Convention: the worst-case absolute error is `affine16_error(smallest, largest)`.
    """
    place = values[valid].astype(np.float64)
    low, high = place.min(), place.max()
    place -= low
    place /= (high - low) or 1.0
    return _pack_codes(valid, place, low, high, STEPS)


def decode_affine16(blob: Blob, size: Size) -> CodedMap:
    """Decode `encode_affine16`; pixels outside `valid` are 0."""
    low, high, steps, codes = _unpack_codes(blob, size)
    if not low <= high:
        raise CorruptShard(f"range must be ordered, got {low:g} .. {high:g}")
    return _coded(codes, low + (np.arange(steps + 2) - 1) * ((high - low) / steps), high)


def log16_error(low: float, high: float) -> float:
    """State the largest relative error of the log code for valid values in `low .. high`.

    Half a step of the logarithmic scale, plus the rounding of the result to float32.

    Example:
        >>> f"{log16_error(0.5, 80.0):.1e}"
        '6.3e-05'
    """
    return float(np.expm1(0.5 * np.log(high / low) / _log_steps(low, high)) + 2.0**-23)


def affine16_error(low: float, high: float) -> float:
    """State the largest absolute error of the affine code for valid values in `low .. high`.

    Example:
        >>> f"{affine16_error(0.0, 1.0):.1e}"
        '7.7e-06'
    """
    return float(0.5 * (high - low) / STEPS + max(abs(low), abs(high)) * 2.0**-23)


def encode_plain(values: Float32[np.ndarray, "h w"]) -> bytes:
    """Encode 32-bit numbers without loss."""
    return _compress(values)


def decode_plain(blob: Blob, size: Size) -> Float32[np.ndarray, "h w"]:
    """Decode `encode_plain`; empty bytes are zeros."""
    return _decompress(blob, size, np.dtype(np.float32)) if blob else np.zeros(size, np.float32)


def encode_planes(planes: Int32[np.ndarray, "h w"]) -> bytes:
    """Encode ids in the narrowest type that holds them, which decodes many times faster; none is no bytes."""
    most = planes.max()
    width = 1 if most < 1 << 8 else 2 if most < 1 << 16 else 4
    return _compress(planes.astype(PLANE_TYPES[width])) if most else b""


def decode_planes(blob: Blob, size: Size) -> Integer[np.ndarray, "h w"]:
    """Decode `encode_planes` into the type that ids are stored in: whoever cuts out a window widens less.

    Raises:
        CorruptShard: another width of ids than it writes, or negative ids.
    """
    if not blob:
        return np.zeros(size, np.uint8)
    width = blob[3] if len(blob) >= FRAME.size else 1
    if width not in PLANE_TYPES:
        raise CorruptShard(f"ids must have 1, 2 or 4 bytes, have {width}")
    planes = _decompress(blob, size, PLANE_TYPES[width])
    if width == 4 and planes.min() < 0:
        raise CorruptShard(f"ids must not be negative, got {planes.min()}")
    return planes


def encode_mask(mask: Bool[np.ndarray, "h w"]) -> bytes:
    """Encode a mask as packed bits; an empty mask becomes empty bytes."""
    return _compress(np.packbits(mask)) if mask.any() else b""


def decode_mask(blob: Blob, size: Size) -> Bool[np.ndarray, "h w"]:
    """Decode `encode_mask`."""
    if not blob:
        return np.zeros(size, np.bool_)
    count = math.prod(size)
    return np.unpackbits(_packed_bits(blob, count), count=count).view(np.bool_).reshape(size)


def _packed_bits(blob: Blob, count: int) -> UInt8[np.ndarray, " n"]:
    return _decompress(blob, ((count + 7) // 8,), np.dtype(np.uint8))


def encode_pairs(pairs: Int32[np.ndarray, "p 5"]) -> bytes:
    """Encode ordinal relations as plain little-endian numbers: few, next to an image."""
    return pairs.astype("<i4").tobytes()


def decode_pairs(blob: Blob, size: Size) -> Int32[np.ndarray, "p 5"]:
    """Decode `encode_pairs`.

    Raises:
        CorruptShard: not whole pairs, or points outside an image of height and width `size`.
    """
    if len(blob) % PAIR_BYTES:
        raise CorruptShard(f"{len(blob)} bytes are no whole number of pairs")
    pairs = np.frombuffer(blob, "<i4").reshape(-1, 5).astype(np.int32)
    height, width = size
    if (pairs < [0, 0, 0, 0, -1]).any() or (pairs >= [width, height, width, height, 2]).any():
        raise CorruptShard(f"points must lie inside {height} x {width} pixels, relations in -1 .. 1")
    return pairs


def _encode_label(values: np.ndarray, valid: np.ndarray, kind: LabelKind, options: CodecOptions) -> bytes:
    if not valid.any():
        return b""
    if options.label == "float32":
        return encode_plain(values)
    return (encode_affine16 if kind is LabelKind.AFFINE_DISPARITY else encode_log16)(values, valid)


def _decode_label(blob: Blob, size: Size, kind: LabelKind, options: CodecOptions) -> np.ndarray | CodedMap:
    if not blob or options.label == "float32":
        return decode_plain(blob, size)
    return (decode_affine16 if kind is LabelKind.AFFINE_DISPARITY else decode_log16)(blob, size)


def _log_steps(low: float, high: float) -> int:
    return min(max(math.ceil(math.log(high / low) / SPACING), 1), STEPS)


def _pack_codes(valid: np.ndarray, place: np.ndarray, low: float, high: float, steps: int) -> bytes:
    """Store places 0 .. 1 inside the range as codes 1 .. steps + 1 behind the range; overwrites `place`."""
    place *= steps
    np.rint(place, out=place)
    np.clip(place, 0, steps, out=place)
    place += 1
    codes = np.zeros(valid.shape, np.uint16)
    codes[valid] = place
    return RANGE.pack(low, high, steps) + _compress(codes)


def _unpack_codes(blob: Blob, size: Size) -> tuple[float, float, int, UInt16[np.ndarray, "h w"]]:
    if len(blob) < RANGE.size:
        raise CorruptShard(f"{len(blob)} bytes are too few for a coded label")
    low, high, steps = RANGE.unpack_from(blob)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise CorruptShard(f"range must be finite, got {low} .. {high}")
    if not 1 <= steps <= STEPS:
        raise CorruptShard(f"a range has 1 to {STEPS} steps, got {steps}")
    codes: UInt16[np.ndarray, "h w"] = _decompress(blob[RANGE.size :], size, np.dtype(np.uint16))
    return low, high, steps, codes


def _coded(codes: UInt16[np.ndarray, "h w"], table: Float64[np.ndarray, " n"], high: float) -> CodedMap:
    if codes.max() >= len(table):
        raise CorruptShard(f"has codes up to {len(table) - 1}, got {codes.max()}")
    # The first value is exact, and only the last may leave the range, or the numbers of float32, by rounding:
    # others are farther from it than float64 is wrong. To clip all of them takes six times as long. What was
    # computed for the first, one step below the range, may lie beyond float32.
    table[0], table[-1] = 0, high
    return CodedMap(codes, table.astype(np.float32))


def _compress(values: np.ndarray) -> bytes:
    """Bitshuffle and lz4: 8 to 10 times faster to decode than a 16-bit PNG."""
    blosc = _blosc()
    shuffle = blosc.BITSHUFFLE if values.itemsize > 1 else blosc.NOSHUFFLE
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return bytes(blosc.compress(little, b"lz4", 5, shuffle, 0, values.itemsize))


def _decompress(blob: Blob, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    wanted = math.prod(shape) * dtype.itemsize
    _check_frame(blob, wanted, dtype.itemsize)
    values = np.empty(shape, dtype.newbyteorder("<"))
    try:
        _blosc().decompress(blob, values)
    except (RuntimeError, ValueError) as error:
        raise CorruptShard(f"does not unpack: {error}") from error
    return values.astype(dtype, copy=False)


def _check_frame(blob: Blob, wanted: int, itemsize: int) -> None:
    """Refuse frames that we do not write, before the decoder, which trusts them more, sees them."""
    if len(blob) < FRAME.size:
        raise CorruptShard(f"{len(blob)} bytes are too few for a frame")
    version, _, flags, size, stated, block, packed = FRAME.unpack_from(blob)
    if stated != wanted or packed != len(blob):
        raise CorruptShard(f"must unpack to {wanted} bytes, states {stated} in {len(blob)} bytes")
    # Nothing can pack better than 255 to 1, which is the limit of lz4.
    if wanted > 256 * len(blob):
        raise CorruptShard(f"{len(blob)} bytes cannot unpack to {wanted}")
    if (version, flags >> 5, size) != (2, 1, itemsize) or not 0 < block <= max(wanted, 1):
        raise CorruptShard("is no frame of Blosc 1 with lz4 inside")


def _blosc() -> Any:  # numcodecs ships no types
    from numcodecs import blosc

    # One thread a call: workers are the parallelism, and a pool of threads must not meet a fork.
    blosc.use_threads = False
    return blosc
