"""Points and meshes stand where the pixels' rays meet the depth."""

import json
import struct

import numpy as np
import pytest

from depthmix.predict import PredictedDepth, encode_glb
from depthmix.sample import Intrinsics

CAMERA = Intrinsics(50, 40, 1, 0.5)
DEPTH = np.array([[2, 2.01, 2.02], [2.01, 2.02, 3]], np.float32)
COLOURS = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)


def parts(data):
    """Take a GLB apart as its specification says, without our code."""
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON"
    assert size % 4 == 0
    document = json.loads(data[20 : 20 + size])
    binary_size, kind = struct.unpack_from("<I4s", data, 20 + size)
    assert kind == b"BIN\0"
    binary = data[28 + size :]
    assert len(binary) == binary_size == document["buffers"][0]["byteLength"]
    views = document["bufferViews"]
    blobs = [binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]] for view in views]
    return document, blobs


def test_a_mesh_holds_every_pixel_as_a_coloured_vertex():
    document, (places, colours, _) = parts(encode_glb(PredictedDepth(DEPTH, True, 45.0), COLOURS, CAMERA))
    points = np.frombuffer(places, "<f4").reshape(2, 3, 3)
    for row in range(2):
        for column in range(3):
            z = DEPTH[row, column]
            expected = ((column - 1) / 50 * z, -(row - 0.5) / 40 * z, -z)
            assert points[row, column] == pytest.approx(expected, abs=1e-6)
    assert np.frombuffer(colours, "u1").reshape(2, 3, 4)[..., :3].tolist() == COLOURS.tolist()
    position = document["accessors"][0]
    assert position["min"] == pytest.approx(points.min((0, 1)).tolist())
    assert position["max"] == pytest.approx(points.max((0, 1)).tolist())
    facts = {"kind": "metric depth", "unit": "m", "focal_used": 45.0, "focal_origin": None}
    assert document["extras"] == facts


def test_triangles_face_the_camera_and_never_bridge_a_step():
    _, (places, _, indices) = parts(encode_glb(PredictedDepth(DEPTH, True, 45.0), COLOURS, CAMERA))
    points = np.frombuffer(places, "<f4").reshape(-1, 3)
    triangles = np.frombuffer(indices, "<u4").reshape(-1, 3)
    assert sorted(map(sorted, triangles.tolist())) == [[0, 1, 3], [1, 3, 4]]  # none of the square with 3 m
    for a, b, c in points[triangles]:
        assert np.cross(b - a, c - a) @ a < 0


@pytest.mark.parametrize("depth", [np.ones((1, 1), np.float32), np.array([[1, 2], [4, 8]], np.float32)])
def test_pixels_that_nothing_joins_are_points_since_a_list_may_not_be_empty(depth):
    colours = np.zeros((*depth.shape, 3), np.uint8)
    document, blobs = parts(encode_glb(PredictedDepth(depth, True, 45.0), colours, CAMERA))
    ((primitive,),) = (mesh["primitives"] for mesh in document["meshes"])
    assert primitive == {"attributes": {"POSITION": 0, "COLOR_0": 1}, "mode": 0}
    assert [one["count"] for one in document["accessors"]] == [depth.size] * 2
    assert [len(blob) for blob in blobs] == [12 * depth.size, 4 * depth.size]


def test_open3d_reads_the_mesh(tmp_path):
    open3d = pytest.importorskip("open3d")
    (tmp_path / "x.glb").write_bytes(encode_glb(PredictedDepth(DEPTH, True, 45.0), COLOURS, CAMERA))
    mesh = open3d.io.read_triangle_mesh(str(tmp_path / "x.glb"))
    assert len(mesh.triangles) == 2
    assert np.asarray(mesh.vertices)[:, 2].min() == pytest.approx(-3 if len(mesh.vertices) == 6 else -2.02)
