"""ARKitScenes: a tablet held in any way, confidences, and a laser scan of the same rooms."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sample import Quality
from depthmix.sources.arkitscenes import ArkitScenes, quarter_turns
from depthmix.sources.base import Source
from depthmix.testing import SourceContract, Truth
from depthmix.testing.known import known_view, write_image
from tests.data.arkitscenes import make as fake

KEY, LEFT, DOWN, RIGHT = fake.HELD


class TestArkitScenes(SourceContract):
    count = 4

    def make(self, tmp_path: Path) -> ArkitScenes:
        self.truths = fake.make(tmp_path / "raw")
        return ArkitScenes(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


class TestArkitScenesLaser(SourceContract):
    count = 4

    def make(self, tmp_path: Path) -> ArkitScenes:
        self.truths = fake.make(tmp_path / "upsampling", label="highres", images="color")
        return self.again(None, tmp_path / "upsampling")

    def again(self, source: Source | None, root: Path) -> ArkitScenes:
        return ArkitScenes(root, label="highres", upright="metadata")

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


def test_every_image_stands_upright(tmp_path: Path):
    fake.make(tmp_path)
    for upright in ("trajectory", "metadata"):
        for seed, key in enumerate(fake.HELD):
            sample = ArkitScenes(tmp_path, upright=upright).read(key)
            np.testing.assert_array_equal(sample.image, known_view(seed, has_sky=False).image)
    stored = ArkitScenes(tmp_path, upright="none").read(LEFT)
    assert stored.size == (64, 48)
    np.testing.assert_array_equal(np.rot90(stored.image, 3), ArkitScenes(tmp_path).read(LEFT).image)


def test_the_sky_is_where_the_world_points_up():
    # A level camera: x right is the world's x, y down is against its z.
    level = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    assert quarter_turns(level) == 0
    # The camera rolled to its right, so that the sky lies on the left.
    assert quarter_turns(np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]) @ level) == 3


@pytest.mark.parametrize("least", [0, 1, 2])
def test_confidence_decides_what_is_valid(tmp_path: Path, least: int):
    fake.make(tmp_path)
    valid = ArkitScenes(tmp_path, min_confidence=least).read(KEY).valid
    assert valid[-1, 20] == (least == 0)
    assert valid[-3, 20] == (least <= 1)
    assert valid[-5, 20]


def test_confidences_of_a_mask_are_refused(tmp_path: Path):
    fake.make(tmp_path)
    source = ArkitScenes(tmp_path)
    file = source.files(KEY)[1]
    write_image(file, np.full((48, 64), 255, np.uint8))
    with pytest.raises(BadSource, match="must hold 0, 1 and 2, got 255") as caught:
        source.read(KEY)
    assert caught.value.file == file


def test_a_folder_without_confidence_is_read_at_zero(tmp_path: Path):
    fake.make(tmp_path)
    # The data set 3dod: one more folder, and no confidence.
    frames = tmp_path / "3dod/Training/41048190/41048190_frames"
    shutil.copytree(tmp_path / "Training/41048190", frames, ignore=shutil.ignore_patterns("confidence"))
    key = "Training/41048190/41048190_frames/41048190_3414.582"
    assert list(ArkitScenes(tmp_path / "3dod").keys()) == [key]
    with pytest.raises(BadSource, match=r"confidence/.*: .*no such file"):
        ArkitScenes(tmp_path / "3dod").read(key)
    assert ArkitScenes(tmp_path / "3dod", min_confidence=0).read(key).intrinsics is not None


def test_a_frame_far_from_every_pose_is_not_guessed(tmp_path: Path):
    fake.make(tmp_path)
    (tmp_path / KEY).parent.joinpath("lowres_wide.traj").write_text(f"17.5 {fake.pose(0)} 1 2 3\n")
    with pytest.raises(BadSource, match=r"has no pose within 1 s of 3414\.582"):
        ArkitScenes(tmp_path).read(KEY)


def test_a_video_that_the_table_lacks_is_named(tmp_path: Path):
    fake.make(tmp_path)
    (tmp_path / "metadata.csv").write_text("video_id,sky_direction\n41069021,NA\n")
    source = ArkitScenes(tmp_path, upright="metadata")
    assert source.read(LEFT).size == (64, 48)
    with pytest.raises(BadSource, match="has 0 rows with a sky_direction of video 41048190"):
        source.read(KEY)


def test_laser_and_tablet_are_worth_different_things(tmp_path: Path):
    fake.make(tmp_path)
    assert ArkitScenes(tmp_path).card.quality is Quality.MIDDLE
    assert ArkitScenes(tmp_path, label="highres").card.quality is Quality.HIGH


def test_samples_without_camera_have_none(tmp_path: Path):
    fake.make(tmp_path)
    shutil.rmtree((tmp_path / KEY).parent / "lowres_wide_intrinsics")
    assert ArkitScenes(tmp_path).read(KEY).intrinsics is None


def test_split_chooses_the_videos(tmp_path: Path):
    fake.make(tmp_path)
    assert list(ArkitScenes(tmp_path, split="Validation").keys()) == [DOWN, RIGHT]


@pytest.mark.parametrize(
    ("option", "value"), [("split", "Test"), ("label", "vga"), ("min_confidence", 3), ("upright", "yes")]
)
def test_impossible_option_is_named(tmp_path: Path, option: str, value: object):
    with pytest.raises(ValueError, match=f"`{option}` must be"):
        ArkitScenes(tmp_path, **{option: value})
