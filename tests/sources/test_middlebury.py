"""Disparities of a calibrated pair become metres with a known spread, and a bad calibration is named."""

from pathlib import Path

import numpy as np
import pytest

from depthmix.errors import BadSample, BadSource
from depthmix.sample import Intrinsics
from depthmix.sources.middlebury import (
    MiddleburyStereo,
    MotorcycleStereo,
    read_calibration,
)
from depthmix.sources.stereo import StereoCalibration, depth_of_disparity
from tests.data.middlebury import make as fake
from tests.sources.contract import SourceContract

CAMERA = StereoCalibration(Intrinsics(40, 40, 15, 11.5), 0.2, 3.0, 4, 1)


class TestMiddleburyStereo(SourceContract):
    def make(self, tmp_path: Path) -> MiddleburyStereo:
        root = tmp_path / "raw"
        fake.make(root)
        return MiddleburyStereo(root)


class TestMotorcycleStereo(SourceContract):
    count = 1

    def make(self, tmp_path: Path) -> MotorcycleStereo:
        root = tmp_path / "raw"
        root.mkdir()
        for file in MotorcycleStereo().files("motorcycle"):
            (root / file.name).write_bytes(file.read_bytes())
        return MotorcycleStereo(root)


def test_depth_of_a_slanted_plane_is_exact(tmp_path: Path):
    truth = fake.make(tmp_path)
    sample = MiddleburyStereo(tmp_path).read("Bicycle")
    assert np.array_equal(sample.valid, np.isfinite(truth))
    np.testing.assert_allclose(sample.target[sample.valid], truth[sample.valid], rtol=1e-6)
    assert sample.intrinsics == Intrinsics(fake.FOCAL_PX, fake.FOCAL_PX, fake.CX, fake.CY)


def test_sigma_is_the_change_of_depth_by_one_sigma_of_disparity():
    disparity = np.array([[2.0, 5.0, 9.0, 40.0]], np.float32)
    step = 1e-3
    z, sigma, valid = depth_of_disparity(disparity, CAMERA, step)
    nearer, _, _ = depth_of_disparity(disparity + np.float32(step), CAMERA, step)
    assert valid.all()
    np.testing.assert_allclose(sigma, z - nearer, rtol=5e-3)


def test_sigma_grows_with_the_square_of_depth_and_with_the_option(tmp_path: Path):
    fake.make(tmp_path)
    one = MiddleburyStereo(tmp_path, sigma_disparity_px=1.0).read("Bicycle")
    two = MiddleburyStereo(tmp_path, sigma_disparity_px=2.0).read("Bicycle")
    assert one.sigma is not None
    assert two.sigma is not None
    expected = one.target**2 / (fake.FOCAL_PX * fake.BASELINE_MM / 1000)
    np.testing.assert_allclose(one.sigma, expected, rtol=1e-5)
    np.testing.assert_allclose(two.sigma, 2 * one.sigma, rtol=1e-6)


def test_disparities_at_or_beyond_infinity_are_not_valid():
    disparity = np.array([[-3.0, -3.5, np.inf, np.nan, -2.9, -np.inf, -3 + 3e-7, 1e38]], np.float32)
    z, sigma, valid = depth_of_disparity(disparity, CAMERA, 0.5)
    assert valid.tolist() == [[False, False, False, False, True, False, True, False]]
    assert np.isfinite(z).all()
    assert np.isfinite(sigma).all()
    assert (sigma[valid] > 0).all()


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_sigma_option_must_be_positive_and_finite(tmp_path: Path, value: float):
    with pytest.raises(ValueError, match="`sigma_disparity_px` must be positive and finite"):
        MiddleburyStereo(tmp_path, sigma_disparity_px=value)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("cam0", "", "is missing"),
        ("baseline", "", "is missing"),
        ("doffs", "nan", "must be finite"),
        ("doffs", "1 2", r"must be 1 number\(s\), got 2"),
        ("baseline", "inf", "must be finite"),
        ("baseline", "0", "must be positive"),
        ("baseline", "1e300", "must be below 1e\\+09, got '1e300'"),
        ("baseline", "wide", r"must be 1 number\(s\), got 'wide'"),
        ("cam0", "[40 0 15; 0 40 11.5]", "got 6"),
        ("cam0", "[40 0 nan; 0 40 11.5; 0 0 1]", "must be finite"),
        ("cam0", "[40 1 15; 0 40 11.5; 0 0 1]", "must be"),
        ("cam0", "[-40 0 15; 0 40 11.5; 0 0 1]", "focal lengths must be positive"),
        ("width", "32.5", "whole number"),
        ("height", "-24", "must be positive"),
    ],
)
def test_bad_calibration_names_file_and_field(tmp_path: Path, field: str, value: str, reason: str):
    file = tmp_path / "calib.txt"
    file.write_text(fake.calibration_text(**{field: value}))
    with pytest.raises(BadSource, match=reason) as caught:
        read_calibration(file)
    assert (caught.value.file, caught.value.field) == (file, field)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "field"),
    [("doffs 3\n", "line 1"), ("doffs=1\n\ndoffs=2\n", "doffs"), ("=3\n", "line 1"), ("\u00e9=1", None)],
)
def test_lines_that_are_no_fields_are_refused(tmp_path: Path, text: str, field: str | None):
    file = tmp_path / "calib.txt"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadSource) as caught:
        read_calibration(file)
    assert (caught.value.file, caught.value.field) == (file, field)


