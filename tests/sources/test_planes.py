import json

import numpy as np
import pytest

from depthmix.errors import BadSample, BadSource
from depthmix.sample import Intrinsics
from depthmix.sources.planes import Plane, PlaneInstances, drop_small, read_plane_parameters
from tests.data.planes.make import CAMERA, PARAMETERS, make
from tests.sources.contract import SourceContract


class TestPlaneInstances(SourceContract):
    any_bits = (".png",)

    def make(self, tmp_path):
        make(tmp_path / "planes")
        return OpenPlanes(tmp_path / "planes")


class OpenPlanes(PlaneInstances):
    """Keep the tiny instances of the fixture."""

    def __init__(self, root, *, name="planes"):
        super().__init__(root, name=name, min_pixels=1)


@pytest.mark.parametrize(
    ("encoding", "largest"),
    [("grey16", 300), ("grey16", 65535), ("rgb24", 70_000), ("rgb24", 2**24 - 1), ("npy", 2**31 - 1)],
)
def test_ids_are_read_exactly_in_every_encoding(tmp_path, encoding, largest):
    known = make(tmp_path, encoding=encoding, largest=largest)
    for sample in OpenPlanes(tmp_path):
        np.testing.assert_array_equal(sample.planes, known[sample.key])
        assert len(np.unique(sample.planes)) == 300
        assert sample.planes.max() == largest
        assert not sample.valid.any()


@pytest.mark.parametrize(("camera", "expected"), [("each", True), ("one", True), ("none", False)])
def test_camera_is_read_where_there_is_one_and_never_invented(tmp_path, camera, expected):
    make(tmp_path, camera=camera)
    for sample in OpenPlanes(tmp_path):
        assert sample.intrinsics == (Intrinsics(**CAMERA) if expected else None)


def test_an_image_without_a_camera_file_has_no_camera_and_the_others_keep_theirs(tmp_path):
    make(tmp_path, count=3)
    (tmp_path / "intrinsics" / "view1.json").unlink()
    source = OpenPlanes(tmp_path)
    cameras = [sample.intrinsics for sample in source]
    assert cameras == [Intrinsics(**CAMERA), None, Intrinsics(**CAMERA)]
    assert [file.name for file in source.files("view1")] == ["view1.png", "view1.png"]


def test_cameras_that_belong_to_no_image_are_refused(tmp_path):
    make(tmp_path, count=1)
    camera = tmp_path / "intrinsics" / "view0.json"
    camera.rename(camera.with_name("view0_camera.json"))
    with pytest.raises(BadSource, match="intrinsics: none of its 1 cameras belongs to an image; name each"):
        PlaneInstances(tmp_path)


def test_small_instances_become_zero_and_the_others_keep_their_ids():
    planes = np.array([[5, 5, 5, 9], [0, 70_000, 70_000, 70_000]], np.int32)
    expected = np.array([[5, 5, 5, 0], [0, 70_000, 70_000, 70_000]], np.int32)
    kept = drop_small(planes, 3)
    assert kept.dtype == np.int32
    np.testing.assert_array_equal(kept, expected)
    np.testing.assert_array_equal(drop_small(planes, 1), planes)


def test_an_image_with_only_small_instances_is_a_bad_sample(tmp_path):
    make(tmp_path)
    with pytest.raises(BadSample, match=r"view0\.png: planes/view0: planes: no depth and no plane"):
        PlaneInstances(tmp_path).read("view0")


def test_plane_map_of_another_size_names_both_files(tmp_path):
    make(tmp_path, encoding="npy")
    np.save(tmp_path / "planes" / "view1.npy", np.ones((40, 59), np.int32))
    with pytest.raises(BadSource, match=r"view1\.npy: is 40 x 59, .*view1\.png is 40 x 60"):
        PlaneInstances(tmp_path).read("view1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fx": None}, "fx: must be a number, got None"),
        ({"cy": "19"}, "cy: must be a number, got '19'"),
        ({"fy": True}, "fy: must be a number, got True"),
        ({"cx": float("nan")}, "intrinsics.cx: must be finite, got nan"),
        ({"fx": -1.0}, "intrinsics.fx: must be finite and positive"),
        ({"fx": 10**400}, "intrinsics.fx: must be finite and positive, got inf"),
    ],
)
def test_wrong_camera_names_file_and_field(tmp_path, change, message):
    make(tmp_path)
    (tmp_path / "intrinsics" / "view0.json").write_text(json.dumps({**CAMERA, **change}))
    with pytest.raises(BadSource, match=rf"view0\.json: .*{message}"):
        PlaneInstances(tmp_path).read("view0")


def test_parameters_are_read_by_id(tmp_path):
    make(tmp_path)
    planes = read_plane_parameters(tmp_path / "parameters" / "view0.json")
    assert planes == {1: Plane((0.0, -1.0, 0.0), -1.5), 300: Plane((0.6, 0.0, 0.8), 4.0)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"0": PARAMETERS["1"]}, "positive 32-bit integers, got '0'"),
        ({"4294967296": PARAMETERS["1"]}, "positive 32-bit"),
        ({"-1": PARAMETERS["1"]}, "positive 32-bit"),
        ({"1": [0, 1, 0]}, r"plane 1: must be \[nx, ny, nz, offset\]"),
        ({"1": [0, 2, 0, 1]}, "plane 1: is no plane"),
        ({"1": [0, 1, 0, float("inf")]}, "plane 1: is no plane"),
        ({"1": [0, 1, 0, True]}, r"plane 1: must be \[nx"),
        ({"1": [0, 1, 0, 10**400]}, "plane 1: is no plane"),
        ([], "must be a JSON object, got list"),
    ],
)
def test_wrong_parameters_are_refused(tmp_path, content, message):
    file = tmp_path / "p.json"
    file.write_text(json.dumps(content))
    with pytest.raises(BadSource, match=rf"p\.json.*{message}"):
        read_plane_parameters(file)


def test_deeply_nested_json_is_refused(tmp_path):
    file = tmp_path / "p.json"
    file.write_text("[" * 100_000)
    with pytest.raises(BadSource, match=r"p\.json: cannot be read"):
        read_plane_parameters(file)
