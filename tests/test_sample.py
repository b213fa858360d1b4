"""The checked numpy record and its camera."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from depthmix.errors import BadSample
from depthmix.sample import DEPTH_KINDS, Intrinsics, LabelKind, Quality, Sample

H, W = 4, 6


def fields(**changes):
    valid = np.ones((H, W), bool)
    valid[0] = False
    whole = {
        "image": np.zeros((H, W, 3), np.uint8),
        "target": np.full((H, W), 2, np.float32),
        "valid": valid,
        "sky": np.zeros((H, W), bool),
        "planes": np.zeros((H, W), np.int32),
        "sigma": np.full((H, W), 0.1, np.float32),
        "intrinsics": Intrinsics(50, 50, 2.5, 1.5),
        "quality": Quality.MIDDLE,
        "kind": LabelKind.METRIC_DEPTH,
        "source": "middlebury",
        "key": "a/0",
    }
    return whole | changes


def map_with(value, dtype=np.float32, at=(2, 3)):
    array = np.ones((H, W), dtype)
    array[at] = value
    return array


def test_qualities_are_ordered_and_depth_kinds_are_two():
    assert Quality.WEAK < Quality.LOW < Quality.MIDDLE < Quality.HIGH
    assert {LabelKind.METRIC_DEPTH, LabelKind.SCALED_DEPTH} == DEPTH_KINDS


@pytest.mark.parametrize("rubbish", [np.nan, np.inf, -7.0])
def test_values_outside_the_mask_are_cleared(rubbish):
    sample = Sample(**fields(target=map_with(rubbish, at=(0, 2)), sigma=map_with(rubbish, at=(0, 2))))
    assert not sample.target[0].any()
    assert not sample.sigma[0].any()
    assert sample.target[1:].all()


@pytest.mark.parametrize("kind", [LabelKind.METRIC_DEPTH, LabelKind.AFFINE_DISPARITY])
def test_not_even_a_sign_is_left_outside_the_mask(kind):
    sample = Sample(**fields(kind=kind, target=map_with(-0.0, at=(0, 2)), sigma=map_with(-0.0, at=(0, 2))))
    assert not sample.target.view(np.int32)[0].any()
    assert not sample.sigma.view(np.int32)[0].any()


def test_a_map_that_is_clear_outside_the_mask_is_not_copied():
    clear = Sample(**fields()).target
    assert Sample(**fields(target=clear)).target is clear


def test_arrays_of_the_caller_stay_as_they_are():
    target = map_with(np.nan, at=(0, 2))
    Sample(**fields(target=target))
    assert np.isnan(target[0, 2])


BROKEN = [
    ({"target": map_with(np.nan)}, "target", "1 of 18 valid pixels are not finite"),
    ({"target": map_with(np.inf)}, "target", "1 of 18 valid pixels are not finite"),
    ({"target": map_with(-np.nan)}, "target", "1 of 18 valid pixels are not finite"),
    ({"target": map_with(np.nan), "kind": LabelKind.AFFINE_DISPARITY}, "target", "1 of 18 valid pixels are"),
    ({"target": map_with(0)}, "target", "depth must be positive, the smallest valid value is 0"),
    ({"target": map_with(-0.0)}, "target", "depth must be positive, the smallest valid value is -0"),
    ({"target": map_with(-2)}, "target", "depth must be positive, the smallest valid value is -2"),
    ({"target": map_with(1, np.float64)}, "target", r"must be float32 \(4, 6\), got float64 \(4, 6\)"),
    ({"target": np.ones((4, 5), np.float32)}, "target", r"must be float32 \(4, 6\), got float32 \(4, 5\)"),
    ({"image": np.zeros((H, W, 4), np.uint8)}, "image", r"must be uint8 \(4, 6, 3\), got uint8 \(4, 6, 4\)"),
    ({"image": np.zeros((0, W, 3), np.uint8)}, "image", "must be uint8"),
    ({"valid": np.zeros((H, W), bool)}, "valid", "0 of 24 pixels are valid"),
    ({"planes": map_with(-2, np.int32)}, "planes", "ids must not be negative, got -2"),
    ({"sky": map_with(0, bool)}, "sky", "17 sky pixels are marked valid"),
    ({"sigma": map_with(0)}, "sigma", "must be finite and positive at every valid pixel"),
    ({"sigma": map_with(-1)}, "sigma", "must be finite and positive at every valid pixel"),
    ({"sigma": map_with(np.nan)}, "sigma", "must be finite and positive at every valid pixel"),
    ({"sigma": map_with(np.inf)}, "sigma", "must be finite and positive at every valid pixel"),
    ({"kind": LabelKind.NONE}, "valid", "a label of kind NONE has no depth, but 18 pixels are valid"),
    ({"kind": LabelKind.NONE, "valid": np.zeros((H, W), bool)}, "planes", "nothing to learn from"),
]


@pytest.mark.parametrize("narrow", [np.uint8, np.uint16])
def test_ids_of_fewer_bits_are_widened_and_a_window_of_them_can_be_changed(narrow):
    ids = map_with(200, narrow)
    sample = Sample(**fields(planes=ids))
    assert sample.planes.dtype == np.int32
    assert np.array_equal(sample.planes, ids)
    window = sample.derived(planes=ids)
    assert window.planes.dtype == narrow
    assert window.replaced(key="other").planes.dtype == np.int32


@pytest.mark.parametrize(("changes", "field", "reason"), BROKEN)
def test_a_broken_sample_names_itself_the_field_and_the_reason(changes, field, reason):
    with pytest.raises(BadSample, match=rf"^middlebury/a/0: {field}: .*{reason}"):
        Sample(**fields(**changes))


def test_inverse_depth_up_to_a_shift_may_be_negative():
    kind = LabelKind.AFFINE_DISPARITY
    assert Sample(**fields(target=map_with(-3), kind=kind, sigma=None)).target.min() == -3


def test_a_replaced_sample_is_checked_again():
    sample = Sample(**fields())
    assert sample.replaced(key="b").name == "middlebury/b"
    with pytest.raises(BadSample, match="target"):
        sample.replaced(target=map_with(np.nan))


@pytest.mark.parametrize("value", [1e-45, 1e-38, 3.4e38])
def test_any_positive_finite_number_is_a_depth(value):
    assert Sample(**fields(target=map_with(value))).target[2, 3] == np.float32(value)


def test_a_derived_sample_is_the_same_but_for_what_was_changed():
    sample = Sample(**fields())
    image = np.ones((H, W, 3), np.uint8)
    derived = sample.derived(image=image)
    assert derived.image is image
    names = [name for name in fields() if name != "image"]
    assert all(getattr(derived, name) is getattr(sample, name) for name in names)
    with pytest.raises(TypeError, match="a sample has no depth"):
        sample.derived(depth=sample.target)


def test_a_derived_sample_without_a_label_is_refused():
    nothing = np.zeros((H, W), bool)
    with pytest.raises(BadSample, match="0 of 24 pixels are valid"):
        Sample(**fields()).derived(valid=nothing)
    planes = Sample(**fields(kind=LabelKind.NONE, valid=nothing, sigma=None, planes=map_with(1, np.int32)))
    with pytest.raises(BadSample, match="no depth and no plane"):
        planes.derived(planes=np.zeros((H, W), np.int32))
    with pytest.raises(BadSample, match="no pair of points"):
        ordinal().derived(pairs=np.zeros((0, 5), np.int32))


def test_a_sample_survives_pickling_to_a_worker():
    sample = Sample(**fields())
    again = pickle.loads(pickle.dumps(sample))
    assert again.intrinsics == sample.intrinsics
    assert np.array_equal(again.target, sample.target)


@pytest.mark.parametrize("name", ["fx", "fy", "cx", "cy"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_camera_must_be_finite(name, value):
    with pytest.raises(BadSample, match=rf"intrinsics.{name}: must be finite"):
        Intrinsics(**({"fx": 1, "fy": 1, "cx": 0, "cy": 0} | {name: value}))


@pytest.mark.parametrize("focal", [0, -3])
def test_a_focal_length_must_be_positive(focal):
    with pytest.raises(BadSample, match="must be finite and positive"):
        Intrinsics(focal, 1, 0, 0)


@pytest.mark.parametrize("change", [{"fx": 1e-45}, {"fy": 1e38}, {"cx": -1e38}, {"cy": 1e308}])
def test_a_camera_that_float32_cannot_reckon_with_is_refused(change):
    with pytest.raises(BadSample, match=r"intrinsics\.[fc][xy]: is no number of pixels"):
        Intrinsics(**({"fx": 1, "fy": 1, "cx": 0, "cy": 0} | change))


def ray(camera, u, v):
    return ((u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy)


pixels = st.floats(-10, 100)


@given(pixels, pixels, st.floats(0.1, 8), st.floats(0.1, 8))
def test_a_resized_image_sees_the_same_rays(u, v, scale_x, scale_y):
    camera = Intrinsics(50, 60, 31.5, 20)
    # A pixel covers u - 0.5 .. u + 0.5, and that interval is what is scaled.
    small = ((u + 0.5) * scale_x - 0.5, (v + 0.5) * scale_y - 0.5)
    assert ray(camera.resized(scale_x, scale_y), *small) == pytest.approx(ray(camera, u, v), abs=1e-9)


@given(pixels, pixels, st.integers(-5, 20), st.integers(-5, 20))
def test_a_cropped_image_sees_the_same_rays(u, v, left, top):
    camera = Intrinsics(50, 60, 31.5, 20)
    assert ray(camera.cropped(left, top), u - left, v - top) == pytest.approx(ray(camera, u, v), abs=1e-9)


@given(pixels, pixels, st.integers(1, 100))
def test_a_mirrored_image_sees_mirrored_rays_with_a_positive_focal_length(u, v, width):
    camera = Intrinsics(50, 60, 31.5, 20)
    mirrored = camera.mirrored(width)
    x, y = ray(camera, u, v)
    assert ray(mirrored, width - 1 - u, v) == pytest.approx((-x, y), abs=1e-9)
    assert mirrored.fx > 0


def ordinal(**changes) -> Sample:
    pairs = np.array([[0, 0, 2, 1, 1], [1, 1, 0, 0, 0]], np.int32)
    nothing = {"valid": np.zeros((H, W), bool), "sigma": None}
    return Sample(**fields(**{"kind": LabelKind.ORDINAL, "pairs": pairs, **nothing, **changes}))


def test_an_ordinal_sample_has_pairs_and_no_depth():
    assert ordinal().pairs.shape == (2, 5)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("pairs", None, "no pair of points"),
        ("pairs", np.zeros((0, 5), np.int32), "no pair of points"),
        ("pairs", np.zeros((2, 4), np.int32), r"must be int32 \(p, 5\)"),
        ("pairs", np.array([[6, 0, 0, 0, 1]], np.int32), "inside the 4 x 6 image"),
        ("pairs", np.array([[0, -1, 0, 0, 1]], np.int32), "inside the 4 x 6 image"),
        ("pairs", np.array([[0, 0, 1, 0, 2]], np.int32), "relations must be"),
        ("valid", np.ones((H, W), bool), "kind ORDINAL has no depth"),
    ],
)
def test_a_bad_ordinal_sample_is_refused_by_field(field, value, reason):
    with pytest.raises(BadSample, match=reason) as caught:
        ordinal(**{field: value})
    assert caught.value.field == field
