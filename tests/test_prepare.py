import errno
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from depthmix.errors import BadSample, BadSource, ConfigError, StorageError
from depthmix.prepare import Progress, cover, prepare
from depthmix.prepare.budget import allowed_bad
from depthmix.prepare.space import expected_bytes
from depthmix.store import CodecOptions, ShardSet
from depthmix.store.folder import own_folder
from depthmix.store.record import pack_record
from depthmix.store.verify import verify_set
from tests.store.helpers import (
    SIZE,
    BuggySource,
    ChoosySource,
    PairSource,
    PlainFileSource,
    TinySource,
    make_raw,
    tree,
)

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def raw(tmp_path):
    return make_raw(tmp_path / "raw", 9)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Let `shard_mb` count kilobytes, so that tiny sets have several shards."""
    monkeypatch.setattr("depthmix.prepare.run.MEBIBYTE", 960)


def test_a_prepared_set_holds_every_sample_in_the_order_of_the_source(raw, tmp_path):
    source = TinySource(raw)
    report = prepare(source, tmp_path / "out", shard_mb=6)
    shards = ShardSet(tmp_path / "out")
    assert shards.keys == tuple(source.keys())
    assert (report.count, report.skipped, report.reused) == (9, [], False)
    assert report.bytes == sum(path.stat().st_size for path in (tmp_path / "out").glob("*.h5"))
    names = ["00000.h5", "00000.json", "00001.h5", "00001.json", "00002.h5", "00002.json"]
    assert sorted(tree(tmp_path / "out")) == [*names, "index.json", "quarantine.jsonl"]
    assert verify_set(shards.root).problems == []


def test_root_record_says_what_the_set_was_made_from(raw, tmp_path):
    prepare(TinySource(raw), tmp_path / "out", size=(8, 8))
    info = json.loads((tmp_path / "out" / "index.json").read_text())
    assert (info["schema"], info["name"], info["count"], info["size"]) == (4, "tiny", 9, [8, 8])
    assert info["card"]["kind"] == "METRIC_DEPTH"
    assert info["card"]["quality"] == "HIGH"
    assert info["options"]["codec"] == {"image": "jpeg", "label": "code16"}
    assert info["options"]["adapter"] == "tests.store.helpers:TinySource"
    assert str(tmp_path) not in json.dumps(info)


def test_worker_count_and_place_and_time_leave_no_trace_in_the_bytes(tmp_path):
    first = TinySource(make_raw(tmp_path / "raw", 9, bad=[4]))
    prepare(first, tmp_path / "serial", shard_mb=6)
    moved = TinySource(shutil.copytree(tmp_path / "raw", tmp_path / "elsewhere" / "moved"))
    prepare(moved, tmp_path / "pool", shard_mb=6, workers=2)
    assert tree(tmp_path / "serial") == tree(tmp_path / "pool")


def test_samples_are_fitted_to_the_size_and_the_camera_follows(raw, tmp_path):
    prepare(TinySource(raw), tmp_path / "out", size=(6, 6), codec=CodecOptions("png", "float32"))
    shards = ShardSet(tmp_path / "out")
    assert {sample.size for sample in shards} == {(6, 6)}
    # 12 x 16 halves to 6 x 8 and loses one column on each side.
    assert shards[0].intrinsics == shards[3].intrinsics
    camera = shards[0].intrinsics
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (10, 10, (7.5 + 0.5) / 2 - 0.5 - 1, 2.5)


@pytest.mark.parametrize("size", [(6, 6), (5, 16), (12, 3), (24, 30), (13, 17), (1, 1)])
def test_cover_always_ends_in_exactly_the_size(raw, size):
    dense = TinySource(raw).read("000")
    full = dense.replaced(
        target=np.ones(SIZE, np.float32),
        valid=np.ones(SIZE, bool),
        sky=np.zeros(SIZE, bool),
        sigma=np.ones(SIZE, np.float32),
    )
    assert cover(full, size).size == size


def test_a_finished_set_is_left_as_it_is(raw, tmp_path):
    prepare(TinySource(raw), tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    for overwrite in (False, True):
        report = prepare(TinySource(raw), tmp_path / "out", overwrite=overwrite)
        assert (report.reused, report.count) == (True, 9)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"size": (8, 8)}, r"size: was null, now \[8, 8\]"),
        ({"codec": CodecOptions(label="float32")}, 'options.codec.label: was "code16", now "float32"'),
        ({"shard_mb": 3}, "options.shard_mb: was 64, now 3"),
    ],
)
def test_other_options_are_refused_by_name_and_replace_the_set_only_when_asked(raw, tmp_path, change, named):
    prepare(TinySource(raw), tmp_path / "out")
    before = tree(tmp_path / "out")
    with pytest.raises(StorageError, match=f"holds a set made otherwise: {named}; .*--overwrite"):
        prepare(TinySource(raw), tmp_path / "out", **change)
    assert tree(tmp_path / "out") == before
    prepare(TinySource(raw), tmp_path / "out", overwrite=True, **change)
    prepare(TinySource(raw), tmp_path / "fresh", **change)
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_a_set_of_an_older_version_is_refused_by_name_and_replaced_only_when_asked(raw, tmp_path):
    out = tmp_path / "out"
    prepare(TinySource(raw), out)
    fresh = tree(out)
    body = json.loads((out / "index.json").read_text())
    del body["proof"]
    (out / "index.json").write_bytes(pack_record({**body, "schema": 1}))
    with pytest.raises(StorageError, match=r"schema: has schema 1, this version reads 4; .*--overwrite"):
        prepare(TinySource(raw), out)
    prepare(TinySource(raw), out, overwrite=True)
    assert tree(out) == fresh


def test_shards_of_an_older_version_are_not_taken_over(raw, tmp_path):
    out = tmp_path / "out"
    prepare(TinySource(raw), out, shard_mb=6)
    fresh = tree(out)
    (out / "index.json").unlink()
    record = json.loads((out / "00000.json").read_text())
    del record["proof"]
    for column in ("offsets", "lengths", "crc32"):
        record["samples"][column] = [row[:6] for row in record["samples"][column]]
    (out / "00000.json").write_bytes(pack_record({**record, "schema": 1}))
    prepare(TinySource(raw), out, shard_mb=6)
    assert tree(out) == fresh
    assert len(list(ShardSet(out))) == 9


def test_pairs_of_points_are_kept_and_a_sample_that_loses_all_is_skipped(raw, tmp_path):
    report = prepare(PairSource(raw, name="web"), tmp_path / "out", size=(6, 8), max_bad_fraction=0.2)
    assert [(skip.key, skip.reason) for skip in report.skipped] == [
        ("008", "pairs: no pair of points: nothing to learn from")
    ]
    for sample in ShardSet(tmp_path / "out"):
        assert sample.kind.name == "ORDINAL"
        # 12 x 16 pixels halve to 6 x 8; the two neighbours at columns 4 and 5 meet in one pixel.
        assert sample.pairs.tolist() == [[0, 0, 7, 5, 1], [1, 1, 6, 2, -1]]


@pytest.mark.parametrize("names", [["index.json"], ["00000.json", "00001.json"], ["00000.h5", "00007.h5"]])
@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_someone_else_are_never_replaced_or_removed(raw, tmp_path, names, overwrite):
    out = tmp_path / "out"
    out.mkdir()
    for name in [*names, ".notes.tmp"]:
        (out / name).write_text('{"mine": 1}')
    before = tree(out)
    with pytest.raises(StorageError, match=f"out: holds {names[0]}, which no run of prepare has written"):
        prepare(TinySource(raw), out, overwrite=overwrite)
    assert tree(out) == before


def test_a_first_shard_without_a_record_is_replaced(raw, tmp_path):
    prepare(TinySource(raw), tmp_path / "fresh")
    out = tmp_path / "out"
    out.mkdir()
    (out / "00000.h5").write_bytes(b"of a run that was killed before it wrote the record")
    prepare(TinySource(raw), out)
    assert tree(out) == tree(tmp_path / "fresh")


def test_changed_raw_files_are_refused_even_when_size_and_time_are_the_same(raw, tmp_path):
    prepare(TinySource(raw), tmp_path / "out")
    path = raw / "004.npy"
    data, times = bytearray(path.read_bytes()), path.stat()
    data[-1] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(StorageError, match="holds a set made otherwise: raw files: was"):
        prepare(TinySource(raw), tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"window": (16, 6)}, r"options\.settings\.window: was \[8, 6\], now \[16, 6\]"),
        ({"furthest": 80.0}, r'options\.settings\.furthest: was "inf", now 80\.0'),
    ],
)
def test_every_option_of_the_adapter_is_recorded(raw, tmp_path, change, named):
    prepare(ChoosySource(raw), tmp_path / "out")
    assert prepare(ChoosySource(raw), tmp_path / "out").reused
    with pytest.raises(StorageError, match=f"holds a set made otherwise: {named};"):
        prepare(ChoosySource(raw, **change), tmp_path / "out")


def test_raw_names_that_are_not_utf8_come_back_and_pipes_are_bad_samples(raw, tmp_path):
    os.rename(raw / "004.npy", os.fsencode(raw) + b"/m\xfcnchen.npy")  # noqa: PTH104  # a name in Latin-1
    os.mkfifo(raw / "pipe.npy")
    report = prepare(PlainFileSource(raw), tmp_path / "out", max_bad_fraction=1.0)
    assert [skip.key for skip in report.skipped] == ["pipe"]
    assert ShardSet(tmp_path / "out").keys[-1] == "m\udcfcnchen"
    assert prepare(PlainFileSource(raw), tmp_path / "out", max_bad_fraction=1.0).reused


def test_a_set_that_does_not_state_its_version_is_not_taken_for_ours(raw, tmp_path):
    root = tmp_path / "out" / "index.json"
    prepare(TinySource(raw), tmp_path / "out")
    body = json.loads(root.read_text())
    del body["version"], body["proof"]
    root.write_bytes(pack_record(body))
    with pytest.raises(StorageError, match="holds a set made otherwise: version: was null, now"):
        prepare(TinySource(raw), tmp_path / "out")


def test_changed_adapter_is_refused(raw, tmp_path, monkeypatch):
    prepare(TinySource(raw), tmp_path / "out")
    monkeypatch.setattr("depthmix.prepare.describe._code_digest", lambda kind: "other code")
    with pytest.raises(StorageError, match=r"options\.adapter_code: was"):
        prepare(TinySource(raw), tmp_path / "out")


def test_a_damaged_set_is_completed_to_the_same_bytes(raw, tmp_path, caplog):
    out = tmp_path / "out"
    prepare(TinySource(raw), out, shard_mb=6)
    sound = tree(out)
    for name in sound:
        for damage in (lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes() + b"x")):
            damage(out / name)
            caplog.clear()
            with caplog.at_level(logging.WARNING):
                assert not prepare(TinySource(raw), out, shard_mb=6).reused
            assert tree(out) == sound
            assert name == "index.json" or "is damaged and is completed again" in caplog.text


def test_finished_shards_of_a_stopped_run_are_kept_and_not_written_again(raw, tmp_path):
    prepare(TinySource(raw), tmp_path / "whole", shard_mb=6)

    def stop(now):
        if now.done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(TinySource(raw), tmp_path / "out", shard_mb=6, progress=stop)
    assert sorted(tree(tmp_path / "out")) == ["00000.h5", "00000.json", "00001.h5", "00001.json"]
    kept = (tmp_path / "out" / "00000.h5").stat().st_ino
    seen = []
    prepare(TinySource(raw), tmp_path / "out", shard_mb=6, progress=seen.append)
    assert seen[0].done == 7  # six samples lie in the two finished shards
    assert (tmp_path / "out" / "00000.h5").stat().st_ino == kept
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_shards_of_an_abandoned_run_with_other_files_leave_no_trace(raw, tmp_path):
    prepare(TinySource(raw), tmp_path / "out", shard_mb=3)
    (tmp_path / "out" / "index.json").unlink()
    for number in (2, 5, 6, 7, 8):
        (raw / f"00{number}.npy").unlink()
    prepare(TinySource(raw), tmp_path / "out", shard_mb=3)
    prepare(TinySource(raw), tmp_path / "fresh", shard_mb=3)
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_shards_of_an_abandoned_run_with_other_options_leave_no_trace(raw, tmp_path):
    prepare(TinySource(raw), tmp_path / "out", shard_mb=3)
    (tmp_path / "out" / "index.json").unlink()
    options = CodecOptions(image="png")
    prepare(TinySource(raw), tmp_path / "out", shard_mb=3, codec=options)
    prepare(TinySource(raw), tmp_path / "fresh", shard_mb=3, codec=options)
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_a_part_filled_last_shard_grows_when_samples_are_added(raw, tmp_path):
    late = (raw / "008.npy").rename(tmp_path / "late.npy")
    prepare(TinySource(raw), tmp_path / "out", shard_mb=6)
    (tmp_path / "out" / "index.json").unlink()
    late.rename(raw / "008.npy")
    prepare(TinySource(raw), tmp_path / "out", shard_mb=6)
    prepare(TinySource(raw), tmp_path / "fresh", shard_mb=6)
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_bad_samples_are_left_out_and_listed_with_file_and_reason(tmp_path):
    raw = make_raw(tmp_path / "raw", 20, bad=[0, 19])
    nothing_valid = np.load(raw / "001.npy")
    nothing_valid[1] = 0
    np.save(raw / "007.npy", nothing_valid)
    report = prepare(TinySource(raw), tmp_path / "out", max_bad_fraction=0.15, shard_mb=6)
    expected = [
        {"key": "000", "file": "000.npy", "reason": "not an array file"},
        {"key": "007", "file": "007.npy", "reason": "valid: 0 of 192 pixels are valid"},
        {"key": "019", "file": "019.npy", "reason": "not an array file"},
    ]
    lines = (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines()
    shards = ShardSet(tmp_path / "out")
    assert [json.loads(line) for line in lines] == shards.info["skipped"] == expected
    assert [skip.key for skip in report.skipped] == ["000", "007", "019"]
    assert len(shards) == report.count == 17
    assert not {"000", "007", "019"} & set(shards.keys)


def test_bad_samples_in_finished_shards_are_counted_again_after_a_stop(tmp_path):
    raw = make_raw(tmp_path / "raw", 20, bad=[0])
    prepare(TinySource(raw), tmp_path / "out", shard_mb=6)
    whole = tree(tmp_path / "out")
    (tmp_path / "out" / "index.json").unlink()
    assert [skip.key for skip in prepare(TinySource(raw), tmp_path / "out", shard_mb=6).skipped] == ["000"]
    assert tree(tmp_path / "out") == whole
    (tmp_path / "out" / "index.json").unlink()
    with pytest.raises(BadSample):
        prepare(TinySource(raw), tmp_path / "out", shard_mb=6, on_bad="error")


@pytest.mark.parametrize("workers", [0, 2])
def test_on_bad_error_stops_at_the_first_one(tmp_path, workers):
    raw = make_raw(tmp_path / "raw", 9, bad=[3])
    with pytest.raises(BadSample) as caught:
        prepare(TinySource(raw), tmp_path / "out", on_bad="error", workers=workers)
    assert str(caught.value) == (
        f"{raw / '003.npy'}: tiny/003: not an array file; "
        'repair or remove the file, or leave it out with on_bad="skip"'
    )
    assert not (tmp_path / "out").exists()


def test_too_many_bad_samples_stop_the_run_and_nothing_claims_to_be_whole(tmp_path):
    raw = make_raw(tmp_path / "raw", 20, bad=[9, 11, 17])
    with pytest.raises(
        BadSource, match=r"tiny/017: more than 2 of 20 samples are bad, the last: not an array file"
    ):
        prepare(TinySource(raw), tmp_path / "out", shard_mb=6)
    assert "index.json" not in tree(tmp_path / "out")
    assert prepare(TinySource(raw), tmp_path / "out", shard_mb=6, max_bad_fraction=0.15).count == 17


@pytest.mark.parametrize(("count", "fraction"), [(1, 0.1), (5, 1.0)])
def test_a_set_of_nothing_but_bad_samples_always_stops(tmp_path, count, fraction):
    raw = make_raw(tmp_path / "raw", count, bad=range(count))
    with pytest.raises(BadSource, match=f"(?s)all {count} samples are bad.*check the folder and the source"):
        prepare(TinySource(raw), tmp_path / "out", max_bad_fraction=fraction)
    assert not (tmp_path / "out").exists()


def test_a_block_of_bad_samples_alone_is_an_empty_shard(tmp_path):
    raw = make_raw(tmp_path / "raw", 12, bad=[9, 10, 11])
    report = prepare(TinySource(raw), tmp_path / "out", shard_mb=6, max_bad_fraction=0.3)
    shards = ShardSet(tmp_path / "out")
    assert [entry["count"] for entry in shards.info["shards"]] == [3, 3, 3, 0]
    assert [sample.key for sample in shards] == [f"{number:03d}" for number in range(9)]
    assert verify_set(shards.root).problems == []
    assert len(report.skipped) == 3
    assert prepare(TinySource(raw), tmp_path / "out", shard_mb=6, max_bad_fraction=0.3).reused


@pytest.mark.parametrize(
    ("total", "fraction", "allowed"),
    [
        (20, 0.1, 2),
        (30, 0.1, 3),
        (7, 0.0, 0),
        (20, None, 2),
        (999, None, 100),
        (50_000, None, 100),
        (10**6, None, 1000),
    ],
)
def test_a_budget_suits_the_size_of_the_source(total, fraction, allowed):
    assert allowed_bad(total, fraction) == allowed


def test_a_disk_that_is_too_small_is_named_before_anything_is_written(raw, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=9000)
    monkeypatch.setattr("depthmix.prepare.space.shutil.disk_usage", lambda path: usage)
    with pytest.raises(
        StorageError, match=r"about 0\.0 GB are needed for 9 samples, 0\.0 GB are free; free some"
    ):
        prepare(TinySource(raw), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    usage = usage._replace(free=10**9)
    prepare(TinySource(raw), tmp_path / "out")


@pytest.mark.parametrize(("count", "shard_mb"), [(9, 6), (60, 6), (120, 1000)])
def test_the_space_that_is_expected_is_enough_and_not_much_too_large(tmp_path, monkeypatch, count, shard_mb):
    said = []
    monkeypatch.setattr(
        "depthmix.prepare.run.check_space",
        lambda out, blocks, probed: said.append(expected_bytes(blocks, probed)),
    )
    prepare(TinySource(make_raw(tmp_path / "raw", count)), tmp_path / "out", shard_mb=shard_mb)
    taken = sum(map(len, tree(tmp_path / "out").values()))
    assert 0.85 * said[0] <= taken <= said[0]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_jobs_of_an_array_end_in_the_bytes_of_one_run(tmp_path, order):
    source = TinySource(make_raw(tmp_path / "raw", 20, bad=[4]))
    whole = prepare(source, tmp_path / "whole", shard_mb=6)
    for job in order:
        report = prepare(source, tmp_path / "out", shard_mb=6, job_id=job, num_jobs=3, workers=2 * (job == 1))
        assert (report.missing == 0) == (job == order[-1])
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
    assert (report.count, report.skipped) == (whole.count, whole.skipped)
    for job in (0, 5):  # any job may run again, and other arrays, too
        prepare(source, tmp_path / "out", shard_mb=6, job_id=job, num_jobs=6)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_a_job_that_was_killed_is_run_again_and_closes_the_set(tmp_path):
    source = TinySource(make_raw(tmp_path / "raw", 20))
    prepare(source, tmp_path / "whole", shard_mb=6)

    def stop(now):
        if now.done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path / "out", shard_mb=6, job_id=0, num_jobs=2, progress=stop)
    assert prepare(source, tmp_path / "out", shard_mb=6, job_id=1, num_jobs=2).missing > 0
    assert "index.json" not in tree(tmp_path / "out")
    assert prepare(source, tmp_path / "out", shard_mb=6, job_id=0, num_jobs=2).missing == 0
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_jobs_of_an_array_make_changed_raw_files_anew(tmp_path):
    raw = make_raw(tmp_path / "raw", 20)
    for job in (0, 1):
        prepare(TinySource(raw), tmp_path / "out", shard_mb=6, job_id=job, num_jobs=2)
    shutil.copy(raw / "003.npy", raw / "009.npy")
    for job in (0, 1):
        prepare(TinySource(raw), tmp_path / "out", shard_mb=6, job_id=job, num_jobs=2)
    prepare(TinySource(raw), tmp_path / "fresh", shard_mb=6)
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_a_share_of_an_array_refuses_what_cannot_be(raw, tmp_path):
    for options, reason in (
        ({"job_id": 2, "num_jobs": 2}, r"job_id: must be in 0 \.\. 1, got 2"),
        ({"num_jobs": 0}, "num_jobs: must be at least 1, got 0"),
        (
            {"num_jobs": 2, "overwrite": True},
            "overwrite: jobs of an array would remove what the others wrote",
        ),
    ):
        with pytest.raises(ConfigError, match=reason):
            prepare(TinySource(raw), tmp_path / "out", **options)
    prepare(TinySource(raw), tmp_path / "out", shard_mb=6)
    with pytest.raises(StorageError, match=r"holds a set made otherwise: options\.codec\.image: was"):
        prepare(TinySource(raw), tmp_path / "out", shard_mb=6, num_jobs=2, codec=CodecOptions(image="png"))


def test_jobs_of_an_array_share_a_folder_and_others_stay_out(raw, tmp_path):
    with own_folder(tmp_path / "out", shared=True):
        with own_folder(tmp_path / "out", shared=True):
            pass
        with pytest.raises(StorageError, match="another process prepares data in this folder"):
            prepare(TinySource(raw), tmp_path / "out")
        assert prepare(TinySource(raw), tmp_path / "out", num_jobs=2).missing == 0
    with own_folder(tmp_path / "out"), pytest.raises(StorageError, match="another process prepares"):
        prepare(TinySource(raw), tmp_path / "out", num_jobs=2)


def test_an_empty_source_is_an_error_that_says_what_should_lie_there(tmp_path):
    raw = make_raw(tmp_path / "raw", 0)
    with pytest.raises(BadSource, match=r"tiny: no samples found; expected \*\.npy"):
        prepare(TinySource(raw), tmp_path / "out")


def test_a_sample_with_other_tags_than_its_card_is_bad(raw, tmp_path, monkeypatch):
    read = TinySource.read
    monkeypatch.setattr(TinySource, "read", lambda self, key: read(self, "000"))
    report = prepare(TinySource(raw), tmp_path / "out", max_bad_fraction=1.0)
    assert report.count == 1
    assert report.skipped[0].reason == "key: the source states '001', the sample '000'"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mistake_in_an_adapter_is_not_a_bad_sample_and_names_the_sample(raw, tmp_path, workers):
    with pytest.raises(KeyError, match="an adapter bug") as caught:
        prepare(BuggySource(raw), tmp_path / "out", workers=workers)
    assert caught.value.__notes__ == ["while sample tiny/000 was prepared"]


def test_a_source_that_workers_cannot_import_is_refused_before_anything_is_written(raw, tmp_path):
    class LocalSource(TinySource):
        pass

    with pytest.raises(ConfigError, match=r"LocalSource cannot be sent to worker processes .*workers=0"):
        prepare(LocalSource(raw), tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()
    assert prepare(LocalSource(raw), tmp_path / "out").count == 9


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("when", [1, 2, 3, 6, 7])
def test_a_file_system_that_refuses_is_one_error_and_the_next_run_ends_in_the_same_bytes(
    raw, tmp_path, monkeypatch, call, when
):
    prepare(TinySource(raw), tmp_path / "whole", shard_mb=6)
    calls, real = [], getattr(os, call)

    def refuse(*arguments):
        calls.append(arguments)
        if len(calls) >= when:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(StorageError, match="No space left on device; free some space"):
            prepare(TinySource(raw), tmp_path / "out", shard_mb=6)
    out = tmp_path / "out"
    assert not out.exists() or not [
        name for name in tree(out) if name.endswith(".tmp") or name == "index.json"
    ]
    prepare(TinySource(raw), out, shard_mb=6)
    assert tree(out) == tree(tmp_path / "whole")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_one_error(raw, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(StorageError, match="Permission denied; check who owns the folder"):
        prepare(TinySource(raw), tmp_path / "locked" / "out")


def test_permission_denied_is_one_error_with_a_hint(raw, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StorageError, match=r"out: Permission denied; check who owns the folder"):
        prepare(TinySource(raw), tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"size": (0, 4)}, r"size: must be positive, got \(0, 4\)"),
        ({"workers": -1}, "workers: must not be negative, got -1"),
        ({"max_bad_fraction": 1.5}, r"max_bad_fraction: must lie in 0 \.\. 1, got 1.5"),
        ({"shard_mb": 0}, "shard_mb: must be at least 1, got 0"),
    ],
)
def test_impossible_options_are_refused(raw, tmp_path, options, named):
    with pytest.raises(ConfigError, match=named):
        prepare(TinySource(raw), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_writing_into_the_raw_data_is_refused(raw):
    with pytest.raises(ConfigError, match="lies inside the raw data"):
        prepare(TinySource(raw), raw / "out")
    assert not (raw / "out").exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_progress_counts_every_sample_and_what_was_left_out(tmp_path, workers):
    seen = []
    source = TinySource(make_raw(tmp_path / "raw", 9, bad=[2]))
    prepare(source, tmp_path / "out", workers=workers, progress=seen.append)
    assert [now.done for now in seen] == list(range(1, 10))
    assert [now.skipped for now in seen] == [0, 0, 1, 1, 1, 1, 1, 1, 1]
    assert seen[0] == Progress(done=1, total=9, skipped=0, bytes=0, name="tiny")


def test_preparing_needs_no_torch():
    code = "import sys, depthmix.prepare, depthmix.store; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


SCRIPT = """
import sys
import depthmix.prepare.run as run
from tests.store.helpers import TinySource
run.MEBIBYTE = 960
if __name__ == "__main__":
    raw, out, workers, pause = sys.argv[1:]
    source = TinySource(raw, pause=float(pause))
    print("ready", flush=True)
    run.prepare(source, out, shard_mb=3, workers=int(workers))
"""


def start(folder, raw, workers, pause):
    script = folder / "run_prepare.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(raw), str(folder / "out"), str(workers), str(pause)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="lists children through /proc")
def test_workers_end_when_their_parent_is_killed(tmp_path):
    process = start(tmp_path, make_raw(tmp_path / "raw", 12), workers=2, pause=0.3)
    children: list[int] = []
    deadline = time.monotonic() + 20
    while len(children) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
        listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        children = [pid for pid in map(int, listed) if "spawn_main" in command_line(pid)]
    process.kill()
    process.wait()
    process.stdout.close()  # waiting for its end would wait for the workers, which hold it, too
    assert len(children) == 2
    while any("spawn_main" in command_line(pid) for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in children if "spawn_main" in command_line(pid)]


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
