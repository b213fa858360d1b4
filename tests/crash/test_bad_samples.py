"""Bad samples neither stop a run under the budget nor go unseen, and too many say what is wrong."""

import json
import random

import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.prepare import prepare, reasons
from depthmix.store import CodecOptions, ShardSet, Skipped, encode_sample
from depthmix.store.verify import verify_set
from tests.store.helpers import SIZE, TinySource, make_raw, raw_arrays


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr("depthmix.prepare.run.MEBIBYTE", 960)


def spoil(path, kind: str) -> str:
    """Make a raw file bad in one of four ways and return the reason that is expected."""
    maps = raw_arrays(0)
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:1000])
        return "not an array file"
    if kind == "empty":
        path.write_bytes(b"")
        return "not an array file"
    if kind == "nothing valid":
        maps[1] = 0
        np.save(path, maps)
        return f"valid: 0 of {SIZE[0] * SIZE[1]} pixels are valid"
    maps[1, 5, 5] = np.inf
    np.save(path, maps)
    return "target: "


def one_in_a_hundred(tmp_path, count: int) -> None:
    raw = make_raw(tmp_path / "raw", count)
    source = TinySource(raw)
    keys = list(source.keys())
    draw = random.Random(count)
    kinds = ("cut", "empty", "nothing valid", "infinite")
    expected = {
        key: spoil(raw / f"{key}.npy", kinds[number % 4])
        for number, key in enumerate(sorted(draw.sample(keys, count // 100)))
    }
    report = prepare(source, tmp_path / "out", shard_mb=200)
    lines = (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines()
    listed = [json.loads(line) for line in lines]
    assert [line["key"] for line in listed] == [key for key in keys if key in expected]
    for line in listed:
        assert line["file"] == f"{line['key']}.npy"
        assert line["reason"].startswith(expected[line["key"]])
    shards = ShardSet(tmp_path / "out")
    assert list(shards.keys) == [key for key in keys if key not in expected]
    assert verify_set(shards.root).problems == []
    for row in draw.sample(range(len(shards)), 20):
        alone = encode_sample(source.read(shards.keys[row]), CodecOptions())
        assert encode_sample(shards[row], CodecOptions()).blobs[1:] == alone.blobs[1:]  # labels, exactly
    print(f"{count} samples, {len(expected)} bad: {report.count} prepared, {len(listed)} listed")  # noqa: T201


def test_one_bad_sample_in_a_hundred_is_listed_and_the_others_keep_their_order(tmp_path):
    one_in_a_hundred(tmp_path, 1000)


@pytest.mark.slow
def test_one_bad_sample_in_a_hundred_of_ten_thousand(tmp_path):
    one_in_a_hundred(tmp_path, 10_000)


def test_one_bad_sample_too_many_stops_with_a_table_by_reason(tmp_path):
    raw = make_raw(tmp_path / "raw", 40, bad=[2, 7, 21])
    for number in (4, 11):
        spoil(raw / f"{number:03d}.npy", "nothing valid")
    with pytest.raises(BadSource) as caught:
        prepare(TinySource(raw), tmp_path / "out", shard_mb=6)
    assert str(caught.value) == (
        f"{raw}/021.npy: tiny/021: more than 4 of 40 samples are bad, the last: not an array file\n"
        "source and number of bad samples, reason\n"
        "tiny       3  not an array file, first 002\n"
        "tiny       2  valid: 0 of 192 pixels are valid, first 004\n"
        "repair the files or raise max_bad_fraction"
    )


def test_a_shard_of_nothing_but_bad_samples_stops_at_once(tmp_path):
    raw = make_raw(tmp_path / "raw", 400, bad=range(12, 25))
    done = []
    with pytest.raises(BadSource) as caught:
        prepare(TinySource(raw), tmp_path / "out", shard_mb=16, progress=done.append)
    assert "tiny: all 8 samples of a shard are bad, from 016 to 023\n" in str(caught.value)
    assert "tiny      12  not an array file, first 012\n" in str(caught.value)
    assert "state max_bad_fraction" in str(caught.value)
    assert done[-1].done < 25
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["00000.h5", "00000.json", "00001.h5", "00001.json"]
    assert prepare(TinySource(raw), tmp_path / "out", shard_mb=16, max_bad_fraction=0.1).count == 387


def test_the_table_counts_reasons_that_differ_in_figures_as_one_and_has_an_end():
    skipped = [Skipped(str(number), "", f"valid: {number} of 9 pixels") for number in range(5)]
    skipped += [Skipped(letter * 9, "", f"reason {letter}") for letter in "abc"]
    assert reasons("web", skipped, most=2).splitlines() == [
        "source and number of bad samples, reason",
        "web       5  valid: 0 of 9 pixels, first 0",
        "web       1  reason a, first aaaaaaaaa",
        "web       2  for 2 other reasons",
    ]
