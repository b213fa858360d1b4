"""Data sets with planes: ids, cameras and parameters are those of the scene that they were written from."""

import re
from pathlib import Path

import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sample import LabelKind, Quality
from depthmix.sources.base import Source
from depthmix.sources.exact import ExactScenes
from depthmix.sources.found_planes import FoundPlanes
from depthmix.sources.holicity import HoliCity
from depthmix.sources.scannet_planes import ScanNetPlanes
from depthmix.sources.segmentation import CocoPanoptic, SemanticMaps
from depthmix.sources.sparse_planes import SparsePlanes
from depthmix.sources.structured3d import Structured3D
from depthmix.testing import Known, SourceContract, Truth
from depthmix.testing.known import BOX, GROUND, WALL
from tests.data.exact.make import make as make_exact
from tests.data.plane_sets import make as fake


def nothing(view: Known) -> np.ndarray:
    return np.full(view.size, np.nan)


class TestCocoPanoptic(SourceContract):
    def make(self, tmp_path: Path) -> Source:
        self.known = fake.make_coco(tmp_path / "raw")
        return SmallCoco(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        view = self.known[key]
        # A refrigerator has several faces; the brick wall and the road are one plane each.
        flat = np.where(view.planes == BOX, 0, view.planes)
        return Truth(nothing(view), None, planes=connected(flat), sky=view.sky)


class SmallCoco(CocoPanoptic):
    def __init__(self, root, *, name="coco_panoptic"):
        super().__init__(root, name=name, min_pixels=1)


class TestSemanticMaps(SourceContract):
    any_bits = (".png",)

    def make(self, tmp_path: Path) -> Source:
        self.known = fake.make_labels(tmp_path / "raw")
        return SmallMaps(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        view = self.known[key]
        flat = np.where(view.planes == BOX, 0, view.planes)
        return Truth(nothing(view), None, planes=connected(flat), sky=view.sky)


class SmallMaps(SemanticMaps):
    def __init__(self, root, *, name="segmentation", **options):
        super().__init__(root, name=name, min_pixels=1, **options)


class TestHoliCity(SourceContract):
    any_bits = (".png",)

    def make(self, tmp_path: Path) -> Source:
        self.known = fake.make_holicity(tmp_path / "raw")
        return HoliCity(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        view = self.known[key]
        return Truth(nothing(view), view.intrinsics, planes=view.planes)


class TestHoliCityDepth(TestHoliCity):
    def make(self, tmp_path: Path) -> Source:
        self.known = fake.make_holicity(tmp_path / "raw")
        return DeepHoliCity(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        view = self.known[key]
        return Truth(np.where(view.sky, np.nan, view.depth), view.intrinsics, planes=view.planes)


class DeepHoliCity(HoliCity):
    def __init__(self, root, *, name="holicity"):
        super().__init__(root, name=name, depth=True)


class TestStructured3D(SourceContract):
    def make(self, tmp_path: Path) -> Source:
        self.known = fake.make_structured3d(tmp_path / "raw")
        return Structured3D(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        view = self.known[key]
        room = np.where(view.planes == BOX, 0, view.planes)
        return Truth(view.depth, view.intrinsics, atol=0.0006, planes=room)


class TestScanNetPlanes(SourceContract):
    any_size = (".png", ".npy", ".jpg")
    optional = ("_00.txt",)

    def make(self, tmp_path: Path) -> Source:
        self.known = fake.make_scannet_planes(tmp_path / "raw")
        return SmallScanNet(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        view = self.known[key]
        return Truth(nothing(view), view.intrinsics, planes=view.planes)


class SmallScanNet(ScanNetPlanes):
    def __init__(self, root, *, name="scannet_planes"):
        super().__init__(root, name=name, min_pixels=20)


class TestSparsePlanes(SourceContract):
    def make(self, tmp_path: Path) -> Source:
        self.known = fake.make_sparse_planes(tmp_path / "raw")
        return SmallSparse(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        view = self.known[key]
        return Truth(nothing(view), view.intrinsics, planes=view.planes)


class SmallSparse(SparsePlanes):
    def __init__(self, root, *, name="sparse_planes"):
        super().__init__(root, name=name, min_pixels=1)


class TestFoundPlanes(SourceContract):
    any_bits = (".png",)

    def make(self, tmp_path: Path) -> Source:
        make_exact(tmp_path / "raw")
        return FoundInExact(tmp_path / "raw")


class FoundInExact(FoundPlanes):
    def __init__(self, root, *, name="found_planes"):
        super().__init__(root, name=name, tolerance=0.2)


def connected(ids: np.ndarray) -> np.ndarray:
    """Number connected regions of equal id, one flood at a time."""
    planes, count = np.zeros(ids.shape, np.int32), 0
    for start in map(tuple, np.argwhere(ids > 0)):
        if planes[start]:
            continue
        count += 1
        stack = [start]
        while stack:
            v, u = stack.pop()
            inside = 0 <= v < ids.shape[0] and 0 <= u < ids.shape[1]
            if inside and not planes[v, u] and ids[v, u] == ids[start]:
                planes[v, u] = count
                stack += [(v + 1, u), (v - 1, u), (v, u + 1), (v, u - 1)]
    return planes


def residual(source, key: str, view: Known) -> float:
    """Return how far the pixels of the scene lie from the planes that the source states for them."""
    sample, planes, points = source.read(key), source.parameters(key), view.points()
    found = []
    for number in np.unique(sample.planes[sample.planes > 0]):
        plane = planes[int(number)]
        found.append(np.abs(points[sample.planes == number] @ np.array(plane.normal) - plane.offset).max())
    assert len(found) == 3
    return float(np.max(found))


@pytest.mark.parametrize(
    ("writer", "kind"), [(fake.make_holicity, HoliCity), (fake.make_scannet_planes, SmallScanNet)]
)
def test_parameters_arrive_in_the_frame_of_the_camera(tmp_path, writer, kind):
    known = writer(tmp_path)
    source = kind(tmp_path)
    for key in known:
        assert residual(source, key, known[key]) < 1e-5


def test_a_plane_that_misses_its_pixels_would_be_noticed(tmp_path):
    known = fake.make_holicity(tmp_path)
    source = HoliCity(tmp_path)
    key = source.keys()[0]
    file = tmp_path / f"{key}_plan.npz"
    # The same planes in OpenCV axes, which HoliCity does not use.
    np.savez_compressed(file, ws=np.load(file)["ws"] * np.array([1, -1, -1]))
    assert residual(source, key, known[key]) > 1


def test_a_lost_pose_gives_no_parameters(tmp_path):
    fake.make_scannet_planes(tmp_path)
    source = SmallScanNet(tmp_path)
    key = source.keys()[0]
    scene, frame = key.split("/")
    (tmp_path / scene / "frames" / "pose" / f"{frame}.txt").write_text("-inf " * 16)
    with pytest.raises(BadSource, match="tracking was lost"):
        source.parameters(key)


def test_scannet_without_its_facts_has_no_camera(tmp_path):
    fake.make_scannet_planes(tmp_path)
    for facts in tmp_path.glob("*/scene*.txt"):
        facts.unlink()
    assert all(sample.intrinsics is None for sample in SmallScanNet(tmp_path))


def test_the_depth_of_holicity_is_a_middle_label(tmp_path):
    fake.make_holicity(tmp_path)
    card = HoliCity(tmp_path, depth=True).card
    assert (card.kind, card.quality) == (LabelKind.METRIC_DEPTH, Quality.MIDDLE)
    assert HoliCity(tmp_path).card.kind is LabelKind.NONE


@pytest.mark.parametrize("divisor", [256, 1000])
def test_instances_of_cityscapes_and_mapillary_are_taken_apart(tmp_path, divisor):
    known = fake.make_labels(tmp_path, divisor=divisor)
    for sample in SmallMaps(tmp_path, divisor=divisor):
        view = known[sample.key]
        np.testing.assert_array_equal(sample.planes > 0, np.isin(view.planes, (GROUND, WALL)))
        np.testing.assert_array_equal(sample.sky, view.sky)


def test_a_class_that_nobody_reviewed_is_an_error_until_its_role_is_stated(tmp_path):
    fake.make_labels(tmp_path)
    names = (tmp_path / "names.txt").read_text().replace("refrigerator", "flying carpet")
    (tmp_path / "names.txt").write_text(names)
    with pytest.raises(BadSource, match="'flying carpet' is not in the reviewed table"):
        SmallMaps(tmp_path).read(SmallMaps(tmp_path).keys()[0])
    sample = next(iter(SmallMaps(tmp_path, roles={"flying carpet": "plane"})))
    assert len(np.unique(sample.planes)) >= 4


def test_a_number_without_a_name_is_an_error(tmp_path):
    fake.make_labels(tmp_path)
    lines = (tmp_path / "names.txt").read_text().splitlines()
    (tmp_path / "names.txt").write_text("\n".join(lines[:-1]))
    with pytest.raises(BadSource, match="does not name"):
        next(iter(SmallMaps(tmp_path)))


@pytest.mark.parametrize("line", ["9" * 5000 + " road", "70000000 road", "½ road", "-1 road", "8"])
def test_a_line_of_class_names_that_is_none_is_an_error(tmp_path, line):
    fake.make_labels(tmp_path)
    (tmp_path / "names.txt").write_text(line)
    with pytest.raises(BadSource, match="must hold lines `number name`"):
        next(iter(SmallMaps(tmp_path)))


@pytest.mark.parametrize("number", ["Infinity", "1e999", "NaN", "null", "[1]"])
def test_a_table_whose_number_is_none_is_an_error(tmp_path, number):
    fake.make_coco(tmp_path)
    (table,) = (tmp_path / "annotations").glob("*.json")
    table.write_text(re.sub(r'"category_id": \d+', f'"category_id": {number}', table.read_text(), count=1))
    with pytest.raises(BadSource, match="is no table of panoptic segments"):
        next(iter(CocoPanoptic(tmp_path)))


def test_regions_of_several_planes_count_only_when_asked_for(tmp_path):
    known = fake.make_coco(tmp_path)
    with_box = CocoPanoptic(tmp_path, min_pixels=1, piecewise=True)
    for sample in with_box:
        np.testing.assert_array_equal(sample.planes > 0, known[sample.key].planes > 0)


def test_structured3d_keeps_furniture_out_of_the_room_planes(tmp_path):
    known = fake.make_structured3d(tmp_path)
    for sample in Structured3D(tmp_path):
        assert not (sample.planes[known[sample.key].planes == BOX]).any()


@pytest.mark.parametrize("half", [51.3, 0.0, 1.6])
def test_half_angles_in_degrees_are_refused(tmp_path, half):
    fake.make_structured3d(tmp_path)
    source = Structured3D(tmp_path)
    camera = source.files(source.keys()[0])[1]
    camera.write_text(" ".join(map(str, [0.0] * 9 + [half, half, 1])))
    with pytest.raises(BadSource, match="must be radians"):
        source.read(source.keys()[0])


def test_found_planes_keep_the_depth_only_when_asked_for(tmp_path):
    make_exact(tmp_path)
    kept = FoundPlanes(tmp_path, of="ExactScenes", keep_depth=True, tolerance=0.2)
    plain = ExactScenes(tmp_path, name="found_planes")
    assert kept.card.kind is LabelKind.METRIC_DEPTH
    for sample, other in zip(kept, plain, strict=True):
        np.testing.assert_array_equal(sample.target, other.target)


def test_planes_are_sought_in_dense_depth_only(tmp_path):
    fake.make_coco(tmp_path)
    with pytest.raises(ValueError, match="must be a source of dense depth, CocoPanoptic is none NONE"):
        FoundPlanes(tmp_path, of="CocoPanoptic")


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e200])
def test_offsets_that_are_none_are_refused(tmp_path, number):
    fake.make_scannet_planes(tmp_path)
    source = ScanNetPlanes(tmp_path)
    key = source.keys()[0]
    file = next(file for file in source.files(key) if file.name == "planes.npy")
    table = np.load(file)
    table[0, 0] = number
    np.save(file, table)
    with pytest.raises(BadSource, match=r"planes\.npy: holds offsets that are not finite or beyond 1000 km"):
        source.read(key)


@pytest.mark.parametrize("number", ["Infinity", "NaN", "1e300"])
def test_a_corner_of_a_room_that_is_nowhere_is_refused(tmp_path, number):
    fake.make_structured3d(tmp_path)
    source = Structured3D(tmp_path)
    key = source.keys()[0]
    file = next(file for file in source.files(key) if file.name == "layout.json")
    file.write_text(re.sub(r'("coordinate": \[)[^,]*', rf"\g<1>{number}", file.read_text()))
    with pytest.raises(BadSource, match=r"layout\.json: is no layout .*a corner lies outside every image"):
        source.read(key)
