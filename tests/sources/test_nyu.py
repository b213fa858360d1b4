"""NYU Depth V2: two cameras that must not be mixed, holes that were not measured, a frame without pixels."""

import shutil
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from scipy.io import savemat

from depthmix.errors import BadSample, BadSource
from depthmix.sample import Sample
from depthmix.sources.base import Source
from depthmix.sources.nyu import COLOUR, NyuSync
from depthmix.sources.nyu_labelled import NyuLabelled
from depthmix.sources.nyu_raw import NyuRaw
from tests.data.known import WALL, code16, write_image
from tests.data.nyu import make as fake
from tests.sources.contract import SourceContract, Truth


class TestNyuSync(SourceContract):
    def make(self, tmp_path: Path) -> NyuSync:
        self.truths = fake.make_sync(tmp_path / "raw")
        return NyuSync(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


class TestNyuLabelled(SourceContract):
    def make(self, tmp_path: Path) -> NyuLabelled:
        self.truths = fake.make_labelled(tmp_path / "raw")
        return NyuLabelled(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


class TestNyuRaw(SourceContract):
    # Without its image, a depth frame goes with the next one in time.
    optional = (".ppm",)

    def make(self, tmp_path: Path) -> NyuRaw:
        fake.make_raw(tmp_path / "raw")
        return NyuRaw(tmp_path / "raw")


def test_splits_count_from_one(tmp_path: Path):
    fake.make_labelled(tmp_path)
    assert list(NyuLabelled(tmp_path).keys()) == ["kitchen_0004/0001", "kitchen_0004/0003"]
    assert list(NyuLabelled(tmp_path, split="test").keys()) == ["bedroom_0001a/0002"]
    (tmp_path / "splits.mat").unlink()
    assert len(NyuLabelled(tmp_path, split="all")) == 3
    with pytest.raises(BadSource, match=r"splits\.mat: .*no such file"):
        NyuLabelled(tmp_path).keys()


@pytest.mark.parametrize("numbers", [[0, 1], [1, 4], [1.5]])
def test_a_split_of_images_that_are_not_there_is_named(tmp_path: Path, numbers: list[float]):
    fake.make_labelled(tmp_path)
    savemat(tmp_path / "splits.mat", {"trainNdxs": np.array(numbers)[:, None]})
    with pytest.raises(BadSource, match="must hold whole numbers from 1 to 3") as caught:
        NyuLabelled(tmp_path).keys()
    assert caught.value.field == "trainNdxs"


def test_holes_that_were_painted_in_are_only_read_when_asked_for(tmp_path: Path):
    truths = fake.make_labelled(tmp_path, inpainted=True)
    source = NyuLabelled(tmp_path, split="all", inpainted=True)
    for sample in source:
        assert sample.valid.all()
        assert sample.sigma is None
        np.testing.assert_allclose(sample.target, truths[sample.key].target, rtol=1e-5)
    assert source.card.noise == ""
    assert NyuLabelled(tmp_path).card.noise
    assert not NyuLabelled(tmp_path).read("kitchen_0004/0001").valid.all()


def test_axes_of_the_mat_file_are_turned_back(tmp_path: Path):
    fake.make_labelled(tmp_path)
    view = fake.room(0)
    sample = NyuLabelled(tmp_path).read("kitchen_0004/0001")
    np.testing.assert_array_equal(sample.image, view.image[fake.ROWS, fake.COLUMNS])


def test_a_mat_file_without_scenes_is_named(tmp_path: Path):
    fake.make_labelled(tmp_path)
    file = tmp_path / "nyu_depth_v2_labeled.mat"
    with h5py.File(file, "r+") as opened:
        del opened["scenes"]
    with pytest.raises(BadSource, match="holds no dataset 'scenes'"):
        NyuLabelled(tmp_path).keys()
    with h5py.File(file, "r+") as opened:
        opened["scenes"] = h5py.ExternalLink("/etc/hostname", "/")
    with pytest.raises(BadSource, match="holds no dataset 'scenes'"):
        NyuLabelled(tmp_path).keys()


def test_border_is_cut_off_or_not_valid(tmp_path: Path):
    truths = fake.make_sync(tmp_path)
    key = "office_0003/00001"
    cut, kept = NyuSync(tmp_path).read(key), NyuSync(tmp_path, border="mask").read(key)
    assert cut.size == truths[key].target.shape
    assert kept.size == fake.SIZE
    assert not kept.valid[: fake.ROWS.start].any()
    assert not kept.valid[:, fake.COLUMNS.stop :].any()
    np.testing.assert_array_equal(kept.target[fake.ROWS, fake.COLUMNS], cut.target)
    np.testing.assert_array_equal(kept.sigma[fake.ROWS, fake.COLUMNS], cut.sigma)
    assert kept.intrinsics.cropped(fake.COLUMNS.start, fake.ROWS.start) == cut.intrinsics


def test_window_of_the_published_size_is_the_toolbox_one(tmp_path: Path):
    write_image(tmp_path / "a/rgb_0.jpg", np.zeros((480, 640, 3), np.uint8))
    write_image(tmp_path / "a/sync_depth_0.png", np.full((480, 640), 2000, np.uint16))
    sample = NyuSync(tmp_path).read("a/0")
    assert sample.size == (471 - 45, 601 - 41)
    assert sample.intrinsics == COLOUR.cropped(41, 45)


def test_sigma_is_that_of_half_a_code(tmp_path: Path):
    fake.make_sync(tmp_path)
    sample = NyuSync(tmp_path).read("office_0003/00001")
    code = 1092.5 - 351.3 / sample.target[sample.valid].astype(np.float64)
    half = 351.3 / (1092.5 - code - 0.25) - 351.3 / (1092.5 - code + 0.25)
    np.testing.assert_allclose(sample.sigma[sample.valid], half, rtol=1e-3)


def test_stored_numbers_per_metre_are_an_option(tmp_path: Path):
    fake.make_sync(tmp_path)
    key = "office_0003/00001"
    millimetres = NyuSync(tmp_path).read(key).target
    np.testing.assert_allclose(NyuSync(tmp_path, per_metre=5000).read(key).target, millimetres / 5, rtol=1e-6)


def test_what_is_cut_at_ten_metres_is_not_valid(tmp_path: Path):
    write_image(tmp_path / "a/rgb_0.jpg", np.zeros((*fake.SIZE, 3), np.uint8))
    depth = np.full(fake.SIZE, 10.0)
    depth[20, 20] = 9.999
    write_image(tmp_path / "a/sync_depth_0.png", code16(depth, 1000))
    assert NyuSync(tmp_path).read("a/0").valid.sum() == 1
    assert NyuSync(tmp_path, max_depth_m=11).read("a/0").valid.all()


def test_absurd_numbers_are_no_depth_and_no_overflow(tmp_path: Path):
    fake.make_sync(tmp_path)
    with pytest.raises(BadSample, match="0 of"):
        NyuSync(tmp_path, per_metre=1e-30).read("office_0003/00001")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("border", "cut"),
        ("max_depth_m", 0),
        ("sigma_code", float("nan")),
        ("per_metre", 0),
        ("max_gap_s", -1),
    ],
)
def test_bad_option_is_named(tmp_path: Path, option: str, value: object):
    source = {"max_gap_s": NyuRaw, "split": NyuLabelled}.get(option, NyuSync)
    with pytest.raises(ValueError, match=f"`{option}` must be .*, got '?{value}"):
        source(tmp_path, **{option: value})


