from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import pytest

from depthmix.errors import BadSource
from depthmix.sources.archive import list_files, read_file


@pytest.fixture
def folder_and_archive(tmp_path):
    names = ("data/a.txt", "data/sub/b.txt", "data/sub/deep/c.txt", "other/d.txt")
    with ZipFile(tmp_path / "packed.zip", "w", ZIP_DEFLATED) as archive:
        for name in names:
            path = tmp_path / "folder" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
            archive.write(path, name)
    return tmp_path / "folder", tmp_path / "packed.zip"


def test_folder_and_archive_list_and_read_alike(folder_and_archive):
    for root in folder_and_archive:
        assert list_files(root, "data") == ["a.txt", "sub/b.txt"]
        assert list_files(root, "nowhere") == []
        assert read_file(root, "sub/b.txt", "data") == b"data/sub/b.txt"


def test_missing_member_is_named(folder_and_archive):
    for root in folder_and_archive:
        with pytest.raises(BadSource, match=r"x\.txt"):
            read_file(root, "x.txt", "data")


def test_a_member_larger_than_allowed_is_not_unpacked(folder_and_archive):
    for root in folder_and_archive:
        with pytest.raises(BadSource, match="more than the allowed 3"):
            read_file(root, "a.txt", "data", max_bytes=3)


def test_a_flipped_byte_in_an_archive_is_noticed(tmp_path):
    file = tmp_path / "stored.zip"
    with ZipFile(file, "w", ZIP_STORED) as archive:
        archive.writestr("data/a.txt", b"0123456789" * 10)
    file.write_bytes(file.read_bytes().replace(b"9012", b"9812", 1))
    with pytest.raises(BadSource, match=r"stored\.zip.*CRC"):
        read_file(file, "a.txt", "data")


def test_a_truncated_archive_is_named(folder_and_archive):
    _, packed = folder_and_archive
    packed.write_bytes(packed.read_bytes()[:-30])
    with pytest.raises(BadSource, match=r"packed\.zip"):
        list_files(packed)
