"""What every source has to keep: subclass `SourceContract`, write a small raw data set, get 16 tests."""

import hashlib
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from depthmix.errors import BadSample, BadSource
from depthmix.sample import LabelKind, Sample
from depthmix.sources.base import Source


def digest(sample: Sample) -> str:
    """Return one number over everything a sample holds."""
    arrays = [sample.image, sample.target, sample.valid, sample.sky, sample.planes]
    arrays += [] if sample.sigma is None else [sample.sigma]
    bits = hashlib.sha256(b"".join(array.tobytes() for array in arrays))
    bits.update(repr((sample.intrinsics, sample.quality, sample.kind, sample.source, sample.key)).encode())
    return bits.hexdigest()


def listing(root: Path) -> dict[str, str]:
    """Map each file below `root` to the sha256 of its bytes."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class SourceContract:
    """Inherit as `class TestX(SourceContract)`, write `make`, and set `count`.

    `make` writes raw files below `tmp_path` and returns the source that reads them. A subclass whose files
    are not a folder of its own (an installed package) sets `own_files = False`, which leaves out the tests
    that damage files. Files without a head that could tell (raw float dumps) are named by their suffix in
    `headless`: garbage in them may also end in `BadSample`.
    """

    count = 2
    own_files = True
    headless: tuple[str, ...] = (".bin",)

    def make(self, tmp_path: Path) -> Source:
        raise NotImplementedError

    def _broken_copies(self, tmp_path: Path):
        """Yield (source, key, file) for each file of the first sample, and mend the file afterwards."""
        if not self.own_files:
            pytest.skip("the files belong to an installed package")
        source = self.make(tmp_path)
        key = source.keys()[0]
        for file in source.files(key):
            kept = file.read_bytes()
            yield source, key, file
            file.write_bytes(kept)

    def test_keys_are_sorted_unique_and_stable(self, tmp_path: Path):
        source = self.make(tmp_path)
        keys = list(source.keys())
        assert keys == sorted(set(keys)) == list(source.keys())
        assert len(source) == len(keys) == self.count

    def test_card_states_licence_citation_and_unit(self, tmp_path: Path):
        card = self.make(tmp_path).card
        assert card.licence
        assert card.citation
        assert card.unit or card.kind in (LabelKind.NONE, LabelKind.ORDINAL)

    def test_samples_carry_the_tags_of_the_card(self, tmp_path: Path):
        source = self.make(tmp_path)
        for key in list(source.keys()):
            sample = source.read(key)
            assert (sample.quality, sample.kind) == (source.card.quality, source.card.kind)
            assert (sample.source, sample.key) == (source.name, key)
        assert [sample.key for sample in source] == list(source.keys())

    def test_density_of_the_card_is_true(self, tmp_path: Path):
        source = self.make(tmp_path)
        for sample in source:
            share = sample.valid.mean()
            assert {"dense": share > 0.3, "sparse": 0 < share < 0.5, "none": share == 0}[source.card.density]

    def test_files_exist_and_belong_to_the_root(self, tmp_path: Path):
        source = self.make(tmp_path)
        for key in list(source.keys()):
            files = source.files(key)
            assert files
            assert all(file.is_file() and file.is_relative_to(source.root) for file in files)

    def test_reading_twice_gives_equal_bytes_and_writes_nothing(self, tmp_path: Path):
        source = self.make(tmp_path)
        before = listing(source.root) if self.own_files else {}
        first = [digest(sample) for sample in source]
        assert first == [digest(sample) for sample in source]
        assert len(set(first)) == len(first)
        assert before == (listing(source.root) if self.own_files else {})

    def test_source_survives_pickling(self, tmp_path: Path):
        source = self.make(tmp_path)
        copy = pickle.loads(pickle.dumps(source))
        key = source.keys()[-1]
        assert (type(copy), copy.name, list(copy.keys())) == (type(source), source.name, list(source.keys()))
        assert digest(copy.read(key)) == digest(source.read(key))

    def test_missing_folder_is_named_with_a_hint(self, tmp_path: Path):
        absent = tmp_path / "absent"
        with pytest.raises(BadSource, match="no such folder") as caught:
            type(self.make(tmp_path))(absent)
        assert caught.value.file == absent
        assert caught.value.hint

    def test_empty_folder_is_a_clear_error(self, tmp_path: Path):
        kind = type(self.make(tmp_path))
        empty = tmp_path / "empty"
        empty.mkdir()
        with pytest.raises(BadSource) as caught:
            kind(empty).keys()
        assert str(empty) in str(caught.value)
        assert caught.value.hint

    def test_files_that_a_system_adds_are_no_samples(self, tmp_path: Path):
        if not self.own_files:
            pytest.skip("the files belong to an installed package")
        source = self.make(tmp_path)
        for file in source.files(source.keys()[0]):
            file.with_name(f"._{file.name}").write_bytes(b"as a Mac leaves beside every file it packs")
        assert list(type(source)(source.root, name=source.name).keys()) == list(source.keys())

    def test_unknown_key_is_bad_source(self, tmp_path: Path):
        with pytest.raises(BadSource):
            self.make(tmp_path).read("no-such-key")

    def test_missing_file_is_named(self, tmp_path: Path):
        for source, key, file in self._broken_copies(tmp_path):
            file.unlink()
            with pytest.raises(BadSource) as caught:
                source.read(key)
            assert file.name in str(caught.value)

    def test_truncated_file_is_named(self, tmp_path: Path):
        for source, key, file in self._broken_copies(tmp_path):
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2 - 1])
            with pytest.raises(
                (BadSource, BadSample) if file.suffix in self.headless else BadSource
            ) as caught:
                source.read(key)
            assert file.name in str(caught.value)

    def test_garbage_file_is_named(self, tmp_path: Path):
        garbage = np.random.default_rng(0).bytes(4096)
        for source, key, file in self._broken_copies(tmp_path):
            file.write_bytes(garbage)
            with pytest.raises(
                (BadSource, BadSample) if file.suffix in self.headless else BadSource
            ) as caught:
                source.read(key)
            assert file.name in str(caught.value)

    def test_empty_file_is_named(self, tmp_path: Path):
        for source, key, file in self._broken_copies(tmp_path):
            file.write_bytes(b"")
            with pytest.raises(
                (BadSource, BadSample) if file.suffix in self.headless else BadSource
            ) as caught:
                source.read(key)
            assert file.name in str(caught.value)

    def test_folder_can_be_moved(self, tmp_path: Path):
        if not self.own_files:
            pytest.skip("the files belong to an installed package")
        source = self.make(tmp_path)
        moved = tmp_path / "moved"
        shutil.copytree(source.root, moved)
        there = type(source)(moved, name=source.name)
        assert [digest(sample) for sample in there] == [digest(sample) for sample in source]


def import_footprint(module: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter has loaded after `import module`."""
    code = f"import sys, {module}; print(' '.join(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return set(done.stdout.split())
