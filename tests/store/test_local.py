"""Prepared sets are found where they lie, and what cannot be looked into is said."""

from pathlib import Path

import pytest

from depthmix.errors import StorageError
from depthmix.store.local import find_sets


def make_sets(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name / "index.json").touch()


def test_a_set_and_the_sets_in_a_folder_are_found_in_order(tmp_path):
    assert find_sets(tmp_path / "missing") == []
    make_sets(tmp_path, "b", "a", "deep/inside")
    (tmp_path / "file").touch()
    assert find_sets(tmp_path) == [tmp_path / "a", tmp_path / "b"]
    assert find_sets(tmp_path / "a") == [tmp_path / "a"]


def test_a_folder_that_cannot_be_looked_into_is_not_passed_over(tmp_path, monkeypatch):
    make_sets(tmp_path, "a", "b")
    (tmp_path / "b" / "index.json").unlink()
    (tmp_path / "b" / "index.json").symlink_to("index.json")  # to itself
    with pytest.raises(StorageError, match=r"b: .*Too many levels of symbolic links"):
        find_sets(tmp_path)

    def fail(self: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "iterdir", fail)
    with pytest.raises(StorageError, match=rf"{tmp_path}: .*Input/output error"):
        find_sets(tmp_path)
