"""7-Scenes: 65535 is no depth, and depth belongs to a camera beside the image's."""

from pathlib import Path

import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sources.base import Source
from depthmix.sources.seven_scenes import _TO_COLOUR, SevenScenes
from depthmix.testing import SourceContract, Truth
from depthmix.testing.known import write_image
from tests.data.seven_scenes import make as fake


class TestSevenScenes(SourceContract):
    def make(self, tmp_path: Path) -> SevenScenes:
        fake.make(tmp_path / "raw")
        return SevenScenes(tmp_path / "raw")


class TestSevenScenesAsStored(SourceContract):
    def make(self, tmp_path: Path) -> SevenScenes:
        self.known = fake.make(tmp_path / "raw")
        return SevenScenes(tmp_path / "raw", align="none")

    def again(self, source: Source, root: Path) -> Source:
        return SevenScenes(root, align="none")

    def truth(self, source: Source, key: str) -> Truth:
        return Truth(self.known[key], None, rtol=0, atol=5.1e-4)


def test_each_point_is_drawn_where_the_colour_camera_sees_it(tmp_path: Path):
    known = fake.make(tmp_path)
    for sample in SevenScenes(tmp_path):
        assert sample.intrinsics == fake.COLOUR
        expected = np.full(fake.SIZE, np.inf)
        for (row, column), depth in np.ndenumerate(known[sample.key]):
            if not np.isfinite(depth):
                continue
            z = round(depth * 1000) / 1000
            place = np.array([(column - 31.5) / 58.5 * z, (row - 23.5) / 58.5 * z, z, 1])
            x, y, z, _ = _TO_COLOUR @ place
            u, v = round(52.5 * x / z + 31.5), round(52.5 * y / z + 23.5)
            if 0 <= u < 64 and 0 <= v < 48:
                expected[v, u] = min(expected[v, u], z)
        np.testing.assert_array_equal(sample.valid, np.isfinite(expected))
        np.testing.assert_allclose(sample.target[sample.valid], expected[sample.valid], rtol=1e-5)


def test_a_step_to_the_right_camera_moves_near_points_to_the_left(tmp_path: Path):
    fake.make(tmp_path)
    source = SevenScenes(tmp_path, focal_px=585.0)
    _, depth_file = source.files(fake.KEYS[0])
    code = np.zeros(fake.SIZE, np.uint16)
    code[24, 32] = 500
    write_image(depth_file, code)
    ((row, column),) = np.argwhere(source.read(fake.KEYS[0]).valid)
    # 58.5 px * 25.6 mm / 0.5 m = 3 px
    assert (row, column) in {(23, 29), (24, 29), (23, 28), (24, 28)}


def test_the_border_would_be_off_by_a_tenth_without_drawing(tmp_path: Path):
    fake.make(tmp_path)
    drawn, stored = SevenScenes(tmp_path), SevenScenes(tmp_path, align="none")
    rows = [np.flatnonzero(source.read(fake.KEYS[0]).valid.any(1)) for source in (drawn, stored)]
    # 23.5 rows above the centre become 23.5 * 525 / 585 = 21.1.
    assert rows[1].min() == 0
    assert rows[0].min() in (1, 2, 3)


def test_split_files_choose_the_sequences(tmp_path: Path):
    fake.make(tmp_path)
    assert list(SevenScenes(tmp_path, split="train").keys()) == [fake.KEYS[0]]
    assert list(SevenScenes(tmp_path, split="test").keys()) == [fake.KEYS[1]]
    (tmp_path / "chess/TestSplit.txt").write_text("sequence4\n")
    with pytest.raises(BadSource, match="no sequence of test"):
        SevenScenes(tmp_path, split="test").keys()
    (tmp_path / "chess/TestSplit.txt").write_text("seq-04\n")
    with pytest.raises(BadSource, match=r"TestSplit\.txt: .*must be sequence<number>"):
        SevenScenes(tmp_path, split="test").keys()
    (tmp_path / "chess/TestSplit.txt").unlink()
    with pytest.raises(BadSource, match=r"TestSplit\.txt: .*no such file"):
        SevenScenes(tmp_path, split="test").keys()


@pytest.mark.parametrize(
    ("option", "value"), [("split", "val"), ("align", "warp"), ("focal_px", 0.0), ("sigma_at_1m", np.inf)]
)
def test_impossible_option_is_named(tmp_path: Path, option: str, value: object):
    with pytest.raises(ValueError, match=f"`{option}` must be"):
        SevenScenes(tmp_path, **{option: value})
