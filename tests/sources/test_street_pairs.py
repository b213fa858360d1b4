"""Stereo data sets of streets, and calibrated pairs that are matched here."""

import json
from dataclasses import replace
from pathlib import Path
from shutil import make_archive

import numpy as np
import pytest

from depthmix.audit.pairs import measure_pair
from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind
from depthmix.sources.argoverse_stereo import ArgoverseStereo
from depthmix.sources.base import Source
from depthmix.sources.calibrated_pairs import CalibratedPairs, OakStereo
from depthmix.sources.cityscapes import Cityscapes
from depthmix.sources.decode import read_image
from depthmix.sources.diml import DimlIndoor, DimlOutdoor
from depthmix.sources.driving_stereo import DrivingStereo
from depthmix.sources.kitti_stereo import KittiStereo
from depthmix.sources.matching import match_pair
from depthmix.sources.middlebury import MotorcycleStereo
from depthmix.testing import Known, SourceContract, Truth
from tests.data.street_pairs import make as fake

# One step of the encoding in depth: z^2 / (f B) / 256, with z up to 6 m.
STEP = 36 / (300 * 0.54) / 256


def truth_of(view: Known, atol: float = STEP) -> Truth:
    return Truth(np.where(view.sky, np.nan, view.depth), view.intrinsics, atol=atol, sky=None)


class PairContract:
    """What sources of labelled pairs keep besides."""

    def truth(self, source: Source, key: str) -> Truth:
        return truth_of(self.known[key])

    def test_both_pictures_agree_with_the_label(self, tmp_path: Path) -> None:
        source = self.make(tmp_path)
        for key in list(source.keys()):
            views = source.views(key)
            assert views is not None
            assert views.disparity is not None
            shifted = np.rint(np.arange(views.left.shape[1]) - views.disparity).astype(int)
            rows, columns = np.nonzero(views.valid & (shifted >= 0))
            there = views.right[rows, shifted[rows, columns]].astype(int)
            difference = np.abs(views.left[rows, columns].astype(int) - there).mean(1)
            assert np.median(difference) < 30, "the right picture is not the left one moved by the disparity"


class TestKittiStereo2015(PairContract, SourceContract):
    def make(self, tmp_path: Path) -> Source:
        self.known = fake.make_kitti(tmp_path / "raw")
        return DenseKitti(tmp_path / "raw")


class DenseKitti(KittiStereo):
    """The written labels are dense, the published ones are sparse."""

    def __init__(self, root, *, name="kitti_stereo", release=2015):
        super().__init__(root, name=name, release=release)
        object.__setattr__(self, "card", _dense(self.card))


class DenseKitti2012(DenseKitti):
    def __init__(self, root, *, name="kitti_stereo"):
        super().__init__(root, name=name, release=2012)


class TestKittiStereo2012(PairContract, SourceContract):
    def make(self, tmp_path: Path) -> Source:
        self.known = fake.make_kitti(tmp_path / "raw", 2012)
        return DenseKitti2012(tmp_path / "raw")


