import errno
import json
import os
from pathlib import Path

import pytest

from depthmix.errors import CorruptShard, StorageError
from depthmix.store.record import (
    BACK,
    commit,
    open_plain,
    pack_record,
    proof_of,
    read_plain,
    read_record,
)


def test_commit_puts_the_bytes_in_place_and_leaves_nothing_else(tmp_path):
    commit(tmp_path / "a", b"old")
    commit(tmp_path / "a", b"new" * 10)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"new" * 10}


def test_commit_syncs_the_file_before_the_rename_and_the_folder_after_it(tmp_path, monkeypatch):
    calls = []
    for name in ("write", "fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, real=real, name=name: (calls.append(name), real(*a))[1])
    commit(tmp_path / "a", b"bytes")
    assert calls == ["write", "fsync", "replace", "fsync"]


def test_commit_goes_on_after_a_short_write(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:3]))
    commit(tmp_path / "a", b"0123456789")
    assert (tmp_path / "a").read_bytes() == b"0123456789"


@pytest.mark.parametrize("call", ["write", "fsync", "replace", "open"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS, errno.EMFILE])
def test_any_refusal_is_one_storage_error_and_keeps_the_old_file(tmp_path, monkeypatch, call, number):
    commit(tmp_path / "a", b"old")

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(StorageError) as caught:
            commit(tmp_path / "a", b"new")
    assert str(caught.value).startswith(f"{tmp_path / 'a'}: {os.strerror(number)}")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old"}


def test_a_write_that_lies_is_noticed_before_the_file_gets_its_name(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: (real(handle, b"\0" * len(data)), len(data))[1])
    with pytest.raises(StorageError, match="gave back other bytes"):
        commit(tmp_path / "a", b"bytes")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [BACK - 1, BACK, 2 * BACK + 5])
@pytest.mark.parametrize(
    "lie", [lambda data: data[:-1] + b"!", lambda data: data + b"!", lambda data: data[:-1]]
)
def test_the_last_byte_of_a_large_file_is_read_back_too(tmp_path, monkeypatch, size, lie):
    data = bytes(size)
    commit(tmp_path / "a", memoryview(data))
    assert (tmp_path / "a").read_bytes() == data
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: (real(handle, lie(bytes(data))), len(data))[1])
    with pytest.raises(StorageError, match="gave back other bytes"):
        commit(tmp_path / "b", data)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_says_what_to_do(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(
        StorageError, match="No space left on device; free some space and run the same command again"
    ):
        commit(tmp_path / "a", b"x")


def test_record_is_json_that_anyone_can_read_and_comes_back(tmp_path):
    body = {"schema": 1, "name": "täst", "list": [1, 2.5, None, "</script>"]}
    for indent in (None, 1):
        (tmp_path / "r.json").write_bytes(pack_record(body, indent=indent))
        assert read_record(tmp_path / "r.json") == body
        assert {**body, "proof": proof_of(pack_record(body, indent=indent))} == json.loads(
            (tmp_path / "r.json").read_text()
        )


def test_every_flipped_bit_of_a_record_is_noticed(tmp_path):
    path, packed = tmp_path / "r.json", pack_record({"schema": 1, "shards": [{"size": 123}]})
    for position in range(len(packed)):
        for bit in (0, 3, 7):
            damaged = bytearray(packed)
            damaged[position] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(CorruptShard, match="does not match its own proof"):
                read_record(path)


def test_a_cut_or_longer_or_empty_record_is_noticed(tmp_path):
    path, packed = tmp_path / "r.json", pack_record({"schema": 1})
    for damaged in (b"", packed[:-1], packed[:20], packed + b"\n", b"[]"):
        path.write_bytes(damaged)
        with pytest.raises(CorruptShard, match="remove it and run prepare again"):
            read_record(path)


def test_a_sound_record_that_is_not_the_expected_one_is_noticed(tmp_path):
    (tmp_path / "r.json").write_bytes(pack_record({"schema": 1}))
    with pytest.raises(CorruptShard, match=r"expected proof 000000000000, got [0-9a-f]{12}"):
        read_record(tmp_path / "r.json", proof="0" * 64)


def test_a_missing_record_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match=r"r\.json: No such file or directory"):
        read_record(tmp_path / "r.json")


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
def test_only_plain_files_are_opened(tmp_path, make):
    make(tmp_path / "00000.h5")
    with pytest.raises(StorageError, match="is no plain file"):
        open_plain(tmp_path / "00000.h5")


def test_a_record_of_any_size_is_not_read(tmp_path):
    (tmp_path / "index.json").write_bytes(b"a" * 99)
    assert read_plain(tmp_path / "index.json", most=99) == b"a" * 99
    with pytest.raises(CorruptShard, match=r"index\.json: size: has 99 bytes, more than 98"):
        read_plain(tmp_path / "index.json", most=98)
