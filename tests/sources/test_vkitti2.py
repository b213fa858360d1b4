"""Virtual KITTI 2: centimetres become metres, and the sky is told from what is too far."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sources.vkitti2 import VirtualKitti2
from tests.data.vkitti2 import make as fake
from tests.sources.contract import SourceContract

KEY = "Scene01/clone/Camera_0/00005"


class TestVirtualKitti2(SourceContract):
    def make(self, tmp_path):
        fake.make(tmp_path / "raw")
        return VirtualKitti2(tmp_path / "raw")

    def truth(self, source, key):
        return fake.make(source.root.parent / "truth" / key)[key]


class TestVirtualKitti2WithClasses(SourceContract):
    def make(self, tmp_path):
        fake.make(tmp_path / "raw", apart=True)
        return VirtualKitti2(tmp_path / "raw", sky="class")

    def truth(self, source, key):
        return fake.make(source.root.parent / "truth" / key)[key]

    def again(self, source, root):
        return VirtualKitti2(root, name=source.name, sky="class")


def change_depth(root: Path, row: int, code: int) -> None:
    file = VirtualKitti2(root).files(KEY)[-1]
    depth = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    depth[row] = code
    cv2.imwrite(str(file), depth)


def test_too_far_is_sky_by_depth_and_neither_by_class(tmp_path: Path):
    fake.make(tmp_path)
    change_depth(tmp_path, -1, 65535)
    by_depth, by_class = (VirtualKitti2(tmp_path, sky=rule).read(KEY) for rule in ("depth", "class"))
    assert by_depth.sky[-1].all()
    assert not by_class.sky[-1].any()
    assert np.array_equal(by_depth.valid, by_class.valid)
    assert not by_class.valid[-1].any()


def test_sky_by_class_is_never_valid(tmp_path: Path):
    truth = fake.make(tmp_path)[KEY]
    change_depth(tmp_path, 0, 60000)
    sample = VirtualKitti2(tmp_path, sky="class").read(KEY)
    assert np.array_equal(sample.sky, truth.sky)
    assert np.array_equal(sample.valid, ~truth.sky)


def test_zero_is_not_valid_and_no_sky(tmp_path: Path):
    fake.make(tmp_path)
    change_depth(tmp_path, -1, 0)
    sample = VirtualKitti2(tmp_path).read(KEY)
    assert not sample.valid[-1].any()
    assert not sample.sky[-1].any()


@pytest.mark.parametrize("apart", [False, True])
def test_archives_may_lie_in_folders_of_their_own(tmp_path: Path, apart: bool):
    truths = fake.make(tmp_path, apart=apart)
    assert [sample.key for sample in VirtualKitti2(tmp_path, sky="class")] == sorted(truths)


def test_cameras_and_variants_are_chosen(tmp_path: Path):
    fake.make(tmp_path)
    fake.make(tmp_path, camera=1)
    assert len(VirtualKitti2(tmp_path)) == len(VirtualKitti2(tmp_path, camera="right")) == 2
    both = VirtualKitti2(tmp_path, camera="both", variants=("clone",))
    assert list(both.keys()) == [KEY, KEY.replace("Camera_0", "Camera_1")]
    assert len(list(both)) == 2
    with pytest.raises(BadSource, match="holds none of the variants snow"):
        VirtualKitti2(tmp_path, variants=("snow",)).keys()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must be a table of frame cameraID"),
        ("frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]\n5 0 58 58 47\n", "must be a table of frame cameraID"),
        ("frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]\n4 0 58 58 47 14\n", "no line for frame 5 of camera 0"),
        ("frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]\n5 0 x 58 47 14\n", "is no table of cameras"),
        ("frame cameraID K[0,0] K[1,1] K[0,2] K[1,2]\n5 0 0 58 47 14\n", "is no table of cameras"),
    ],
)
def test_bad_table_of_cameras_is_named(tmp_path: Path, text: str, reason: str):
    fake.make(tmp_path)
    (tmp_path / "Scene01/clone/intrinsic.txt").write_text(text)
    with pytest.raises(BadSource, match=rf"intrinsic\.txt: .*{reason}"):
        VirtualKitti2(tmp_path).read(KEY)


def test_table_of_colours_must_name_the_sky(tmp_path: Path):
    fake.make(tmp_path)
    (tmp_path / "Scene01/clone/colors.txt").write_text("Category r g b\nTerrain 210 0 200\n")
    with pytest.raises(BadSource, match=r"colors\.txt: must give the colour of Sky"):
        VirtualKitti2(tmp_path, sky="class").read(KEY)


@pytest.mark.parametrize("option", [{"camera": "0"}, {"sky": "colour"}])
def test_wrong_words_are_refused(tmp_path: Path, option: dict[str, str]):
    with pytest.raises(ValueError, match="must be one of"):
        VirtualKitti2(tmp_path, **option)