def test_raw_depth_is_drawn_into_the_colour_camera(tmp_path: Path):
    for key, view in fake.make_raw(tmp_path).items():
        sample = NyuRaw(tmp_path, border="mask").read(key)
        error = np.abs(sample.target / view.depth - 1)[sample.valid]
        # A code is 5 cm at the wall, and on the ground half a pixel of rounding is up to 6 %. With one camera
        # for both, the box in the foreground lands beside its place, and 6 % of the pixels are wrong.
        assert np.median(error) < 0.01
        assert (error < 0.07).mean() > 0.96
        assert sample.valid.mean() > 0.6
        wall = sample.target[sample.valid & (view.planes == WALL)]
        assert np.median(wall) == pytest.approx(6, abs=0.06)


def test_raw_image_is_freed_of_distortion(tmp_path: Path):
    for key, view in fake.make_raw(tmp_path).items():
        camera = fake.COLOUR
        matrix = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
        straight = cv2.undistort(view.image, matrix, fake.COLOUR_DISTORTION)
        image = NyuRaw(tmp_path, border="mask").read(key).image
        assert np.abs(image.astype(int) - straight).max() <= 1


def test_raw_codes_are_not_metres_and_2047_is_no_depth(tmp_path: Path):
    (key, *_) = fake.make_raw(tmp_path)
    source = NyuRaw(tmp_path)
    file = source.files(key)[1]
    head = f"P5 {fake.SIZE[1]} {fake.SIZE[0]} 65535\n".encode()
    file.write_bytes(head + np.full(fake.SIZE, 2047, "<u2").tobytes())
    with pytest.raises(BadSample, match="0 of"):
        source.read(key)
    file.write_bytes(head + np.full(fake.SIZE, 917, "<u2").tobytes())
    depth = source.read(key)
    assert np.median(depth.target[depth.valid]) == pytest.approx(351.3 / 175.5, abs=0.01)
    # Beyond 1092 the formula changes its sign.
    file.write_bytes(head + np.full(fake.SIZE, 1100, "<u2").tobytes())
    with pytest.raises(BadSample, match="0 of"):
        source.read(key)


