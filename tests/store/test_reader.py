import hashlib
import json
import multiprocessing
import os
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from depthmix.augment import crop
from depthmix.errors import CorruptShard, DepthmixError, StorageError
from depthmix.prepare import prepare
from depthmix.sample import LabelKind, Quality
from depthmix.sources.base import SourceCard
from depthmix.store import gate, reader
from depthmix.store.reader import ShardSet
from depthmix.store.record import HEAD, TAIL, pack_record, proof_of
from depthmix.store.verify import verify_set
from tests.store.helpers import TinySource, make_raw

COUNT = 7


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return TinySource(make_raw(tmp_path_factory.mktemp("raw"), COUNT))


@pytest.fixture(scope="module")
def pristine(source, tmp_path_factory):
    """Three shards: the shard size is so small that three samples fill one."""
    out = tmp_path_factory.mktemp("prepared") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("depthmix.prepare.run.MEBIBYTE", 5800)
        prepare(source, out, shard_mb=1)
    assert len(list(out.glob("*.h5"))) == 3
    return out


@pytest.fixture
def root(pristine, tmp_path):
    return shutil.copytree(pristine, tmp_path / "tiny")


def read_all(root):
    return [contents(sample) for sample in ShardSet(root)]


def contents(sample):
    arrays = [getattr(sample, name) for name in ("image", "target", "valid", "sky", "planes", "sigma")]
    return (sample.key, *(array.tobytes() for array in arrays), sample.intrinsics)


def test_samples_come_back_with_their_tags(root, source):
    shards = ShardSet(root)
    assert len(shards) == COUNT
    assert shards.keys == tuple(source.keys())
    for index, raw in enumerate(source):
        sample = shards[index]
        assert sample.name == raw.name
        assert (sample.kind, sample.quality, sample.intrinsics) == (raw.kind, raw.quality, raw.intrinsics)
        assert (sample.valid == raw.valid).all()
        assert (sample.planes == raw.planes).all()
        assert sample.target == pytest.approx(raw.target, rel=6.3e-5)


def test_an_image_that_does_not_decode_is_named_when_its_window_is_asked_for(root, monkeypatch):
    """Its checksum is right: the bytes were like this when they were stored."""
    stored = ShardSet(root).stored(1)
    monkeypatch.setattr("kornia_rs.io.decode_image_jpegturbo", lambda *_: 1 / 0)
    message = r"00000\.h5: tiny/001: image: JPEG does not decode: division by zero; .*run prepare again"
    with pytest.raises(CorruptShard, match=message):
        crop(stored, 0, 0, 4, 4)


def test_indices_work_like_those_of_a_list(root):
    shards = ShardSet(root)
    assert shards[-1].key == shards.keys[-1]
    assert shards[np.int64(2)].key == shards.keys[2]
    for outside in (COUNT, -COUNT - 1):
        with pytest.raises(IndexError, match=f"sample {outside} of {COUNT}"):
            shards[outside]


def test_card_and_record_are_there(root, source):
    shards = ShardSet(root)
    assert SourceCard(**shards.card) == replace(source.card, size="", read_on_real_files=False)
    assert (shards.card["kind"], shards.card["quality"]) == (LabelKind.METRIC_DEPTH, Quality.HIGH)
    assert shards.info["skipped"] == []
    assert shards.info["count"] == COUNT
    assert shards.info["schema"] == 4


def test_the_root_hash_is_the_proof_of_the_record(root):
    assert ShardSet(root).root_hash == json.loads((root / "index.json").read_text())["proof"]


def test_a_set_is_pickled_without_open_files_and_small(root):
    shards = ShardSet(root)
    expected = contents(shards[4])
    assert shards.keys
    packed = pickle.dumps(shards)
    assert len(packed) < 10_000
    again = pickle.loads(packed)
    assert not again._files
    assert not again._shards
    assert contents(again[4]) == expected


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_set_can_be_read_on_both_sides_of_a_fork_and_of_a_spawn(root):
    shards = ShardSet(root)
    expected = [contents(shards[index]) for index in range(COUNT)]
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            found = pool.map(_read, [(shards, index) for index in range(COUNT)], chunksize=1)
        assert found == expected
        assert [contents(shards[index]) for index in range(COUNT)] == expected


def _read(job):
    shards, index = job
    return contents(shards[index])


def test_threads_share_a_set_even_when_few_files_may_stay_open(root, monkeypatch):
    monkeypatch.setattr(reader, "MAX_OPEN", 1)
    shards = ShardSet(root)
    expected = read_all(root)
    order = np.random.default_rng(0).integers(0, COUNT, 200)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda index: contents(shards[index]), order)) == [expected[i] for i in order]
    assert len(shards._files) <= 4


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors through /proc")
def test_open_files_are_closed_with_the_set(root):
    before = open_files()
    shards = ShardSet(root)
    assert [sample.key for sample in shards] == list(shards.keys)
    assert open_files() == before + 3
    del shards
    assert open_files() == before


