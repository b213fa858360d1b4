import shutil
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from depthmix.errors import BadSample, BadSource
from depthmix.sources.calibrated_pairs import CalibratedPairs
from depthmix.sources.stereo_pairs import OakPairs, StereoPairs, search_range
from tests.data.stereo_pairs.make import make
from tests.data.street_pairs.make import make_pairs
from tests.sources.contract import SourceContract, digest

WHEEL = Path(__file__).parents[2] / ".cache" / "stereodemo-0.7-py3-none-any.whl"


@pytest.fixture
def wheel() -> Path:
    if not WHEEL.is_file():
        pytest.skip(f"no {WHEEL}: `make` downloads it")
    return WHEEL


class TestStereoPairs(SourceContract):
    def make(self, tmp_path):
        make(tmp_path / "pairs")
        return StereoPairs(tmp_path / "pairs")


@pytest.mark.slow
class TestOakPairs(SourceContract):
    count = 11
    own_files = False

    def make(self, tmp_path):
        if not WHEEL.is_file():
            pytest.skip(f"no {WHEEL}: `make` downloads it")
        return OakPairs(WHEEL)


def correlation(sample, truth):
    return np.corrcoef(sample.target[sample.valid], truth[sample.valid])[0, 1]


@pytest.mark.parametrize("offset", [0, -9, -24])
def test_label_is_affine_in_the_true_disparity(tmp_path, offset):
    known = make(tmp_path, offset=offset)
    for sample in StereoPairs(tmp_path, lowest=-0.2):
        assert sample.valid.mean() > 0.7
        assert correlation(sample, known[sample.key]) > 0.99


def test_vertical_shift_between_the_views_is_undone(tmp_path):
    known = make(tmp_path, rows=4)
    for sample in StereoPairs(tmp_path):
        assert correlation(sample, known[sample.key]) > 0.99
        assert not sample.valid[-4:].any()


def test_three_layouts_give_the_same_samples(tmp_path):
    make(tmp_path / "files")
    make(tmp_path / "folders", layout="folders")
    with ZipFile(tmp_path / "pairs.zip", "w") as archive:
        for file in (tmp_path / "files").iterdir():
            archive.write(file, f"some/where/{file.name}")
    sources = [
        StereoPairs(tmp_path / "files"),
        StereoPairs(tmp_path / "folders"),
        StereoPairs(tmp_path / "pairs.zip", inside="some/where"),
    ]
    digests = [[digest(sample) for sample in source] for source in sources]
    assert digests[0] == digests[1] == digests[2]
    assert sources[2].files("pair0") == [tmp_path / "pairs.zip"]


def test_keys_can_be_left_out(tmp_path):
    make(tmp_path, count=3)
    assert StereoPairs(tmp_path, leave_out=["pair1"]).keys() == ["pair0", "pair2"]


def test_views_of_unrelated_scenes_are_refused_with_the_share(tmp_path):
    make(tmp_path)
    shutil.copy(tmp_path / "pair1_right.png", tmp_path / "pair0_right.png")
    with pytest.raises(
        BadSample, match=r"pairs/pair0: disparity: only \d\.\d% of the pixels match both ways"
    ):
        StereoPairs(tmp_path).read("pair0")


def test_a_flat_scene_is_refused(tmp_path):
    make(tmp_path)
    shutil.copy(tmp_path / "pair0_left.png", tmp_path / "pair0_right.png")
    with pytest.raises(BadSample, match=r"pair0_right\.png: pairs/pair0: .*spread over 0\.\d\d px"):
        StereoPairs(tmp_path).read("pair0")


def test_views_that_differ_in_size_are_named(tmp_path):
    import cv2

    make(tmp_path)
    view = cv2.imread(str(tmp_path / "pair0_right.png"))
    cv2.imwrite(str(tmp_path / "pair0_right.png"), view[:, :-3])
    with pytest.raises(BadSource, match=r"pair0_left\.png and pair0_right\.png .*96 x 160 and 96 x 157"):
        StereoPairs(tmp_path).read("pair0")


def test_two_left_views_of_one_key_are_refused(tmp_path):
    make(tmp_path)
    shutil.copy(tmp_path / "pair0_left.png", tmp_path / "pair0_left.jpg")
    with pytest.raises(BadSource, match="same key"):
        StereoPairs(tmp_path)


def test_search_covers_the_asked_range_in_steps_of_16():
    for width in (64, 160, 640, 1281):
        start, length = search_range(width, -0.05, 0.2)
        assert start <= -0.05 * width
        assert start + length >= 0.2 * width
        assert length % 16 == 0
    with pytest.raises(ValueError, match="smaller than"):
        StereoPairs(".", lowest=0.2, highest=0.1)
    with pytest.raises(ValueError, match="smaller than"):
        StereoPairs(".", highest=float("inf"))
    with pytest.raises(ValueError, match=r"`min_share` must be in \[0, 1\], got 20"):
        StereoPairs(".", min_share=20)


def test_oak_pairs_leave_out_the_photographer(wheel):
    source = OakPairs(wheel)
    assert len(source) == 11
    assert "selfie" not in list(source.keys())


def test_one_oak_pair_reads_straight_out_of_the_wheel(wheel):
    sample = OakPairs(wheel).read("toy")
    assert sample.size == (480, 640)
    assert 0.7 < sample.valid.mean() < 0.9


@pytest.mark.slow
def test_a_plausible_share_of_the_oak_pairs_matches(wheel):
    shares = [sample.valid.mean() for sample in OakPairs(wheel)]
    assert min(shares) > 0.35
    assert max(shares) < 0.9


def test_a_real_pair_from_the_wild_gives_a_plausible_label(tmp_path, real_samples):
    for side in ("left", "right"):
        shutil.copy(real_samples / "crestereo_pair" / f"{side}.png", tmp_path / f"wild_{side}.png")
    sample = StereoPairs(tmp_path).read("wild")
    assert sample.size == (720, 1280)
    assert 0.5 < sample.valid.mean() < 0.9


@pytest.mark.parametrize("source", [StereoPairs, CalibratedPairs])
def test_a_pair_that_would_take_minutes_to_match_is_refused_by_name(tmp_path, source, monkeypatch):
    monkeypatch.setattr("depthmix.sources.matching.MAX_WORK", 1_000_000)
    make_pairs(tmp_path)
    with pytest.raises(BadSample, match=r"hall.*256 x 96 pixels with \d+ disparities .* shrink the pictures"):
        source(tmp_path).read("hall")
