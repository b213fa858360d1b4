"""Encode metric predictions as points and as surfaces in space."""

import json
import struct
from collections.abc import Mapping
from typing import Final

import numpy as np
from jaxtyping import Float, UInt8, UInt32

from depthmix.errors import ConfigError
from depthmix.plot.cloud import points_of
from depthmix.predict.infer import RELATIVE, PredictedDepth
from depthmix.sample import Intrinsics

__all__ = ["encode_glb", "encode_ply", "must_be_metric"]

STEP: Final = 0.05  # in depth, relative, that no surface of a mesh bridges
GL_FLOAT, GL_BYTE, GL_INT, GL_POINTS = 5126, 5121, 5125, 0  # float32, uint8, uint32 and points in OpenGL
VERTEX: Final = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
)


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
    return _ply_header(len(points), predicted.texts).encode("ascii") + points.tobytes()


def encode_glb(
    predicted: PredictedDepth, image: UInt8[np.ndarray, "h w 3"], camera: Intrinsics | None
) -> bytes:
    """Encode as binary glTF: one coloured vertex per pixel, metres, axes x right, y up, z backward.

    Neighbouring pixels are joined by triangles, but not across a step in depth of more than a twentieth:
    there the surface that is seen ends.

    Raises:
        ConfigError: as `encode_ply`.

    Reference: Khronos, glTF 2.0 specification, sections 3.7 (geometry) and 4 (binary container).
    """
    must_be_metric(predicted.metric, camera is not None)
    assert camera is not None
    points = points_of(predicted.values, camera).reshape(-1, 3) * np.array([1, -1, -1], np.float32)
    colours = np.full((len(points), 4), 255, np.uint8)
    colours[:, :3] = image.reshape(-1, 3)
    triangles = _triangles(predicted.values)
    # The format knows no empty list: where no two pixels join, the vertices are shown as points.
    shape = {"indices": 2} if triangles.size else {"mode": GL_POINTS}
    parts = [points.astype("<f4"), colours, *([triangles.astype("<u4")] if triangles.size else [])]
    starts = np.cumsum([0, *(part.nbytes for part in parts)]).tolist()
    low, high = points.min(0).tolist(), points.max(0).tolist()
    document = {
        "asset": {"version": "2.0", "generator": "depthmix"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "COLOR_0": 1}, **shape}]}],
        "buffers": [{"byteLength": starts[-1]}],
        "bufferViews": [
            {"buffer": 0, "byteOffset": start, "byteLength": part.nbytes}
            for start, part in zip(starts, parts, strict=False)
        ],
        "accessors": [
            {
                "bufferView": 0,
                "componentType": GL_FLOAT,
                "count": len(points),
                "type": "VEC3",
                "min": low,
                "max": high,
            },
            {
                "bufferView": 1,
                "componentType": GL_BYTE,
                "normalized": True,
                "count": len(points),
                "type": "VEC4",
            },
            {"bufferView": 2, "componentType": GL_INT, "count": triangles.size, "type": "SCALAR"},
        ][: len(parts)],
        "extras": predicted.facts,
    }
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    data = b"".join(part.tobytes() for part in parts)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + data
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _triangles(depth: Float[np.ndarray, "h w"]) -> UInt32[np.ndarray, "t 3"]:
    """Join each square of four pixels by two triangles, where its depths agree."""
    height, width = depth.shape
    corner = np.arange(height * width, dtype=np.uint32).reshape(height, width)
    a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]
    square = np.stack([depth[:-1, :-1], depth[:-1, 1:], depth[1:, :-1], depth[1:, 1:]])
    whole = square.max(0) < (1 + STEP) * square.min(0)
    # Counter-clockwise as seen from the camera, which makes it the front.
    joined: UInt32[np.ndarray, "t 3"] = np.concatenate(
        [np.stack([a, c, b], -1)[whole], np.stack([b, c, d], -1)[whole]]
    )
    return joined


def must_be_metric(metric: bool, focal_known: bool) -> None:
    """Check that points can be made, before any work is done.

    Raises:
        ConfigError: the focal length is not known, or the network did not learn metres.
    """
    if not focal_known:
        hint = "give --focal-px or --fov-degrees, or leave ply and glb out"
        raise ConfigError("points need the focal length of the photo", field="format", hint=hint)
    if not metric:
        hint = "leave ply and glb out, or train with a metric loss on a metric source"
        raise ConfigError(f"this checkpoint gives {RELATIVE}", field="format", hint=hint)


def _ply_header(count: int, facts: Mapping[str, str]) -> str:
    types = {"f": "float", "u": "uchar"}
    names = VERTEX.names or ()
    properties = [f"property {types[VERTEX[name].kind]} {name}" for name in names]
    comments = ["comment metres, x right, y down, z forward"]
    comments += [f"comment depthmix:{name} {text}" for name, text in facts.items()]
    lines = ["ply", "format binary_little_endian 1.0", *comments, f"element vertex {count}", *properties]
    return "\n".join([*lines, "end_header", ""])
