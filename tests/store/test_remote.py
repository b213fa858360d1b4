"""Sets behind a URL: the same samples, few requests, a cache that keeps its bounds."""

import logging
import os
import pickle
import zlib
from pathlib import Path

import pytest

from depthmix.errors import CorruptShard, StorageError
from depthmix.prepare import prepare
from depthmix.store import ShardSet, remote
from depthmix.store.remote import RangeCache, RemoteFolder, is_url
from depthmix.testing.contract import digest
from tests.store.helpers import TinySource, make_raw


@pytest.mark.parametrize(
    ("root", "url"), [("s3://b/x", True), ("https://h/x", True), ("a/b", False), ("c://x", False)]
)
def test_a_url_is_told_from_a_path(root, url):
    assert is_url(root) is url
    assert not is_url(Path("s3://b/x"))


def test_a_range_is_fetched_alone_and_only_once(served, tmp_path):
    folder, url, state = served
    (folder / "a.h5").write_bytes(bytes(range(200)))
    place = RemoteFolder(url, RangeCache(tmp_path / "cache", 10_000_000))
    for _ in range(3):
        assert place.read_range("a.h5", 10, 5, "v1") == bytes(range(10, 15))
    assert state["requests"] == [("/a.h5", "bytes=10-14")]
    place.read_range("a.h5", 10, 5, "v2")  # other content under the same name
    assert len(state["requests"]) == 2
    assert place.read_range("a.h5", 190, 50, "v1") == bytes(range(190, 200))


def test_a_missing_file_is_named_at_once_and_a_failing_server_asked_three_times(served, hasty, caplog):
    folder, url, state = served
    (folder / "index.json").write_bytes(b"{}")
    place = RemoteFolder(url)
    with pytest.raises(StorageError, match=r"http://.*/none.json: no such file"):
        place.read("none.json")
    assert len(state["requests"]) == 1
    state["failures"] = 2
    with caplog.at_level(logging.ERROR):
        assert place.read("index.json") == b"{}"
    state["failures"] = 3
    with pytest.raises(StorageError, match=r"index.json: cannot be fetched: .*503.*; check the connection"):
        place.read("index.json")


def test_a_server_without_ranges_is_named(served):
    folder, url, state = served
    (folder / "a.h5").write_bytes(bytes(200))
    state["ranges"] = False
    with pytest.raises(StorageError, match="sends more than was asked for; use a server that answers"):
        RemoteFolder(url).read_range("a.h5", 10, 5, "")


def test_an_unknown_protocol_is_named():
    with pytest.raises(StorageError, match="nowhere"):
        RemoteFolder("nowhere://bucket/set").read("index.json")


def test_it_goes_through_pickle_and_fork(served):
    folder, url, _ = served
    (folder / "a").write_bytes(b"abc")
    place = RemoteFolder(url)
    assert place.read("a") == b"abc"
    assert pickle.loads(pickle.dumps(place)).read("a") == b"abc"
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, place.read("a"))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 3) == b"abc"
    os.close(reader)
    os.close(writer)


@pytest.fixture
def prepared(served, tmp_path, monkeypatch):
    """A set that a server has, its URL, and what was asked for."""
    folder, url, state = served
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    prepare(TinySource(make_raw(tmp_path / "raw", 4)), folder / "tiny")
    return folder / "tiny", f"{url}/tiny", state


def test_a_set_behind_a_url_gives_the_same_samples_and_asks_once_for_each(prepared):
    folder, url, state = prepared
    here, there = ShardSet(folder), ShardSet(url)
    for _ in range(2):
        assert [digest(there[i]) for i in range(len(there))] == [digest(sample) for sample in here]
    files = {path for path, _ in state["requests"]}
    assert len(state["requests"]) == len(there) + sum(path.endswith(".json") for path in files)
    state["requests"].clear()
    assert digest(ShardSet(url)[0]) == digest(here[0])  # kept from one run to the next
    assert all(path.endswith(".json") for path, _ in state["requests"])
    assert pickle.loads(pickle.dumps(there)).name_of(0) == here.name_of(0)


def test_what_is_damaged_on_the_way_is_fetched_again_and_what_lies_damaged_is_named(prepared):
    folder, url, _ = prepared
    there = ShardSet(url)
    sound = digest(there[0])
    (kept,) = (path for path in remote.cache_folder().rglob("*") if path.is_file())
    wrong = bytes(len(kept.read_bytes()) - 4)
    kept.write_bytes(zlib.crc32(wrong).to_bytes(4, "little") + wrong)  # as if it had arrived like this
    assert digest(there[0]) == sound
    shard = next(folder.glob("*.h5"))
    shard.write_bytes(bytes(shard.stat().st_size))
    with pytest.raises(CorruptShard, match=rf"{url}/00000.h5: .*checksum is"):
        there[1]


def test_a_set_that_is_not_there_or_replaced_is_named(prepared, hasty):
    folder, url, _ = prepared
    with pytest.raises(StorageError, match=r"/none/index.json: no such file"):
        ShardSet(f"{url}/none")
    there = ShardSet(url)
    record = next(folder.glob("0*.json"))
    record.write_bytes(record.read_bytes().replace(b"keys", b"kEys"))
    with pytest.raises(CorruptShard, match=r"00000.json: .*proof"):
        there[0]


@pytest.mark.parametrize(
    ("root", "path", "place"),
    [
        ("a", "b", Path("a/b")),
        ("a", "/b", Path("/b")),
        ("s3://a/", "b", "s3://a/b"),
        ("a", "s3://x/b", "s3://x/b"),
    ],
)
def test_a_path_lies_below_its_root(root, path, place):
    assert remote.below(root, path) == place


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_the_cache_keeps_its_bounds_and_drops_what_was_not_used(tmp_path):
    cache = RangeCache(tmp_path, 100_000)
    for number in range(300):
        cache.put(f"{number}", bytes([number % 256]) * 1000)
        assert cache.get("0") is not None  # always in use
    assert size_of(tmp_path) <= 106_000
    assert cache.get("0") == bytes(1000)
    assert cache.get("1") is None
    assert cache.get("299") == bytes([299 % 256]) * 1000


def test_what_is_damaged_in_the_cache_is_not_there(tmp_path):
    cache = RangeCache(tmp_path, 1_000_000)
    cache.put("k", b"abcdef")
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    for damaged in (b"", b"abc", file.read_bytes()[:-1] + b"x", file.read_bytes()[:-1]):
        file.write_bytes(damaged)
        assert cache.get("k") is None


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, caplog):
    (tmp_path / "file").touch()
    cache = RangeCache(tmp_path / "file", 1_000_000)
    for _ in range(3):
        cache.put("k", b"abc")
    assert cache.get("k") is None
    assert sum("nothing is kept here" in record.message for record in caplog.records) == 1
