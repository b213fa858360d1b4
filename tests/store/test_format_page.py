"""The page about the format is right: its reader, which shares no code with ours, gives the same samples."""

import re
from pathlib import Path

import numpy as np
import pytest

from depthmix.prepare import prepare
from depthmix.sample import LabelKind, Quality
from depthmix.sources.base import SourceCard
from depthmix.store import CodecOptions, ShardSet
from depthmix.store.codec import log16_error
from depthmix.store.shard import SCHEMA
from tests.store.helpers import PairSource, TinySource, make_raw

PAGE = (Path(__file__).parents[2] / "docs" / "format.md").read_text()


class Inverse(TinySource):
    card = SourceCard(
        "web stereo", Quality.LOW, LabelKind.AFFINE_DISPARITY, "", "sparse", "", "CC0-1.0", "nobody"
    )


@pytest.fixture(scope="module")
def read_shard():
    """The function that stands on the page."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    found: dict = {}
    exec(compile(code, "docs/format.md", "exec"), found)
    return found["read_shard"]


@pytest.mark.parametrize("kind", [TinySource, Inverse, PairSource])
@pytest.mark.parametrize("codec", [CodecOptions(), CodecOptions(image="png", label="float32")])
def test_the_reader_of_the_page_gives_our_samples(tmp_path, read_shard, kind, codec, monkeypatch):
    monkeypatch.setattr("depthmix.prepare.run.MEBIBYTE", 960)
    source = kind(make_raw(tmp_path / "raw", 7, bad=[2] if kind is TinySource else []))
    prepare(source, tmp_path / "out", codec=codec, shard_mb=5, max_bad_fraction=0.2)
    ours = list(ShardSet(tmp_path / "out"))
    theirs = [sample for path in sorted((tmp_path / "out").glob("*.h5")) for sample in read_shard(path)]
    assert len(ours) == len(theirs) > 0
    for sample, (key, image, target, valid, sky, planes, sigma, pairs, camera) in zip(
        ours, theirs, strict=True
    ):
        assert key == sample.key
        assert np.abs(image.astype(int) - sample.image).max() <= 2  # two JPEG decoders
        np.testing.assert_allclose(target, sample.target, rtol=1e-6)
        for got, expected in ((valid, sample.valid), (sky, sample.sky), (planes, sample.planes)):
            np.testing.assert_array_equal(got, expected)
        assert (sigma is None) == (sample.sigma is None)
        if sigma is not None:
            np.testing.assert_allclose(sigma, sample.sigma, rtol=1e-6)
        np.testing.assert_array_equal(pairs, np.zeros((0, 5)) if sample.pairs is None else sample.pairs)
        if sample.intrinsics is None:
            assert np.isnan(camera).all()
        else:
            k = sample.intrinsics
            assert camera.tolist() == [k.fx, k.fy, k.cx, k.cy]


def test_the_page_states_the_version_and_the_error_that_the_code_has():
    assert f"Format {SCHEMA}." in PAGE
    assert f"{log16_error(0.5, 80):.1e}".replace("e-0", "e-") in PAGE
