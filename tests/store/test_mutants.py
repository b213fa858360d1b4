"""A prepared set proves itself: whatever is done to its files is named, and never read as something else."""

import numpy as np
import pytest

from depthmix.errors import DepthmixError
from depthmix.prepare import prepare
from depthmix.store.reader import ShardSet
from depthmix.store.verify import verify_set
from tests.store.helpers import TinySource, make_raw
from tests.store.mutants import draw, headers


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Four shards with three samples left out, so that no file is empty."""
    out = tmp_path_factory.mktemp("prepared") / "tiny"
    raw = make_raw(tmp_path_factory.mktemp("raw"), 11, bad=[3, 7, 8])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("depthmix.prepare.run.MEBIBYTE", 5800)
        prepare(TinySource(raw), out, shard_mb=1, max_bad_fraction=0.5)
    assert len(list(out.glob("*.h5"))) >= 3
    return out


@pytest.fixture(scope="module")
def files(root):
    return {path.name: path.read_bytes() for path in sorted(root.iterdir())}


def check(root, files, mutants):
    """Apply each mutant in turn, and undo it; return how many were noticed by reading alone."""
    expected, by_reading = read_or_error(root), 0
    assert isinstance(expected, list)
    for number, mutant in enumerate(mutants):
        for name, data in mutant.changes.items():
            write(root / name, data)
        named = {problem.file.name for problem in verify_set(root).problems}
        found = read_or_error(root)
        for name in mutant.changes:
            write(root / name, files.get(name))
        assert set(mutant.named) & named, f"mutant {number}, {mutant.what}: verify named {sorted(named)}"
        wrong = f"mutant {number}, {mutant.what}: other values were read"
        assert getattr(found, "file", None) is not None or found == expected, wrong
        by_reading += isinstance(found, DepthmixError)
    assert verify_set(root).problems == []
    return by_reading


def write(path, data):
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)


def read_or_error(root):
    try:
        return [contents(sample) for sample in ShardSet(root)]
    except DepthmixError as error:
        return error


def contents(sample):
    arrays = [getattr(sample, name) for name in ("image", "target", "valid", "sky", "planes", "sigma")]
    return (sample.key, *(array.tobytes() for array in arrays), sample.intrinsics)


def test_four_hundred_mutants_are_named_and_never_read_as_other_values(root, files):
    random = np.random.default_rng(7)
    assert check(root, files, [draw(files, random) for _ in range(400)]) > 200


def test_every_bit_at_the_head_of_every_file_counts(root, files):
    check(root, files, headers(files, 24))


@pytest.mark.slow
def test_ten_thousand_mutants_are_named_and_never_read_as_other_values(root, files):
    random = np.random.default_rng(11)
    mutants = headers(files, 128)
    mutants += [draw(files, random) for _ in range(10_000 - len(mutants))]
    assert check(root, files, mutants) > 5_000
