"""Stereo data sets of rooms, and rendered ones: values are those of the scene that they were written from."""

from pathlib import Path

import numpy as np
import pytest

from depthmix.audit.pairs import measure_pair
from depthmix.errors import BadSource
from depthmix.sample import LabelKind
from depthmix.sources.base import Source
from depthmix.sources.booster import Booster
from depthmix.sources.eth3d_two_view import Eth3dTwoView
from depthmix.sources.instereo2k import InStereo2K
from depthmix.sources.irs import Irs
from depthmix.sources.middlebury import MotorcycleStereo
from depthmix.sources.middlebury_classic import MiddleburyClassic
from depthmix.sources.scene_flow import SceneFlow
from depthmix.sources.spring import Spring
from depthmix.testing import Known, SourceContract, Truth
from tests.data.indoor_pairs import make as fake


def depth_of(view: Known) -> np.ndarray:
    return np.where(view.sky, np.nan, view.depth)


class TestMiddleburyClassic(SourceContract):
    def make(self, tmp_path: Path) -> Source:
        self.known = fake.make_classic(tmp_path / "raw")
        return MiddleburyClassic(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        view = self.known[key]
        return Truth(view.intrinsics.fx * 0.16 / view.depth - 10, None, rtol=1e-4)


class TestMiddleburyClassicInMetres(SourceContract):
    def make(self, tmp_path: Path) -> Source:
        self.known = fake.make_classic(tmp_path / "raw")
        return MetricClassic(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        view = self.known[key]
        return Truth(view.depth, view.intrinsics)


class MetricClassic(MiddleburyClassic):
    def __init__(self, root, *, name="middlebury_classic"):
        super().__init__(root, name=name, metric=True)


class TestEth3dTwoView(SourceContract):
    def make(self, tmp_path: Path) -> Source:
        self.known = fake.make_eth3d(tmp_path / "raw")
        return Eth3dTwoView(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        view = self.known[key]
        return Truth(depth_of(view), view.intrinsics)


class TestInStereo2K(SourceContract):
    def make(self, tmp_path: Path) -> Source:
        self.known = fake.make_instereo2k(tmp_path / "raw")
        return InStereo2K(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        view = self.known[key]
        return Truth(np.where(view.sky, np.nan, view.disparity(fake.BASELINE_M)), None, atol=0.006)


class TestBooster(SourceContract):
    def make(self, tmp_path: Path) -> Source:
        self.known = fake.make_booster(tmp_path / "raw")
        return Booster(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        view = self.known[key]
        return Truth(depth_of(view), view.intrinsics)


class TestSceneFlow(SourceContract):
    def make(self, tmp_path: Path) -> Source:
        self.known = fake.make_scene_flow(tmp_path / "raw")
        return SceneFlow(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        view = self.known[key]
        return Truth(depth_of(view), view.intrinsics)


class TestSpring(SourceContract):
    optional = ("skymap_left_0001.png",)

    def make(self, tmp_path: Path) -> Source:
        self.known = fake.make_spring(tmp_path / "raw")
        return Spring(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        view = self.known[key]
        return Truth(depth_of(view), view.intrinsics, sky=view.sky)


class TestIrs(SourceContract):
    def make(self, tmp_path: Path) -> Source:
        self.known = fake.make_irs(tmp_path / "raw")
        return Irs(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        view = self.known[key]
        return Truth(depth_of(view), view.intrinsics)


@pytest.mark.parametrize("size", ["full", "half", "third", "quarter"])
def test_the_scale_of_old_middlebury_belongs_to_the_resolution(tmp_path, size):
    known = fake.make_classic(tmp_path, size=size)
    for sample in MiddleburyClassic(tmp_path, size=size, metric=True):
        view = known[sample.key]
        np.testing.assert_allclose(sample.target[2:], view.depth[2:], rtol=1e-5)


def test_old_middlebury_claims_no_metres_without_a_camera(tmp_path):
    fake.make_classic(tmp_path, release=2003)
    assert MiddleburyClassic(tmp_path, release=2003).card.kind is LabelKind.AFFINE_DISPARITY
    with pytest.raises(ValueError, match="published for 2005 and 2006 only"):
        MiddleburyClassic(tmp_path, release=2003, metric=True)


@pytest.mark.parametrize(("scene", "release", "size"), [("cone", 2003, "quarter"), ("Cloth3", 2006, "half")])
def test_published_disparities_agree_with_a_matcher_at_their_scale(real_samples, scene, release, size):
    source = MiddleburyClassic(real_samples / "middlebury2003_2006", release=release, size=size)
    views = source.views(scene)
    assert views is not None
    found = measure_pair(views)
    assert found.slope == pytest.approx(1, abs=0.02)
    assert abs(found.bias) < 0.5
    assert found.spread < 0.5


def test_a_wrong_size_shows_as_a_wrong_slope(real_samples):
    source = MiddleburyClassic(real_samples / "middlebury2003_2006", release=2003, size="half")
    views = source.views("cone")
    assert views is not None
    assert measure_pair(views).slope == pytest.approx(0.5, abs=0.02)


def test_motorcycle_agrees_with_a_matcher():
    views = MotorcycleStereo().views("motorcycle")
    assert views is not None
    found = measure_pair(views)
    assert found.slope == pytest.approx(1, abs=0.02)
    assert found.spread < 0.3


@pytest.mark.parametrize(("kind", "writer"), [(Eth3dTwoView, fake.make_eth3d), (Booster, fake.make_booster)])
def test_pixels_that_only_one_camera_sees_can_be_left_out(tmp_path, kind, writer):
    writer(tmp_path)
    for everything, both in zip(kind(tmp_path), kind(tmp_path, occluded=False), strict=True):
        assert everything.valid[:, :3].any()
        assert not both.valid[:, :3].any()
        np.testing.assert_array_equal(both.valid[:, 3:], everything.valid[:, 3:])


def test_a_baseline_in_other_units_is_asked_back(tmp_path):
    fake.make_booster(tmp_path)
    with pytest.raises(BadSource, match="is `baseline_per_metre` right"):
        next(iter(Booster(tmp_path, baseline_per_metre=1.0)))


def test_a_calibration_with_declarations_is_refused(tmp_path):
    fake.make_booster(tmp_path)
    source = Booster(tmp_path)
    file = source.files(source.keys()[0])[1]
    bomb = '<!DOCTYPE a [<!ENTITY b "c">]>'
    file.write_text(file.read_text().replace("<opencv_storage>", f"{bomb}<opencv_storage>"))
    with pytest.raises(BadSource, match="holds declarations"):
        source.read(source.keys()[0])


def test_scene_flow_is_scaled_depth_and_claims_no_metres(tmp_path):
    fake.make_scene_flow(tmp_path)
    assert SceneFlow(tmp_path).card.kind is LabelKind.SCALED_DEPTH


def test_flying_things_agree_with_a_matcher_only_when_rows_are_flipped(real_samples):
    source = SceneFlow(real_samples / "flyingthings3d")
    (key,) = source.keys()
    views = source.views(key)
    assert views is not None
    assert views.disparity is not None
    assert measure_pair(views).spread < 0.5
    upside = type(views)(views.left, views.right, views.disparity[::-1], views.valid[::-1])
    assert measure_pair(upside).spread > 5


def test_spring_without_its_maps_knows_no_sky(tmp_path):
    known = fake.make_spring(tmp_path)
    for file in tmp_path.rglob("skymap_left_*.png"):
        file.unlink()
    for sample in Spring(tmp_path):
        assert not sample.sky.any()
        np.testing.assert_array_equal(sample.valid, ~known[sample.key].sky)