class TestCityscapes(PairContract, SourceContract):
    optional = ("_labelIds.png",)

    def make(self, tmp_path: Path) -> Source:
        self.known = fake.make_cityscapes(tmp_path / "raw")
        return Cityscapes(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        view = self.known[key]
        depth = np.where(view.sky, np.nan, view.depth)
        depth[-4:] = np.nan
        depth[:3, :5] = np.nan
        sky = view.sky.copy()
        sky[-4:] = False
        return Truth(depth, view.intrinsics, atol=STEP, sky=sky)


class TestDrivingStereo(PairContract, SourceContract):
    def make(self, tmp_path: Path) -> Source:
        self.known = fake.make_driving(tmp_path / "raw")
        return DenseDriving(tmp_path / "raw")


class DenseDriving(DrivingStereo):
    def __init__(self, root, *, name="driving_stereo", **options):
        super().__init__(root, name=name, **options)
        object.__setattr__(self, "card", _dense(self.card))


class TestArgoverseStereo(PairContract, SourceContract):
    def make(self, tmp_path: Path) -> Source:
        self.known = fake.make_argoverse(tmp_path / "raw")
        return DenseArgoverse(tmp_path / "raw")


class DenseArgoverse(ArgoverseStereo):
    def __init__(self, root, *, name="argoverse_stereo"):
        super().__init__(root, name=name)
        object.__setattr__(self, "card", _dense(self.card))


class TestDimlIndoor(SourceContract):
    def make(self, tmp_path: Path) -> Source:
        self.known = fake.make_diml(tmp_path / "raw", outdoor=False)
        return DimlIndoor(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        view = self.known[key]
        return Truth(np.where(view.sky, np.nan, view.depth), None, atol=0.0006)


class TestDimlOutdoor(TestDimlIndoor):
    def make(self, tmp_path: Path) -> Source:
        self.known = fake.make_diml(tmp_path / "raw", outdoor=True)
        return DimlOutdoor(tmp_path / "raw")


class TestCalibratedPairs(SourceContract):
    def make(self, tmp_path: Path) -> Source:
        (tmp_path / "raw").mkdir()
        fake.make_pairs(tmp_path / "raw")
        return CalibratedPairs(tmp_path / "raw")


def _dense(card):
    return replace(card, density="dense")


def test_kitti_without_its_calibration_is_inverse_depth_and_claims_no_metres(tmp_path):
    known = fake.make_kitti(tmp_path)
    source = KittiStereo(tmp_path, metric=False)
    assert source.card.kind is LabelKind.AFFINE_DISPARITY
    for sample in source:
        view = known[sample.key]
        assert sample.intrinsics is None
        expected = view.disparity(fake.BASELINE_M, fake.DOFFS_PX)[~view.sky]
        np.testing.assert_allclose(sample.target[sample.valid], expected, atol=1 / 256)


def test_sigma_of_a_street_pair_is_z_squared_over_focal_length_and_baseline(tmp_path):
    fake.make_kitti(tmp_path)
    for sample in DenseKitti(tmp_path):
        expected = sample.target**2 * 0.5 / (300 * 0.54)
        np.testing.assert_allclose(sample.sigma[sample.valid], expected[sample.valid], rtol=1e-5)


def test_disparities_of_kitti_read_with_256_have_a_measured_median(real_samples):
    for release, split in ((2015, "testing/training"), (2012, "training")):
        folder = (
            real_samples / "kitti_stereo" / ("data_scene_flow" if release == 2015 else "data_stereo_flow")
        )
        source = KittiStereo(folder, release=release, split=split, metric=False)
        sample = source.read("000000_10")
        views = source.views("000000_10")
        assert views is not None
        found = measure_pair(views)
        assert 0.15 < sample.valid.mean() < 0.4
        assert found.slope == pytest.approx(1, abs=0.02)
        assert abs(found.bias) < 0.5
        assert found.spread < 0.6


def test_the_code_zero_of_cityscapes_is_nothing_and_one_is_infinity(tmp_path):
    known = fake.make_cityscapes(tmp_path, fine=False)
    for sample in Cityscapes(tmp_path):
        assert not sample.valid[:3, :5].any()
        assert not sample.valid[known[sample.key].sky].any()
        assert not sample.sky.any()  # without gtFine nobody knows


@pytest.mark.parametrize("size", ["half", "full"])
def test_both_sizes_of_driving_stereo_give_the_same_metres(tmp_path, size):
    known = fake.make_driving(tmp_path, size)
    for sample in DenseDriving(tmp_path, size=size):
        view = known[sample.key]
        np.testing.assert_allclose(sample.target[sample.valid], view.depth[~view.sky], atol=2 * STEP)


def test_a_pair_that_is_not_rectified_is_refused(tmp_path):
    fake.make_kitti(tmp_path)
    file = tmp_path / "training" / "calib_cam_to_cam" / "000000.txt"
    lines = file.read_text().splitlines()
    lines[2] = lines[2].replace("3.000000000000e+02", "3.100000000000e+02", 1)
    file.write_text("\n".join(lines))
    with pytest.raises(BadSource, match="the pair is not rectified"):
        KittiStereo(tmp_path).read("000000_10")


def test_matched_pairs_have_true_metres_inside_the_stated_region(tmp_path):
    known = fake.make_pairs(tmp_path)
    for sample in CalibratedPairs(tmp_path):
        depth = known[sample.key]
        error = np.abs(sample.target - depth)[sample.valid] / depth[sample.valid]
        assert sample.valid.mean() > 0.5
        assert np.median(error) < 0.02
        assert not sample.valid[:, :51].any()
        assert not sample.valid[87:].any()
        assert sample.intrinsics == Intrinsics(200, 200, 127, 48)


@pytest.mark.parametrize("form", ["json", "txt"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_pair_may_have_a_calibration_of_its_own(tmp_path, form, packed):
    root = tmp_path / "raw"
    root.mkdir()
    known = fake.make_pairs(root)
    content = json.loads((root / "stereodemo_calibration.json").read_text())
    (root / "stereodemo_calibration.json").unlink()
    (root / "calib").mkdir()
    for key, factor in (("hall", 1), ("room", 3)):
        f, cx, cy, baseline = (content[name] for name in ("fx", "cx0", "cy", "baseline_meters"))
        lines = [f"cam0=[{f} 0 {cx}; 0 {f} {cy}; 0 0 1]", "doffs=0", f"baseline={1000 * factor * baseline}"]
        text = "\n".join([*lines, "width=256", "height=96"])
        if form == "json":
            text = json.dumps(content | {"baseline_meters": factor * baseline, "depth_range": [2.0 * factor]})
        (root / "calib" / f"{key}.{form}").write_text(text)
    if packed:
        root = Path(make_archive(str(tmp_path / "pairs"), "zip", root))
    source = CalibratedPairs(root, calibration=f"calib/*.{form}")
    hall, room = (source.read(key) for key in ("hall", "room"))
    for sample, factor in ((hall, 1), (room, 3)):
        depth = factor * known[sample.key][sample.valid]
        assert np.median(np.abs(sample.target[sample.valid] / depth - 1)) < 0.02
    assert packed or source.files("room")[0] == root / "calib" / f"room.{form}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"width": 255}, "belongs to pictures of 255 x 96"),
        ({"baseline_meters": -1}, "must be positive metres"),
        ({"fx": float("nan")}, "fx: must be a finite number"),
        ({"left_image_rect_normalized": [0, 1]}, "must be four numbers"),
    ],
)
def test_a_calibration_that_cannot_be_is_named(tmp_path, change, said):
    fake.make_pairs(tmp_path)
    file = tmp_path / "stereodemo_calibration.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(BadSource, match=said):
        CalibratedPairs(tmp_path).read("hall")


def test_oak_pairs_are_rooms_and_keep_to_their_region():
    wheel = Path(__file__).parents[2] / ".cache" / "stereodemo-0.7-py3-none-any.whl"
    if not wheel.exists():
        pytest.skip("the wheel of stereodemo was not fetched; make demo does")
    source = OakStereo(wheel)
    shares, medians = [], []
    for sample in source:
        assert not sample.valid[:20].any()  # 0.0417 of 480 rows
        assert not sample.valid[:, 612:].any()  # beyond 0.9547 of 640 columns
        shares.append(sample.valid.mean())
        medians.append(np.median(sample.target[sample.valid]))
    assert len(shares) == 11
    assert 0.3 < min(shares) < max(shares) < 0.85
    assert 0.40 < np.median(shares) < 0.74  # where another matcher had all of them
    assert 0.5 < min(medians) < max(medians) < 6


def test_the_stated_sigma_fits_what_a_matcher_does_on_motorcycle():
    skimage_data = MotorcycleStereo().root
    left, right = (read_image(skimage_data / f"motorcycle_{side}.png") for side in ("left", "right"))
    disparity, valid = match_pair(left, right, num_disparities=80)
    truth = np.load(skimage_data / "motorcycle_disp.npz")["arr_0"]
    both = valid & np.isfinite(truth)
    error = np.abs(disparity[both] - truth[both])
    assert np.median(error) < 0.25
    # Two thirds of a bell curve lie within one sigma; here it is more, and the tail is longer.
    assert 0.68 < (error < 0.5).mean() < 0.9
    assert (error > 3).mean() < 0.1


def test_a_translation_of_four_numbers_is_no_calibration(tmp_path):
    fake.make_argoverse(tmp_path)
    source = ArgoverseStereo(tmp_path)
    key = source.keys()[0]
    file = source.files(key)[1]
    content = json.loads(file.read_text())
    content["camera_data_"][0]["value"]["vehicle_SE3_camera_"]["translation"].append(0.0)
    file.write_text(json.dumps(content))
    with pytest.raises(BadSource, match="is no stereo calibration of Argoverse"):
        source.read(key)


def test_a_search_wider_than_the_picture_is_refused(tmp_path):
    fake.make_pairs(tmp_path)
    source = CalibratedPairs(tmp_path, nearest_m=1e-9)
    with pytest.raises(BadSource, match=r"a point at 1e-09 m would be .* widths of the picture apart"):
        source.read(source.keys()[0])
