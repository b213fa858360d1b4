"""One writer in a folder at a time, and the others are told who it is."""

import errno
import fcntl
import os

import pytest

from depthmix.errors import StorageError
from depthmix.store.folder import own_folder
from depthmix.store.record import commit


def test_second_writer_in_one_folder_is_refused(tmp_path):
    first, second = own_folder(tmp_path / "out"), own_folder(tmp_path / "out")
    with first, pytest.raises(StorageError, match="another process prepares data"), second:
        pytest.fail("two writers at once")


def test_folder_is_free_again_after_an_error_and_an_empty_one_is_removed(tmp_path):
    with pytest.raises(KeyboardInterrupt), own_folder(tmp_path / "out"):
        raise KeyboardInterrupt
    assert not (tmp_path / "out").exists()
    with own_folder(tmp_path / "out"):
        commit(tmp_path / "out" / "a", b"x")
    assert (tmp_path / "out" / "a").exists()


def test_temporary_files_of_a_killed_run_are_removed(tmp_path):
    (tmp_path / ".00000.h5.12-ab.tmp").write_bytes(b"half")
    with own_folder(tmp_path):
        assert not (tmp_path / ".00000.h5.12-ab.tmp").exists()


def test_a_file_system_without_locks_is_used_with_a_warning(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with own_folder(tmp_path / "out"):
        pass
    assert "cannot be locked (No locks available)" in caplog.text


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Not a directory"), own_folder(tmp_path / "file" / "out"):
        pytest.fail("no folder here")


def test_a_refused_writer_is_told_the_process_and_the_machine(tmp_path):
    me = f"process {os.getpid()} on {os.uname().nodename}"
    with own_folder(tmp_path / "out"):
        with (
            pytest.raises(
                StorageError, match=f"out: another process prepares data in this folder: {me}; wait"
            ),
            own_folder(tmp_path / "out"),
        ):
            pytest.fail("two writers at once")
        assert len(list((tmp_path / "out").iterdir())) == 1
    assert not (tmp_path / "out").exists()


def test_a_lock_that_the_system_refuses_is_an_error(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(StorageError, match="out: Input/output error; look at the disk"),
        own_folder(tmp_path / "out"),
    ):
        pytest.fail("not locked")


def test_a_folder_that_another_writer_removed_while_it_was_entered_is_made_again(tmp_path, monkeypatch):
    out, real, removed = tmp_path / "out", fcntl.flock, []

    def remove_first(handle, kind):
        if not removed:
            removed.append(out)
            out.rmdir()
        real(handle, kind)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with own_folder(out):
        with pytest.raises(StorageError, match="another process"), own_folder(out):
            pytest.fail("two writers at once")
        commit(out / "a", b"x")


def test_the_last_of_several_jobs_clears_up_what_a_killed_one_left(tmp_path):
    for name in (".00000.h5.12-ab.tmp", ".writer-on-node7.12-ab.tmp", "00000.h5"):
        (tmp_path / name).write_bytes(b"half")
    with own_folder(tmp_path, shared=True):
        with own_folder(tmp_path, shared=True):
            pass
        assert (tmp_path / ".00000.h5.12-ab.tmp").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["00000.h5"]


def test_a_writer_that_is_just_leaving_is_waited_for(tmp_path, monkeypatch):
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)  # and no mark
    monkeypatch.setattr("depthmix.store.folder.time.sleep", lambda seconds: os.close(handle))
    with own_folder(tmp_path):
        pass
