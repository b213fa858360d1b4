"""Encode a predicted map as files that say themselves what their numbers are."""

import json
import logging
from io import BytesIO
from typing import Final

import numpy as np
from jaxtyping import Float, UInt8, UInt16

from depthmix.errors import ConfigError
from depthmix.plot.cloud import points_of
from depthmix.plot.colour import Scale, fair_range
from depthmix.predict.infer import RELATIVE, PredictedDepth
from depthmix.sample import Intrinsics

__all__ = ["encode_colour", "encode_facts", "encode_npy", "encode_ply", "encode_png16", "must_be_metric"]

log = logging.getLogger(__name__)

FULL: Final = 65535
VERTEX: Final = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
)


def encode_npy(predicted: PredictedDepth) -> bytes:
    """Encode the numbers as they are, float32; `encode_facts` belongs beside them."""
    target = BytesIO()
    np.save(target, predicted.values, allow_pickle=False)
    return target.getvalue()


def encode_facts(predicted: PredictedDepth) -> bytes:
    """Encode kind, unit and focal length as JSON."""
    facts = {"kind": predicted.kind, "unit": predicted.unit, "focal_used": predicted.focal_used}
    return (json.dumps({"schema": 1, **facts}, indent=2) + "\n").encode()


def encode_png16(predicted: PredictedDepth) -> bytes:
    """Encode as 16-bit grey PNG, with kind, unit, scale and offset in its text fields.

    Convention: `value = scale * pixel + offset` in the unit of the text. Metric depth: pixels are
    millimetres, 0 marks what lies beyond 65.535 m. Relative: 0 is the farthest, 65535 the nearest pixel.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    pixels, scale, offset = _millimetres(predicted) if predicted.metric else _normalised(predicted)
    text = PngInfo()
    facts = {"kind": predicted.kind, "unit": predicted.unit, "scale": repr(scale), "offset": repr(offset)}
    for name, fact in facts.items():
        text.add_text(f"depthmix:{name}", fact)
    target = BytesIO()
    Image.fromarray(pixels).save(target, format="PNG", pnginfo=text)
    return target.getvalue()


def encode_colour(predicted: PredictedDepth) -> bytes:
    """Encode as a coloured PNG to look at: near is bright, whatever the numbers mean."""
    from PIL import Image

    low, high = fair_range(predicted.values, np.ones(predicted.values.shape, np.bool_))
    colours = "magma_r" if predicted.metric else "magma"
    rgb = Scale(low, high, log=predicted.metric, colours=colours).rgb(predicted.values)
    target = BytesIO()
    Image.fromarray(rgb).save(target, format="PNG", optimize=True)
    return target.getvalue()


def encode_ply(
    predicted: PredictedDepth, image: UInt8[np.ndarray, "h w 3"], camera: Intrinsics | None
) -> bytes:
    """Encode as binary PLY: one coloured point per pixel, metres, axes x right, y down, z forward.

    Raises:
        ConfigError: the map is not metric: without the focal length, or with an unknown shift, every
            surface would come out bent.
    """
    must_be_metric(predicted.metric, camera is not None)
    assert camera is not None
    points = np.empty(predicted.values.size, VERTEX)
    place = points_of(predicted.values, camera).reshape(-1, 3)
    for number, axis in enumerate("xyz"):
        points[axis] = place[:, number]
    for number, channel in enumerate(("red", "green", "blue")):
        points[channel] = image.reshape(-1, 3)[:, number]
    return _ply_header(len(points)).encode("ascii") + points.tobytes()


def must_be_metric(metric: bool, focal_known: bool) -> None:
    """Check that points can be made, before any work is done.

    Raises:
        ConfigError: the focal length is not known, or the network did not learn metres.
    """
    if not focal_known:
        hint = "give --focal-px or --fov-degrees, or leave ply out"
        raise ConfigError("points need the focal length of the photo", field="format ply", hint=hint)
    if not metric:
        hint = "leave ply out, or train with a metric loss on a metric source"
        raise ConfigError(f"this checkpoint gives {RELATIVE}", field="format ply", hint=hint)


def _millimetres(predicted: PredictedDepth) -> tuple[UInt16[np.ndarray, "h w"], float, float]:
    pixels = np.rint(predicted.values.astype(np.float64) * 1000)
    beyond = int((pixels > FULL).sum())
    if beyond:
        share = beyond / pixels.size
        log.warning(
            "%.1f %% of the pixels lie beyond 65.535 m: 0 in the 16-bit PNG, kept in NPY", 100 * share
        )
    kept = np.where(pixels > FULL, 0, np.maximum(pixels, 1))
    return kept.astype(np.uint16), 0.001, 0.0


def _normalised(predicted: PredictedDepth) -> tuple[UInt16[np.ndarray, "h w"], float, float]:
    values: Float[np.ndarray, "h w"] = predicted.values.astype(np.float64)
    offset = float(values.min())
    scale = (float(values.max()) - offset) / FULL or 1.0
    return np.rint((values - offset) / scale).astype(np.uint16), scale, offset


def _ply_header(count: int) -> str:
    types = {"f": "float", "u": "uchar"}
    names = VERTEX.names or ()
    properties = [f"property {types[VERTEX[name].kind]} {name}" for name in names]
    comment = "comment metres, x right, y down, z forward"
    lines = ["ply", "format binary_little_endian 1.0", comment, f"element vertex {count}", *properties]
    return "\n".join([*lines, "end_header", ""])
