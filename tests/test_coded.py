"""A sample in codes gives just what the sample itself gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthmix.augment import AugmentOptions, augment, crop
from depthmix.coded import CodedImage, CodedMap, CodedSample
from depthmix.errors import BadSample
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample

NAMES = ("image", "target", "valid", "sky", "planes", "sigma", "intrinsics", "pairs", "kind", "key")


def coded(rows: int, columns: int, share: float, seed: int, **changes: object) -> CodedSample:
    random = np.random.default_rng(seed)
    values = np.concatenate([[0], random.random(500) + 0.5]).astype(np.float32)
    codes = random.integers(1, 501, (rows, columns)).astype(np.uint16)
    valid = random.random((rows, columns)) < share
    valid[0, 0] = True
    image = random.integers(0, 256, (rows, columns, 3)).astype(np.uint8)
    fields = {
        "image": CodedImage((rows, columns), image.__getitem__),
        "target": CodedMap(codes * valid, values),
        "valid": valid,
        "sky": ~valid & (random.random((rows, columns)) < 0.5),
        "planes": random.integers(0, 5, (rows, columns)).astype(random.choice(["u1", "u2", "i4"])),
        "sigma": CodedMap(codes * valid, values / 10),
        "intrinsics": Intrinsics(40, 44, columns / 2, rows / 2),
        "quality": Quality.HIGH,
        "kind": LabelKind.METRIC_DEPTH,
        "source": "made",
        "key": "0",
    }
    return CodedSample(**{**fields, **changes})


def same(one: Sample, other: Sample) -> bool:
    pairs = [(getattr(one, name), getattr(other, name)) for name in NAMES]
    return all(np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b for a, b in pairs)


sizes = st.integers(2, 30)


@given(sizes, sizes, st.sampled_from([0.02, 0.4, 1.0]), st.integers(0, 99))
def test_the_whole_keeps_all_rules_and_is_looked_up_by_code(rows, columns, share, seed):
    one = coded(rows, columns, share, seed)
    whole = one.whole()
    assert same(whole, whole.replaced())
    assert (whole.target == one.target.values[one.target.codes]).all()
    assert (whole.sigma == one.sigma.values[one.sigma.codes]).all()
    assert (whole.target[~whole.valid] == 0).all()
    assert whole.planes.dtype == np.int32
    assert crop(one, 0, 0, 1, 1).planes.dtype == one.planes.dtype  # as stored, until it is in a batch


@given(sizes, sizes, st.sampled_from([0.02, 0.4, 1.0]), st.integers(0, 99), st.data())
def test_a_window_is_that_of_the_whole(rows, columns, share, seed, data):
    one = coded(rows, columns, share, seed)
    top, left = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    box = (top, left, data.draw(st.integers(1, rows - top)), data.draw(st.integers(1, columns - left)))
    try:
        expected = crop(one.whole(), *box)
    except BadSample as error:
        with pytest.raises(BadSample, match=error.reason):
            crop(one, *box)
    else:
        assert same(crop(one, *box), expected)


@given(sizes, sizes, st.sampled_from([0.02, 0.4, 1.0]), st.integers(0, 99))
def test_it_is_varied_as_the_whole_is(rows, columns, share, seed):
    one, options = coded(rows, columns, share, seed), AugmentOptions(height=8, width=12)
    draws = {"seed": seed, "epoch": 1, "index": 2}
    assert same(augment(one, options, **draws), augment(one.whole(), options, **draws))


def test_what_is_no_label_is_refused():
    with pytest.raises(BadSample, match="made/0: target: a label of kind ORDINAL has no depth"):
        coded(4, 4, 1, 0, kind=LabelKind.ORDINAL)
    with pytest.raises(BadSample, match="made/0: valid: 0 of 16 pixels are valid"):
        coded(4, 4, 1, 0, valid=np.zeros((4, 4), np.bool_))
    with pytest.raises(BadSample, match="made/0: sky: 16 sky pixels are marked valid"):
        coded(4, 4, 1, 0, sky=np.ones((4, 4), np.bool_))
    with pytest.raises(BadSample, match="made/0: image: a window of"):
        crop(coded(4, 4, 1, 0), 0, 0, 5, 4)
