"""What every source has to keep: subclass `SourceContract`, write a small raw data set, get 23 tests."""

import hashlib
import multiprocessing
import pickle
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from depthmix.errors import BadSample, BadSource
from depthmix.sample import Intrinsics, LabelKind, Sample
from depthmix.sources.base import Source

__all__ = ["SourceContract", "Truth", "digest", "listing", "same_partition"]


def digest(sample: Sample) -> str:
    """Return one number over everything a sample holds."""
    arrays = [sample.image, sample.target, sample.valid, sample.sky, sample.planes]
    arrays += [array for array in (sample.sigma, sample.pairs) if array is not None]
    bits = hashlib.sha256(b"".join(array.tobytes() for array in arrays))
    bits.update(repr((sample.intrinsics, sample.quality, sample.kind, sample.source, sample.key)).encode())
    return bits.hexdigest()


@dataclass(frozen=True)
class Truth:
    """What a sample must hold, as its writer knows it.

    `target` is NaN where nothing may be valid. `rtol` and `atol` cover what the raw encoding rounds off.
    `sky` and `planes` are compared when given (planes up to their numbers), `intrinsics` always.
    """

    target: np.ndarray
    intrinsics: Intrinsics | None
    rtol: float = 1e-5
    atol: float = 0.0
    sky: np.ndarray | None = None
    planes: np.ndarray | None = None


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    """Tell whether two id maps separate the same instances, whatever the numbers; 0 stays 0."""
    pairs = np.unique(np.stack([a.ravel(), b.ravel()], 1), axis=0)
    one_to_one = all(len(np.unique(pairs[:, side])) == len(pairs) for side in (0, 1))
    return one_to_one and not ((pairs == 0).any(1) & (pairs != 0).any(1)).any()


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

    `truth` returns what a sample must hold; a subclass without it tests values on its own. `any_size` lists
    the ends of names of files whose rows and columns may differ from those of the image, `any_bits` of those
    that may have 8 bits as well as 16, `optional` of those that may be absent.
    `again` constructs the source for another folder where it needs more than a root.
    """

    # Not collected where it is imported, only where it is inherited from.
    __test__: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        cls.__test__ = True

    count = 2
    own_files = True
    headless: tuple[str, ...] = (".bin",)
    any_size: tuple[str, ...] = ()
    any_bits: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    def make(self, tmp_path: Path) -> Source:
        """Write a small raw data set below `tmp_path` and return the source that reads it."""
        raise NotImplementedError

    def truth(self, source: Source, key: str) -> Truth | None:
        """Return what the sample must hold, or None where other tests compare values."""
        return None

    def again(self, source: Source, root: Path) -> Source:
        """Construct the source for another folder."""
        return type(source)(root, name=source.name)

    def _broken_copies(self, tmp_path: Path) -> Iterator[tuple[Source, str, Path]]:
        """Yield (source, key, file) for each file of the first sample, and mend the file afterwards."""
        if not self.own_files:
            pytest.skip("the files belong to an installed package")
        source = self.make(tmp_path)
        key = source.keys()[0]
        for file in source.files(key):
            kept = file.read_bytes()
            # Another source for each file: tables that were read once are remembered.
            yield self.again(source, source.root), key, file
            file.write_bytes(kept)

    def test_keys_are_sorted_unique_and_stable(self, tmp_path: Path) -> None:
        source = self.make(tmp_path)
        keys = list(source.keys())
        assert keys == sorted(set(keys)) == list(source.keys())
        assert len(source) == len(keys) == self.count

    def test_card_states_licence_citation_and_unit(self, tmp_path: Path) -> None:
        card = self.make(tmp_path).card
        assert card.licence
        assert card.citation
        assert card.unit or card.kind in (LabelKind.NONE, LabelKind.ORDINAL)

    def test_samples_carry_the_tags_of_the_card(self, tmp_path: Path) -> None:
        source = self.make(tmp_path)
        for key in list(source.keys()):
            sample = source.read(key)
            assert (sample.quality, sample.kind) == (source.card.quality, source.card.kind)
            assert (sample.source, sample.key) == (source.name, key)
        assert [sample.key for sample in source] == list(source.keys())

    def test_density_of_the_card_is_true(self, tmp_path: Path) -> None:
        source = self.make(tmp_path)
        for sample in source:
            share = sample.valid.mean()
            assert {"dense": share > 0.3, "sparse": 0 < share < 0.5, "none": share == 0}[source.card.density]

    def test_files_exist_and_belong_to_the_root(self, tmp_path: Path) -> None:
        source = self.make(tmp_path)
        for key in list(source.keys()):
            files = source.files(key)
            assert files
            assert all(file.is_file() and file.is_relative_to(source.root) for file in files)

    def test_reading_twice_gives_equal_bytes_and_writes_nothing(self, tmp_path: Path) -> None:
        source = self.make(tmp_path)
        before = listing(source.root) if self.own_files else {}
        first = [digest(sample) for sample in source]
        assert first == [digest(sample) for sample in source]
        assert len(set(first)) == len(first)
        assert before == (listing(source.root) if self.own_files else {})

    def test_source_survives_pickling(self, tmp_path: Path) -> None:
        source = self.make(tmp_path)
        copy = pickle.loads(pickle.dumps(source))
        key = source.keys()[-1]
        assert (type(copy), copy.name, list(copy.keys())) == (type(source), source.name, list(source.keys()))
        assert digest(copy.read(key)) == digest(source.read(key))

    def test_missing_folder_is_named_with_a_hint(self, tmp_path: Path) -> None:
        absent = tmp_path / "absent"
        with pytest.raises(BadSource, match="no such folder") as caught:
            self.again(self.make(tmp_path), absent)
        assert caught.value.file == absent
        assert caught.value.hint

    def test_empty_folder_is_a_clear_error(self, tmp_path: Path) -> None:
        source = self.make(tmp_path)
        empty = tmp_path / "empty"
        empty.mkdir()
        with pytest.raises(BadSource) as caught:
            self.again(source, empty).keys()
        assert str(empty) in str(caught.value)
        assert caught.value.hint

    def test_files_that_a_system_adds_are_no_samples(self, tmp_path: Path) -> None:
        if not self.own_files:
            pytest.skip("the files belong to an installed package")
        source = self.make(tmp_path)
        for file in source.files(source.keys()[0]):
            file.with_name(f"._{file.name}").write_bytes(b"as a Mac leaves beside every file it packs")
        assert list(self.again(source, source.root).keys()) == list(source.keys())

    def test_unknown_key_is_bad_source(self, tmp_path: Path) -> None:
        with pytest.raises(BadSource):
            self.make(tmp_path).read("no-such-key")

    def test_missing_file_is_named(self, tmp_path: Path) -> None:
        for source, key, file in self._broken_copies(tmp_path):
            if file.name.endswith(self.optional):
                continue
            file.unlink()
            with pytest.raises(BadSource) as caught:
                source.read(key)
            assert file.name in str(caught.value)

    def test_truncated_file_is_named(self, tmp_path: Path) -> None:
        for source, key, file in self._broken_copies(tmp_path):
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2 - 1])
            with pytest.raises(
                (BadSource, BadSample) if file.suffix in self.headless else BadSource
            ) as caught:
                source.read(key)
            assert file.name in str(caught.value)

    def test_garbage_file_is_named(self, tmp_path: Path) -> None:
        garbage = np.random.default_rng(0).bytes(4096)
        for source, key, file in self._broken_copies(tmp_path):
            file.write_bytes(garbage)
            with pytest.raises(
                (BadSource, BadSample) if file.suffix in self.headless else BadSource
            ) as caught:
                source.read(key)
            assert file.name in str(caught.value)

    def test_empty_file_is_named(self, tmp_path: Path) -> None:
        for source, key, file in self._broken_copies(tmp_path):
            file.write_bytes(b"")
            with pytest.raises(
                (BadSource, BadSample) if file.suffix in self.headless else BadSource
            ) as caught:
                source.read(key)
            assert file.name in str(caught.value)

    def test_folder_can_be_moved(self, tmp_path: Path) -> None:
        if not self.own_files:
            pytest.skip("the files belong to an installed package")
        source = self.make(tmp_path)
        moved = tmp_path / "moved"
        shutil.copytree(source.root, moved)
        there = self.again(source, moved)
        assert [digest(sample) for sample in there] == [digest(sample) for sample in source]

    def _truths(self, tmp_path: Path) -> Iterator[tuple[Sample, Truth]]:
        source = self.make(tmp_path)
        for key in list(source.keys()):
            truth = self.truth(source, key)
            if truth is None:
                pytest.skip("values are checked by tests of this source's own")
            yield source.read(key), truth

    def test_target_and_validity_are_what_was_written(self, tmp_path: Path) -> None:
        for sample, truth in self._truths(tmp_path):
            known = np.isfinite(truth.target)
            np.testing.assert_array_equal(sample.valid, known)
            np.testing.assert_allclose(
                sample.target[known], truth.target[known], rtol=truth.rtol, atol=truth.atol
            )

    def test_camera_sky_and_planes_are_what_was_written(self, tmp_path: Path) -> None:
        for sample, truth in self._truths(tmp_path):
            if truth.intrinsics is None or sample.intrinsics is None:
                assert sample.intrinsics == truth.intrinsics
            else:
                stated, found = ((k.fx, k.fy, k.cx, k.cy) for k in (truth.intrinsics, sample.intrinsics))
                np.testing.assert_allclose(found, stated, rtol=1e-5, atol=1e-3)
            if truth.sky is not None:
                np.testing.assert_array_equal(sample.sky, truth.sky)
            if truth.planes is not None:
                assert same_partition(sample.planes, truth.planes)

    def test_camera_and_unit_are_plausible(self, tmp_path: Path) -> None:
        for sample in self.make(tmp_path):
            if sample.kind is not LabelKind.METRIC_DEPTH or sample.intrinsics is None:
                continue
            camera = sample.intrinsics
            # The principal point of a photo lies in its middle third unless it was cropped hard.
            assert 0.2 < (camera.cx + 0.5) / sample.size[1] < 0.8
            assert 0.1 < (camera.cy + 0.5) / sample.size[0] < 0.9
            assert 0.01 < np.median(sample.target[sample.valid]) < 1000, "is the unit metres?"

    def test_label_of_another_size_is_named(self, tmp_path: Path) -> None:
        for source, key, file in self._broken_copies(tmp_path):
            if file.name.endswith(self.any_size) or not crop_file(file):
                continue
            with pytest.raises((BadSource, BadSample)) as caught:
                source.read(key)
            # Which of two files that disagree is the wrong one, nobody knows.
            assert any(named.name in str(caught.value) for named in source.files(key))

    def test_16_bit_label_saved_with_8_bits_is_named(self, tmp_path: Path) -> None:
        for source, key, file in self._broken_copies(tmp_path):
            if file.name.endswith(self.any_bits) or not squeeze_file(file):
                continue
            with pytest.raises((BadSource, BadSample)) as caught:
                source.read(key)
            assert file.name in str(caught.value)

    def test_threads_may_share_a_source(self, tmp_path: Path) -> None:
        source = self.make(tmp_path)
        keys = list(source.keys()) * 3
        alone = [digest(source.read(key)) for key in keys]
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda key: digest(source.read(key)), keys)) == alone

    def test_a_forked_process_reads_the_same(self, tmp_path: Path) -> None:
        source = self.make(tmp_path)
        key = source.keys()[0]
        alone = digest(source.read(key))
        with multiprocessing.get_context("fork").Pool(1) as pool:
            assert pool.apply_async(_read_digest, (source, key)).get(timeout=60) == alone


def _read_digest(source: Source, key: str) -> str:
    return digest(source.read(key))


def crop_file(file: Path) -> bool:
    """Rewrite a picture or an array without its last row; tell whether the file is of such a kind."""
    import cv2

    if file.suffix == ".npy":
        values = np.load(file)
        if values.ndim < 2 or len(values) <= 4:
            return False
        np.save(file, values[:-1])
        return True
    pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED) if file.suffix in (".png", ".jpg") else None
    return pixels is not None and cv2.imwrite(str(file), pixels[:-1])


def squeeze_file(file: Path) -> bool:
    """Rewrite a 16-bit PNG with 8 bits; tell whether the file was one."""
    import cv2

    pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED) if file.suffix == ".png" else None
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 2:
        return False
    return cv2.imwrite(str(file), np.minimum(pixels // 256 + pixels % 256, 255).astype(np.uint8))
