"""Pairs without labels from the web: Holopix50k and frames of 3D films."""

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.sources.holopix import Holopix50k
from depthmix.sources.wsvd import Wsvd, read_clips
from depthmix.testing import SourceContract
from tests.data.web_pairs.make import BARS, CLIPS, make_holopix, make_wsvd


def correlation(sample, truth):
    return np.corrcoef(sample.target[sample.valid], truth[sample.valid])[0, 1]


class TestHolopix(SourceContract):
    def make(self, tmp_path):
        make_holopix(tmp_path / "Holopix50k")
        return Holopix50k(tmp_path / "Holopix50k")


def test_disparities_on_both_sides_of_zero_are_kept(tmp_path):
    known = make_holopix(tmp_path)
    for sample in Holopix50k(tmp_path):
        truth = known[sample.key]
        assert truth.min() < 0 < truth.max()
        assert sample.valid[truth < 0].mean() > 0.5
        assert sample.valid[truth > 0].mean() > 0.5
        assert correlation(sample, truth) > 0.99, "nearer must be larger"


def test_views_have_names_of_their_own_side(tmp_path):
    make_holopix(tmp_path, count=1)
    source = Holopix50k(tmp_path)
    (key,) = source.keys()
    assert [file.name for file in source.files(key)] == [f"{key}_left.jpg", f"{key}_right.jpg"]


def test_splits_of_holopix_are_apart(tmp_path):
    make_holopix(tmp_path, split="train", count=3)
    make_holopix(tmp_path, split="val", count=1)
    assert [len(Holopix50k(tmp_path, split=split)) for split in ("train", "val")] == [3, 1]
    with pytest.raises(BadSource, match="test"):
        Holopix50k(tmp_path, split="test")


def test_unknown_split_is_an_argument_error(tmp_path):
    with pytest.raises(ValueError, match="`split` must be one of"):
        Holopix50k(tmp_path, split="all")


def test_a_withdrawn_right_view_is_named(tmp_path):
    make_holopix(tmp_path)
    source = Holopix50k(tmp_path)
    right = source.files(source.keys()[0])[1]
    right.unlink()
    assert len(Holopix50k(tmp_path)) == 2
    with pytest.raises(BadSource, match=right.name):
        Holopix50k(tmp_path).read(source.keys()[0])


def test_views_of_two_sizes_are_refused(tmp_path):
    make_holopix(tmp_path)
    source = Holopix50k(tmp_path)
    _, right = source.files(source.keys()[0])
    cv2.imwrite(str(right), cv2.imread(str(right))[:, :-8])
    with pytest.raises(BadSource, match="differ in size"):
        source.read(source.keys()[0])


class TestWsvd(SourceContract):
    any_size = (".png",)  # both views lie in one file, so they lose a row together

    def make(self, tmp_path):
        make_wsvd(tmp_path / "wsvd")
        return Wsvd(tmp_path / "wsvd")


@pytest.mark.parametrize("top_bottom", [False, True])
@pytest.mark.parametrize("squeezed", [False, True])
@pytest.mark.parametrize("swapped", [False, True])
def test_the_left_view_is_found_in_every_arrangement(tmp_path, top_bottom, squeezed, swapped):
    known = make_wsvd(tmp_path, count=1, top_bottom=top_bottom, squeezed=squeezed, swapped=swapped)
    arrangement = "top bottom" if top_bottom else "side by side"
    for sample in Wsvd(tmp_path, arrangement=arrangement, squeezed=squeezed):
        assert sample.size == known[sample.key].shape
        assert correlation(sample, known[sample.key]) > 0.99, "nearer must be larger"


def test_without_the_list_views_stay_in_their_order(tmp_path):
    known = make_wsvd(tmp_path, count=1, swapped=True)
    (tmp_path / CLIPS).unlink()
    (sample,) = Wsvd(tmp_path, clips="")
    assert correlation(sample, known[sample.key][:, ::-1]) < 0.5
    with pytest.raises(BadSource, match=CLIPS):
        Wsvd(tmp_path).keys()


def test_frames_that_the_list_lacks_are_no_samples(tmp_path):
    make_wsvd(tmp_path)
    frame = next(tmp_path.glob("*/*.png"))
    frame.with_name("000999.png").write_bytes(frame.read_bytes())
    assert len(Wsvd(tmp_path)) == 2
    assert len(Wsvd(tmp_path, clips="")) == 3
    with pytest.raises(BadSource, match="does not list"):
        Wsvd(tmp_path).read(f"{frame.parent.name}/000999")


def test_black_bars_are_not_valid(tmp_path):
    make_wsvd(tmp_path, bars=True)
    for sample in Wsvd(tmp_path):
        assert not sample.valid[:BARS].any()
        assert not sample.valid[-BARS:].any()
        assert sample.valid[BARS:-BARS].mean() > 0.5


def test_a_list_that_runs_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    make_wsvd(tmp_path)
    (tmp_path / CLIPS).write_bytes(pickle.dumps([Trap()]))
    with pytest.raises(BadSource, match="no plain data"):
        Wsvd(tmp_path).keys()
    assert not (tmp_path / "ran").exists()


def test_a_list_of_another_form_is_refused(tmp_path):
    (tmp_path / CLIPS).write_bytes(pickle.dumps([{"name": "a", "clips": [{"frames": [1]}]}]))
    with pytest.raises(BadSource, match=f"{CLIPS}.*label"):
        read_clips(tmp_path / CLIPS)


def test_a_frame_with_odd_columns_holds_no_two_views(tmp_path):
    make_wsvd(tmp_path, count=1)
    source = Wsvd(tmp_path)
    (key,) = source.keys()
    frame = source.files(key)[-1]
    cv2.imwrite(str(frame), cv2.imread(str(frame))[:, 1:])
    with pytest.raises(BadSource, match="319 columns can not hold two equal views"):
        source.read(key)


def test_unknown_arrangement_is_an_argument_error(tmp_path):
    with pytest.raises(ValueError, match="`arrangement` must be one of"):
        Wsvd(tmp_path, arrangement="left right")