def test_a_truncated_shard_is_refused_before_anything_is_read_from_it(root):
    path = root / "00000.h5"
    size = path.stat().st_size
    os.truncate(path, size - 1)
    with pytest.raises(CorruptShard, match=f"size: expected {size} bytes, got {size - 1}; remove this file"):
        ShardSet(root)[0]


def test_a_shard_cut_while_it_is_open_is_noticed(root):
    shards = ShardSet(root)
    assert shards[2].key == "002"
    os.truncate(root / "00000.h5", 3000)
    with pytest.raises(CorruptShard, match="tiny/002: image: checksum is"):
        shards[2]


def test_a_missing_shard_is_named_and_the_others_can_be_read(root):
    (root / "00001.h5").unlink()
    shards = ShardSet(root)
    with pytest.raises(StorageError, match=r"00001\.h5: No such file or directory"):
        shards[3]
    assert shards[0].key == "000"


def test_a_record_edited_by_hand_is_noticed(root):
    path = root / "00001.json"
    path.write_text(path.read_text().replace("003", "033", 1))
    with pytest.raises(CorruptShard, match=r"00001\.json: proof: the record does not match"):
        ShardSet(root)[3]


def test_a_shard_and_its_record_from_another_place_are_noticed(root):
    for suffix in (".h5", ".json"):
        shutil.copy(root / f"00000{suffix}", root / f"00001{suffix}")
    with pytest.raises(CorruptShard, match="expected proof"):
        ShardSet(root)[3]


def test_a_folder_without_a_set_says_what_to_do(tmp_path, root):
    with pytest.raises(StorageError, match="no prepared set here; run `depthmix prepare`"):
        ShardSet(tmp_path / "nowhere")
    (root / "index.json").unlink()
    with pytest.raises(StorageError, match="prepare has not finished here"):
        ShardSet(root)


def reseal(root, change):
    """Change the root record and give it a proof that is right, as a stranger could."""
    body = json.loads((root / "index.json").read_text())
    del body["proof"]
    change(body)
    (root / "index.json").write_bytes(pack_record(body))


@pytest.mark.parametrize("name", ["../tiny/00000.h5", "/etc/passwd", "00000.h5\n", "a.h5"])
def test_a_made_up_record_cannot_lead_out_of_its_folder(root, name):
    reseal(root, lambda body: body["shards"][0].update(file=name))
    with pytest.raises(CorruptShard, match="not a record of a prepared set"):
        ShardSet(root)


@pytest.mark.parametrize("missing", ["card", "options", "shards", "count", "skipped", "name", "fingerprint"])
def test_a_made_up_record_without_a_part_is_refused(root, missing):
    reseal(root, lambda body: body.pop(missing))
    with pytest.raises(CorruptShard, match=missing):
        ShardSet(root)


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.update(name=7),
        lambda body: body["card"].pop("licence"),
        lambda body: body["card"].update(trust="me"),
        lambda body: body["card"].update(licence=["CC0"]),
        lambda body: body.update(card=[]),
        lambda body: body["shards"][0].pop("proof"),
        lambda body: body["shards"][0].update(count=3.0),
        lambda body: body["shards"][0].update(file=1),
        lambda body: body["skipped"].append({"key": 1, "file": "a", "reason": "b"}),
    ],
)
def test_a_made_up_record_with_other_parts_is_refused(root, change):
    reseal(root, change)
    with pytest.raises(CorruptShard, match="not a record of a prepared set"):
        ShardSet(root)


def test_the_parts_of_a_card_are_known_here_too():
    assert TinySource.card.plain().keys() == gate.CARD


def test_a_made_up_shard_record_with_numbers_beyond_64_bits_is_refused(root):
    path = root / "00000.json"
    body = json.loads(path.read_text())
    del body["proof"]
    body["samples"]["offsets"][0][0] = 2**70
    path.write_bytes(pack_record(body))
    reseal(root, lambda root_body: root_body["shards"][0].update(proof=proof_of(path.read_bytes())))
    with pytest.raises(CorruptShard, match=r"00000\.json: not a shard record"):
        ShardSet(root)[0]


def test_a_record_nested_without_end_is_refused(root):
    rest = b'"a": ' + b"[" * 100_000 + b"\n"
    (root / "index.json").write_bytes(HEAD + hashlib.sha256(rest).hexdigest().encode() + TAIL + rest)
    with pytest.raises(CorruptShard, match=r"index\.json: not JSON"):
        ShardSet(root)


@pytest.mark.parametrize("name", ["00000.h5", "00000.json"])
def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(root, name):
    (root / name).unlink()
    os.mkfifo(root / name)
    with pytest.raises(DepthmixError, match=name):
        ShardSet(root)[0]
    assert any(name in str(problem) for problem in verify_set(root).problems)


@pytest.mark.parametrize("schema", [3, 5])
def test_an_older_or_newer_schema_is_refused_by_name(root, schema):
    reseal(root, lambda body: body.update(schema=schema))
    reason = f"has schema {schema}, this version reads 4; update depthmix or prepare the source again"
    with pytest.raises(StorageError, match=reason):
        ShardSet(root)