def test_sizes_that_disagree_are_named(tmp_path: Path):
    fake.make(tmp_path)
    (tmp_path / "Bicycle" / "calib.txt").write_text(fake.calibration_text(width="33"))
    with pytest.raises(BadSource, match=r"im0\.png: 32 x 24 pixels, calib\.txt states 33 x 24"):
        MiddleburyStereo(tmp_path).read("Bicycle")
    fake.write_pfm(tmp_path / "Adirondack" / "disp0.pfm", np.ones((24, 31)))
    with pytest.raises(BadSource, match=r"disp0\.pfm: 31 x 24 pixels"):
        MiddleburyStereo(tmp_path).read("Adirondack")


def test_scene_without_any_disparity_is_a_bad_sample_with_its_file(tmp_path: Path):
    fake.make(tmp_path)
    fake.write_pfm(tmp_path / "Bicycle" / "disp0.pfm", np.full((24, 32), np.inf))
    with pytest.raises(BadSample, match=r"disp0\.pfm: middlebury/Bicycle: valid: 0 of 768") as caught:
        MiddleburyStereo(tmp_path).read("Bicycle")
    assert caught.value.field == "valid"


def test_scene_with_a_missing_file_stays_in_the_list(tmp_path: Path):
    fake.make(tmp_path)
    (tmp_path / "Bicycle" / "disp0.pfm").unlink()
    (tmp_path / "notes").mkdir()
    assert MiddleburyStereo(tmp_path).keys() == ["Adirondack", "Bicycle"]


def test_motorcycle_has_the_published_depth():
    sample = MotorcycleStereo().read("motorcycle")
    z = sample.target[sample.valid]
    assert np.median(z) == pytest.approx(2.750, abs=1e-3)
    assert z.max() == pytest.approx(5.017, abs=1e-3)
    assert sample.valid.mean() == pytest.approx(0.9265, abs=1e-4)


def test_motorcycle_without_scikit_image_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadSource, match=r"pip install depthmix\[samples\]"):
        MotorcycleStereo()


def motorcycle_copy(root: Path, disparity: np.ndarray) -> MotorcycleStereo:
    (root / "motorcycle_left.png").write_bytes(MotorcycleStereo().files("motorcycle")[0].read_bytes())
    np.savez_compressed(root / "motorcycle_disp.npz", disparity)
    return MotorcycleStereo(root)


def test_motorcycle_of_another_size_is_refused(tmp_path: Path):
    with pytest.raises(BadSource, match=r"motorcycle_disp\.npz: image \(500, 741\) and disparity \(5, 7\)"):
        motorcycle_copy(tmp_path, np.ones((5, 7), np.float32)).read("motorcycle")


def test_archive_that_swells_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    source = motorcycle_copy(tmp_path, np.zeros((900, 900), np.float32))
    assert (tmp_path / "motorcycle_disp.npz").stat().st_size < 10_000
    monkeypatch.setattr("depthmix.sources.middlebury.MAX_PIXELS", 100_000)
    with pytest.raises(BadSource, match="unpacks to 3240128 bytes, more than 800000"):
        source.read("motorcycle")
