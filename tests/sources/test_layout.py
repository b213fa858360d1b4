import pytest

from depthmix.errors import BadSource
from depthmix.sources.layout import files_by_stem


def test_files_are_sorted_by_stem_and_others_left_out(tmp_path):
    for name in ("b.PNG", "a-1.jpg", "a.jpeg", "notes.txt", ".hidden"):
        (tmp_path / name).touch()
    assert list(files_by_stem(tmp_path)) == ["a", "a-1", "b"]


def test_two_files_of_one_stem_are_refused(tmp_path):
    for name in ("a.jpg", "a.png"):
        (tmp_path / name).touch()
    with pytest.raises(BadSource, match=r"a\.png: has the same stem as a\.jpg"):
        files_by_stem(tmp_path)


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(BadSource, match=r"holds no \.jpg, \.jpeg, \.png file; give the folder"):
        files_by_stem(tmp_path)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(type(tmp_path), "iterdir", refuse)
    with pytest.raises(BadSource, match=r"cannot be read: PermissionError: .*; check the permissions"):
        files_by_stem(tmp_path)
