"""Listing raw folders: what `Path.glob` finds, and no folder passed over in silence."""

import errno
import os
import re
import shutil
from pathlib import Path

import pytest

from depthmix import sources
from depthmix.errors import BadSource, StorageError
from depthmix.prepare.raw import raw_keys
from depthmix.sources.archive import list_files
from depthmix.sources.layout import files_below
from depthmix.sources.listing import matching
from tests.store.helpers import TinySource

FILES = (
    *("1.png", "a/1.png", "a/rgb/1.png", "a/rgb/2.PNG", "a/rgb/3.jpg", "b/rgb/[1].png", "b/c/rgb/1.png"),
    *("b/c/d/rgb/1.png", "z/rgb/left.png", "a/depth/1.png", "rgb/rgb/rgb/1.png"),
)
PATTERNS = (
    *("*.png", "*/*.png", "*/rgb/*.png", "**/*.png", "**/rgb/*.png", "a/**/*.png", "*/**/rgb/1.png"),
    *("**/**/*.png", "*/rgb/left.png", "a/rgb/*", "a/rgb", "*", "none/*.png", "1.png/*", "b/rgb/[[]1].png"),
    *("[ab]/rgb/?.png", "a//rgb/./*.png", "to_a/rgb/*.png", "*/nowhere/*", "to_*", "rgb/**/rgb/**/1.png"),
)


@pytest.fixture
def folder(tmp_path):
    for name in (*FILES, ".trash/rgb/1.png", "a/rgb/._1.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "to_a").symlink_to("a")
    (tmp_path / "to_itself").symlink_to("to_itself")
    (tmp_path / "to_nothing").symlink_to("nothing")
    (tmp_path / "a" / "above").symlink_to("..")
    return tmp_path


@pytest.mark.parametrize("pattern", PATTERNS)
def test_it_finds_what_glob_finds_but_for_names_with_a_dot(folder, pattern):
    globbed = {path.relative_to(folder) for path in folder.glob(pattern)}
    wanted = {path.as_posix() for path in globbed if not any(part[0] == "." for part in path.parts)}
    assert matching(folder, pattern) == sorted(wanted)


def test_most_patterns_find_something(folder):
    assert sum(bool(matching(folder, pattern)) for pattern in PATTERNS) >= len(PATTERNS) - 3
    assert matching(folder / "none", "*") == []


@pytest.fixture(params=[errno.EACCES, errno.EIO, errno.ESTALE])
def closed(request, folder, monkeypatch):
    """Let the system refuse to list `b`, and return the folder above."""
    scandir = os.scandir

    def refuse(path):
        if str(path).rstrip("/").endswith("/b"):
            raise OSError(request.param, os.strerror(request.param), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    return folder


@pytest.mark.parametrize("pattern", ["*/*.png", "**/*.png", "**/rgb/*.png", "b/**/1.png", "*/*/rgb/*"])
def test_a_folder_that_may_not_be_listed_is_named(closed, pattern):
    with pytest.raises(BadSource, match=r"cannot be read: .*; check the permissions and the disk") as caught:
        files_below(closed, pattern, expected="scenes")
    assert str(caught.value.file).rstrip("/") == str(closed / "b")
    assert str(closed / "b") in str(caught.value)


def test_folders_that_a_pattern_does_not_lead_to_do_not_matter(closed):
    assert matching(closed, "a/rgb/*.png") == ["a/rgb/1.png"]
    assert matching(closed, "*/rgb/left.png") == ["z/rgb/left.png"]  # looked up, not listed


def test_archives_and_folders_of_pairs_are_listed_by_the_same_rule(closed):
    with pytest.raises(BadSource, match="/b"):
        list_files(closed)


def test_no_source_lists_folders_by_other_means():
    for file in sorted(Path(sources.__file__).parent.glob("*.py")):
        found = re.findall(r"[rgi]?glob\(|iterdir\(|os\.walk\(|listdir\(", file.read_text(encoding="utf-8"))
        assert found == (["iterdir("] if file.name == "layout.py" else []), file  # `visible`, which raises


def test_what_the_machine_refuses_stops_a_preparation_and_is_named(closed):
    class Deep(TinySource):
        def keys(self):
            return matching(self.root, "*/*/*.png")

    with pytest.raises(StorageError) as caught:
        raw_keys(Deep(closed))
    assert str(caught.value.file).rstrip("/") == str(closed / "b")


def test_what_operating_systems_add_is_not_looked_into(folder, monkeypatch):
    (folder / "lost+found").mkdir()
    scandir = os.scandir

    def refuse(path):
        if ".trash" in str(path) or "lost+found" in str(path):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert "a/rgb/1.png" in matching(folder, "**/*.png")
    assert "a/rgb/1.png" in matching(folder, "*/*/*.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
@pytest.mark.parametrize("mode", [0o000, 0o400, 0o100])
def test_a_folder_of_someone_else_is_named(folder, mode):
    (folder / "b").chmod(mode)
    try:
        for pattern in ("*/*/1.png", "b/**/rgb/*.png"):
            with pytest.raises(BadSource, match="Permission denied"):
                matching(folder, pattern)
    finally:
        (folder / "b").chmod(0o700)
        shutil.rmtree(folder / "b")
