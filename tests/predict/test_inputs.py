"""Folders, lists and videos become pictures with names of their own."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from depthmix.errors import BadSource, ConfigError
from depthmix.predict import find_inputs, listed, pictures_of, predict_files
from tests.predict.networks import is_folder_empty, trained


def photo(path, grey=51):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((12, 16, 3), grey, np.uint8)).save(path)
    return path


@pytest.fixture
def video(tmp_path):
    """Six frames of rising grey."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for number in range(6):
        writer.write(np.full((48, 64, 3), 20 + 30 * number, np.uint8))
    writer.release()
    return path


def test_a_folder_gives_all_its_photos_in_order_with_their_subfolders(tmp_path):
    for name in ("b/2.png", "a.JPG", "b/c/1.webp"):
        photo(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no photo")
    (tmp_path / "in" / "b" / "._2.png").write_bytes(b"what a Mac leaves behind")
    found = find_inputs([tmp_path / "in"])
    assert [one.name for one in found] == ["a", "b/2", "b/c/1"]
    predict_files(trained(), [tmp_path / "in"], tmp_path / "out", formats=["npy"])
    written = sorted(
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.npy")
    )
    assert written == ["a_depth.npy", "b/2_depth.npy", "b/c/1_depth.npy"]


def test_a_folder_without_photos_and_nothing_at_all_are_named(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(ConfigError, match=r"in: holds no photo and no video; endings that are taken: \.jpg"):
        find_inputs([tmp_path / "in"])
    with pytest.raises(ConfigError, match="there is no photo to predict"):
        find_inputs([])


def test_a_folder_that_may_not_be_listed_is_named(tmp_path, monkeypatch):
    photo(tmp_path / "in" / "sub" / "a.png")
    from os import scandir

    def refuse(path):
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(BadSource, match=r"sub/: cannot be read: .*; check the permissions"):
        find_inputs([tmp_path / "in"])


def test_two_photos_of_one_name_are_refused_before_anything_is_written(tmp_path):
    photos = [photo(tmp_path / "a" / "x.png"), photo(tmp_path / "b" / "x.png")]
    with pytest.raises(ConfigError, match="2 photos are called 'x' and would overwrite each other"):
        predict_files(trained(), photos, tmp_path / "out")
    assert is_folder_empty(tmp_path / "out")


def test_a_list_is_one_path_a_line():
    assert [path.as_posix() for path in listed(["a b.jpg\n", "\n", "  \n", "c/d.png\r\n"])] == [
        "a b.jpg",
        "c/d.png",
    ]


@pytest.mark.parametrize(("every", "frames"), [(1, range(6)), (4, (0, 4))])
def test_a_video_gives_its_frames_one_by_one(video, every, frames):
    (one,) = find_inputs([video])
    pictures = list(pictures_of(one, every))
    assert [name for name, _ in pictures] == [f"clip_{number:06d}" for number in frames]
    for number, (_, image) in zip(frames, pictures, strict=True):
        assert image.shape == (48, 64, 3)
        assert image.mean() == pytest.approx(20 + 30 * number, abs=2)


def test_frames_are_predicted_and_know_no_focal_length_of_their_own(video, tmp_path):
    lines = predict_files(trained(), [video], tmp_path / "out", formats=["npy"], every=5)
    assert len(lines) == 2
    assert all("focal length not known" in line for line in lines)
    lines = predict_files(trained(), [video], tmp_path / "out", formats=["npy"], every=5, fov_degrees=60)
    assert all("metric depth, m" in line for line in lines)
    assert len(list((tmp_path / "out").glob("*.npy"))) == 2


def test_a_video_that_is_none_is_named(tmp_path):
    (tmp_path / "x.mp4").write_text("not a video")
    with pytest.raises(BadSource, match=r"x\.mp4: is no video that can be decoded here; convert it"):
        predict_files(trained(), [tmp_path / "x.mp4"], tmp_path / "out")
    with pytest.raises(BadSource, match=r"gone\.mp4: no such file"):
        predict_files(trained(), [tmp_path / "gone.mp4"], tmp_path / "out")


def test_a_file_that_cannot_be_read_stops_or_is_skipped_as_asked(tmp_path):
    bad = tmp_path / "in" / "bad.jpg"
    good = photo(tmp_path / "in" / "good.png")
    bad.write_text("text, not a photo")
    with pytest.raises(BadSource, match=r"bad\.jpg"):
        predict_files(trained(), [bad, good], tmp_path / "out")
    said = []
    lines = predict_files(trained(), [bad, good], tmp_path / "out", on_bad="skip", say=said.append)
    assert lines == said
    assert lines[0].startswith(f"skipped: {bad}: ")
    assert lines[1].startswith(f"{good}: ")


def test_an_impossible_step_is_named(tmp_path):
    with pytest.raises(ConfigError, match="every: must be at least 1, got 0"):
        predict_files(trained(), [photo(tmp_path / "a.png")], tmp_path / "out", every=0)
