"""A fingerprint says which bytes were read, and never takes trouble of the machine for content."""

import errno
import os
from pathlib import Path

import pytest

from depthmix.errors import StorageError
from depthmix.store.fingerprint import fingerprint_files


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_fingerprints_do_not_depend_on_threads_but_on_names_and_bytes(tmp_path, threads):
    for name in ("a", "b", "same"):
        (tmp_path / name).write_text(name.replace("same", "a"))
    groups = [[tmp_path / "a"], [tmp_path / "b"], [tmp_path / "same"], [tmp_path / "gone"]]
    prints = fingerprint_files(tmp_path, groups, threads=threads)
    assert len(set(prints)) == 4
    assert prints == fingerprint_files(tmp_path, groups)


@pytest.mark.parametrize("code", [errno.EIO, errno.EMFILE, errno.EACCES])
def test_what_the_machine_refuses_is_an_error_and_no_fingerprint(tmp_path, monkeypatch, code):
    def refuse(self, mode):
        raise OSError(code, os.strerror(code))

    (tmp_path / "a").write_text("a")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(StorageError, match=rf"a: {os.strerror(code)}; "):
        fingerprint_files(tmp_path, [[tmp_path / "a"]])
