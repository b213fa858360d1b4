"""Verification of sets behind a URL: what a local one finds, in the same words, piece by piece."""

import json
import os
import shutil
from pathlib import Path

import fsspec
import pytest

from depthmix.cli.main import main
from depthmix.store import remote
from depthmix.store.reader import ShardSet
from depthmix.store.record import pack_record, read_record
from depthmix.store.remote import RemoteFolder, cache_folder
from depthmix.store.verify import verify_set
from depthmix.store.vouched import Vouched
from tests.store.helpers import COUNT, tree
from tests.store.test_verify import DAMAGE, flip, problems

WORDS = {  # what no server can tell, said as it is said of sets behind URLs
    "No such file or directory": "no such file",
    "prepare has not finished here": "no such file",
    "; check the path and the file system, and run the same command again": "",
    "; run `depthmix prepare` for this source (again)": "",
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Verification leaves nothing in the cache, whatever it meets."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield
    assert not cache_folder().exists()


@pytest.fixture(autouse=True)
def empty_memory():
    yield
    fsspec.filesystem("memory").rm("/", recursive=True)


@pytest.fixture(params=["memory", "file", "http"])
def publish(request, root, served, hasty):
    """Return what puts the set, as it is now, behind a URL."""

    def put() -> str:
        if request.param == "file":
            return f"file://{root}"
        if request.param == "http":
            shutil.copytree(root, served[0] / "sets" / "tiny")
            return f"{served[1]}/sets/tiny"
        fsspec.filesystem("memory").put(str(root), "/bucket/tiny", recursive=True)
        return "memory://bucket/tiny"

    return put


def as_behind(url: str, root: Path, texts: list[str]) -> list[str]:
    """Return what is said of a local set in the words for the same set behind a URL."""
    for here, there in {f"{root}/": f"{url}/", **WORDS}.items():
        texts = [text.replace(here, there) for text in texts]
    return texts


@pytest.mark.parametrize("workers", [1, 3])
def test_nothing_is_found_in_a_sound_set(publish, workers):
    told = []
    found = verify_set(publish(), workers=workers, progress=lambda done, total: told.append((done, total)))
    assert (found.problems, found.samples, found.vouched) == ([], COUNT - 1, 0)
    assert found.shards == len(told)
    assert told[-1] == (found.bytes, found.bytes)


@pytest.mark.parametrize("change", [change for change, _ in DAMAGE])
def test_every_kind_of_damage_is_named_in_the_words_for_a_local_set(root, publish, change):
    change(root)
    url = publish()
    texts = problems(url)
    assert texts == as_behind(url, root, problems(root))
    assert len(texts) == 1


def test_a_flipped_bit_names_file_sample_and_field(root, publish):
    index = ShardSet(root)._shard(1).index
    flip(root / "00001.h5", int(index.offsets[0, 1]) + 30, 2)
    flip(root / "00001.h5", int(index.offsets[1, 0]) + 3, 2)
    flip(root / "00000.h5", -1)
    url = publish()
    texts = problems(url)
    assert texts == as_behind(url, root, problems(root))
    assert f"{url}/00000.h5: sha256: differs from its record, outside of all samples" in texts[0]
    assert f"{url}/00001.h5: {index.keys[0]}: target: differs from its record" in texts[1]


def test_shards_and_records_in_each_others_place_are_told_from_damage(root, publish):
    for suffix in ("h5", "json"):
        first, second = (root / f"0000{number}.{suffix}" for number in (0, 1))
        kept = first.read_bytes()
        shutil.copy(second, first)
        second.write_bytes(kept)
    url = publish()
    texts = problems(url)
    assert texts == as_behind(url, root, problems(root))
    assert len(texts) == 4


@pytest.mark.parametrize("longer", [-3000, -1, 0, 1, 3000])
@pytest.mark.parametrize("over", [-1, 0, 1])
def test_files_are_read_in_pieces_wherever_they_end(root, publish, monkeypatch, longer, over):
    path = root / "00001.h5"
    size = path.stat().st_size
    os.truncate(path, size + longer)
    monkeypatch.setattr(remote, "PIECE", size + longer + over)
    asked, original = [], RemoteFolder._range

    def noted(self, name, start, length):
        asked.append(length)
        return original(self, name, start, length)

    monkeypatch.setattr(RemoteFolder, "_range", noted)
    texts = problems(publish())
    assert max(asked) <= remote.PIECE + 1
    assert [text.partition("00001.h5: ")[2].partition(";")[0] for text in texts] == (
        [f"size: expected {size} bytes, got {size + longer}"] if longer else []
    )


def test_an_empty_shard_and_one_of_a_piece_are_told(root, publish, monkeypatch):
    size = (root / "00001.h5").stat().st_size
    os.truncate(root / "00001.h5", 0)
    monkeypatch.setattr(remote, "PIECE", (root / "00000.h5").stat().st_size)
    (text,) = problems(publish())
    assert f"00001.h5: size: expected {size} bytes, got 0" in text


def broken(monkeypatch, times, what=lambda data: bytes([data[0] ^ 1]) + data[1:]):
    """Damage what arrives of the second shard, so many times."""
    original, left = RemoteFolder._range, [times]

    def fetch(self, name, start, length):
        data = original(self, name, start, length)
        if name != "00001.h5" or not left[0]:
            return data
        left[0] -= 1
        return what(data)

    monkeypatch.setattr(RemoteFolder, "_range", fetch)


def test_what_is_damaged_on_its_way_is_no_damage(publish, monkeypatch):
    url = publish()
    broken(monkeypatch, 1)
    assert problems(url) == []


def test_a_shard_that_is_another_one_each_time_is_said_to_be(publish, monkeypatch):
    url = publish()
    drawn = iter(range(100))
    broken(monkeypatch, -1, lambda data: bytes([next(drawn)]) + data[1:])
    (text,) = problems(url)
    assert "00001.h5: has other bytes each time it is read; wait until nobody writes here" in text


def test_a_failing_server_is_asked_again_and_then_named(root, served, hasty):
    shutil.copytree(root, served[0] / "tiny")
    served[2]["failures"] = 2
    assert problems(f"{served[1]}/tiny") == []
    served[2]["failures"] = 3
    (text,) = problems(f"{served[1]}/tiny")
    assert "tiny/index.json: cannot be fetched: ClientResponseError: 503" in text
    assert text.endswith("check the connection and the credentials")


def test_a_server_without_ranges_is_named_where_they_are_needed(root, served, hasty, monkeypatch):
    shutil.copytree(root, served[0] / "tiny")
    served[2]["ranges"] = False
    assert problems(f"{served[1]}/tiny") == []  # shards of one piece
    monkeypatch.setattr(remote, "PIECE", 500)
    texts = problems(f"{served[1]}/tiny")
    assert len(texts) == len(list(root.glob("*.h5")))
    assert all("h5: the server sends more than was asked for; use a server" in text for text in texts)


def test_a_server_that_lists_nothing_verifies_what_the_records_name(root, served, hasty, caplog):
    shutil.copytree(root, served[0] / "tiny")
    (served[0] / "tiny" / "index.html").write_text("nothing to see here")
    shutil.copy(root / "00000.h5", served[0] / "tiny" / "00007.h5")
    assert problems(f"{served[1]}/tiny") == []
    flip(served[0] / "tiny" / "00001.h5", -1)
    assert len(problems(f"{served[1]}/tiny")) == 1


def test_a_listing_that_fails_is_said_and_is_no_problem_of_the_set(root, publish, monkeypatch, caplog):
    url = publish()

    def refuse(self, path, detail=True, **options):
        raise PermissionError("lists nothing")

    monkeypatch.setattr(type(fsspec.core.url_to_fs(url)[0]), "ls", refuse)
    assert problems(url) == []
    assert "not looked for files that belong to no record" in caplog.records[-1].message


def test_nothing_behind_a_url_is_vouched_for(publish, tmp_path):
    url = publish()
    for _ in range(2):
        with Vouched(tmp_path / "done") as vouched:
            assert verify_set(url, vouched=vouched).vouched == 0


def test_the_command_refuses_to_resume_behind_a_url(publish, root, tmp_path, capsys):
    assert main(["verify", str(root), url := publish(), "--resume", str(tmp_path / "done")]) == 2
    said = capsys.readouterr().err
    assert f"depthmix: --resume: cannot be told for {url}: " in said
    assert said.count("\n") == 1
    assert not (tmp_path / "done").exists()


def test_the_command_finds_sets_below_a_url_and_tells_json(publish, root, capsys):
    url = publish()
    assert main(["verify", f"{url}/", "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["sets"]
    assert (one["folder"], one["samples"], one["problems"]) == (url, COUNT - 1, [])
    above = url.rpartition("/")[0]
    assert main(["verify", above, "--workers", "1"]) == 0
    assert capsys.readouterr().out.startswith(f"{url}: {COUNT - 1} samples in ")


def test_a_set_whose_own_records_are_gone_is_not_passed_over(publish, root, capsys):
    for name in ("index.json", "quarantine.jsonl"):
        (root / name).unlink()
    url = publish()
    assert main(["verify", url.rpartition("/")[0]]) == 1
    assert capsys.readouterr().err.split("\n")[-2] == f"{url}/index.json: no such file"


def test_a_url_without_a_set_is_named(hasty, tmp_path, capsys):
    assert main(["verify", "memory://bucket/none", f"file://{tmp_path}", "nowhere://x/y"]) == 1
    first, second, third = filter(None, capsys.readouterr().err.splitlines())
    assert first == "memory://bucket/none/index.json: no such file"
    assert second == f"file://{tmp_path}/index.json: no such file"
    assert third.startswith("nowhere://x/y: ")


def test_a_set_is_left_as_it_was(root, publish):
    before = tree(root)
    verify_set(publish())
    assert tree(root) == before


@pytest.mark.parametrize("behind", [False, True])
def test_a_set_that_is_replaced_meanwhile_is_said_to_be(root, behind):
    info = read_record(root / "index.json")

    def replace(done, total):
        (root / "index.json").write_bytes(pack_record({**info, "name": "other"}))

    (problem,) = verify_set(f"file://{root}" if behind else root, progress=replace).problems
    assert "index.json: was replaced meanwhile; wait until nobody writes here" in str(problem)