def test_a_depth_frame_goes_with_the_image_nearest_in_time(tmp_path: Path):
    (key, *_) = fake.make_raw(tmp_path)
    assert NyuRaw(tmp_path).files(key)[0].name == "r-1294886363.016801-3160791608.ppm"
    assert len(NyuRaw(tmp_path, max_gap_s=0.006)) == 2
    depth = NyuRaw(tmp_path).files(key)[1]
    earlier = depth.rename(depth.with_name("d-1294886363.009060-3164794231.pgm"))
    assert (
        NyuRaw(tmp_path).files(f"cafe_0001a/{earlier.stem}")[0].name == "r-1294886363.001810-3159791608.ppm"
    )
    earlier.rename(depth)
    with pytest.raises(BadSource, match=r"no depth frame has an image within 0\.005 s"):
        NyuRaw(tmp_path, max_gap_s=0.005).keys()


def test_a_frame_without_time_in_its_name_is_named(tmp_path: Path):
    fake.make_raw(tmp_path)
    (tmp_path / "cafe_0001a/d-first.pgm").write_bytes(b"")
    with pytest.raises(BadSource, match="the name must be") as caught:
        NyuRaw(tmp_path).keys()
    assert caught.value.file.name == "d-first.pgm"


@pytest.fixture
def recording(real_samples: Path, tmp_path: Path) -> Sample:
    real = real_samples / "open3d_rgbd/other_formats"
    (tmp_path / "scene").mkdir()
    shutil.copy(real / "NYU_depth.pgm", tmp_path / "scene/d-1.00-1.pgm")
    shutil.copy(real / "NYU_color.ppm", tmp_path / "scene/r-1.01-1.ppm")
    return NyuRaw(tmp_path, border="mask").read("scene/d-1.00-1")


def test_real_recording_has_the_known_depth(recording: Sample):
    assert 0.6 < recording.valid.mean() < 0.75
    assert np.median(recording.target[recording.valid]) == pytest.approx(3.268, rel=0.02)
    assert recording.target[recording.valid].min() > 1.3
    assert recording.target.max() < 7


def test_real_recording_has_its_depth_edges_on_image_edges(recording: Sample):
    grey = cv2.GaussianBlur(cv2.cvtColor(recording.image, cv2.COLOR_RGB2GRAY), (0, 0), 1.2).astype(np.float64)
    steepness = np.hypot(cv2.Sobel(grey, cv2.CV_64F, 1, 0), cv2.Sobel(grey, cv2.CV_64F, 0, 1))
    depth = cv2.medianBlur(recording.target, 5)
    far, near = (f(depth, np.ones((3, 3))) for f in (cv2.dilate, cv2.erode))
    edge = (near > 0) & (far > 1.1 * near)
    edge[:60] = edge[-60:] = edge[:, :60] = edge[:, -60:] = False
    shifts = range(-24, 25, 4)
    mean = [steepness[np.roll(edge, shift, 1)].mean() for shift in shifts]
    # Without moving the points over by 25 mm, or in the other direction, the best shift is 4 or 8 pixels.
    assert shifts[int(np.argmax(mean))] == 0
    assert max(mean) > 1.3 * np.mean(mean)


def test_real_synchronised_frames_have_the_known_depth(real_samples: Path, tmp_path: Path):
    real = real_samples / "metric3d_demo/nyu_demo"
    shutil.copytree(real / "rgb", tmp_path / "demo")
    shutil.copytree(real / "depth", tmp_path / "demo", dirs_exist_ok=True)
    samples = {sample.key: sample for sample in NyuSync(tmp_path)}
    assert list(samples) == ["demo/00000", "demo/00050"]
    depth = samples["demo/00000"].target
    assert np.median(depth[depth > 0]) == pytest.approx(3.258, rel=0.02)
    assert depth.max() == pytest.approx(6.625, abs=0.05)
    # The white frame is gone.
    for sample in samples.values():
        assert (sample.image[:2] > 240).all(2).mean() < 0.5
        assert (sample.image[:, -2:] > 240).all(2).mean() < 0.5
