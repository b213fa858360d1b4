"""Image, label and camera of a sample tell one story before and after every change."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.augment import AugmentOptions, augment, crop, jitter, mirror, resize
from depthmix.errors import BadSample, ConfigError
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample

CAMERA = Intrinsics(fx=40.0, fy=44.0, cx=13.25, cy=9.75)
STILL = AugmentOptions(height=12, width=16, brightness=0, contrast=0, saturation=0, grey=0)

PALETTE = np.random.default_rng(2).integers(0, 256, (12, 3), dtype=np.uint8)
sizes = st.tuples(st.integers(2, 40), st.integers(2, 40))


def addressed(rows: int, columns: int, **changes: object) -> Sample:
    """A sample whose depth tells where each label came from: 1 + row * columns + column."""
    target = 1 + np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    sample = Sample(
        image=np.random.default_rng(0).integers(0, 256, (rows, columns, 3), dtype=np.uint8),
        target=target,
        valid=np.ones((rows, columns), np.bool_),
        sky=np.zeros((rows, columns), np.bool_),
        planes=np.arange(rows * columns, dtype=np.int32).reshape(rows, columns),
        sigma=target / 8,
        intrinsics=CAMERA,
        quality=Quality.HIGH,
        kind=LabelKind.METRIC_DEPTH,
        source="made",
        key="0",
    )
    return sample.replaced(**changes)


def painted(rows: int, columns: int, **changes: object) -> Sample:
    """A sample with big patches, the id of which is painted into the image as well."""
    ids = np.arange(rows)[:, None] * 3 // rows * 4 + np.arange(columns)[None] * 4 // columns
    image = PALETTE[ids]
    target = (1 + ids).astype(np.float32)
    return addressed(rows, columns, image=image, planes=ids.astype(np.int32), target=target).replaced(
        **changes
    )


def ids_shown(image: np.ndarray) -> np.ndarray:
    """Read the ids back from a painted image; -1 where the colour is none of the palette."""
    same = (image[:, :, None] == PALETTE).all(-1)
    return np.where(same.any(-1), same.argmax(-1), -1)


def sparse(rows: int, columns: int, share: float, **changes: object) -> Sample:
    valid = np.random.default_rng(1).random((rows, columns)) < share
    valid[0, 0] = True
    return addressed(rows, columns, valid=valid, **changes)


def of_kind(kind: LabelKind, rows: int, columns: int, share: float) -> Sample:
    """A sample of any kind with all fields that the kind may have; rubbish outside the mask."""
    random = np.random.default_rng(rows + columns)
    has_depth = kind not in (LabelKind.NONE, LabelKind.ORDINAL)
    valid = (random.random((rows, columns)) < share) & has_depth
    valid[0, 0] = has_depth
    target = random.normal(0, 3, (rows, columns)).astype(np.float32)
    if kind is LabelKind.AFFINE_DISPARITY:
        target[0, 0] = -2  # what a pixel without a point would read
    else:
        target[valid] = np.abs(target[valid]) + 0.1
    return addressed(
        rows,
        columns,
        kind=kind,
        valid=valid,
        target=target,
        sky=~valid & (random.random((rows, columns)) < 0.5),
        planes=random.integers(0, 9, (rows, columns)).astype(np.int32) + (kind is LabelKind.NONE),
        sigma=np.abs(target) + 1 if has_depth else None,
        pairs=random_pairs(rows, columns, 20),
    )


def planes_only(rows: int, columns: int, at: tuple[int, int]) -> Sample:
    planes = np.zeros((rows, columns), np.int32)
    planes[at] = 700
    empty = np.zeros((rows, columns), np.bool_)
    return addressed(rows, columns, planes=planes, valid=empty, kind=LabelKind.NONE, sigma=None)


def ordinal(rows: int, columns: int, pairs: np.ndarray) -> Sample:
    """A sample of pairs alone."""
    empty = np.zeros((rows, columns), np.bool_)
    changes = {"valid": empty, "kind": LabelKind.ORDINAL, "sigma": None}
    return addressed(rows, columns, pairs=pairs.astype(np.int32), **changes)


def random_pairs(rows: int, columns: int, count: int = 200) -> np.ndarray:
    """Pairs whose relation is that of the addresses in `addressed`, which grow along the rows."""
    random = np.random.default_rng(5)
    u, v = random.integers(0, columns, (2, count)), random.integers(0, rows, (2, count))
    address = v * columns + u
    relation = np.sign(address[0] - address[1])
    return np.stack([u[0], v[0], u[1], v[1], relation], 1).astype(np.int32)


def order_shown(sample: Sample) -> np.ndarray:
    """Read from the label which point of each pair is farther."""
    assert sample.pairs is not None
    u1, v1, u2, v2, _ = sample.pairs.T
    return np.sign(sample.target[v1, u1] - sample.target[v2, u2])


def rays(camera: Intrinsics, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return np.stack([(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy])


def ray_change(before: Sample, after: Sample) -> np.ndarray:
    """Angle (as a slope) between the ray of each label now and the ray that it was measured along."""
    assert before.intrinsics is not None
    assert after.intrinsics is not None
    here = np.nonzero(after.valid)
    address = after.target[here].astype(np.int64) - 1
    there = address // before.size[1], address % before.size[1]
    return rays(after.intrinsics, *here) - rays(before.intrinsics, *there)


def equal(a: Sample, b: Sample) -> bool:
    arrays = ("image", "target", "valid", "sky", "planes", "sigma", "pairs")
    same = all(np.array_equal(getattr(a, name), getattr(b, name)) for name in arrays)
    return same and a.intrinsics == b.intrinsics


@given(size=sizes, data=st.data())
@settings(max_examples=40)
def test_crop_keeps_every_point_where_it_was(size: tuple[int, int], data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, size[0])), data.draw(st.integers(1, size[1]))
    top, left = data.draw(st.integers(0, size[0] - height)), data.draw(st.integers(0, size[1] - width))
    before = addressed(*size)
    after = crop(before, top, left, height, width)
    assert after.size == (height, width)
    np.testing.assert_allclose(ray_change(before, after), 0, atol=1e-12)
    np.testing.assert_array_equal(after.image, before.image[top : top + height, left : left + width])
    np.testing.assert_array_equal(after.sigma, after.target / 8)


@given(
    size=sizes,
    new=sizes,
    kind=st.sampled_from(LabelKind),
    share=st.sampled_from([0.1, 0.4, 0.7, 1.0]),
    data=st.data(),
)
@settings(max_examples=150)
def test_what_is_derived_unchecked_passes_all_checks_and_is_clear_outside_the_mask(
    size: tuple[int, int], new: tuple[int, int], kind: LabelKind, share: float, data: st.DataObject
) -> None:
    before = of_kind(kind, *size, share)
    height, width = data.draw(st.integers(1, size[0])), data.draw(st.integers(1, size[1]))
    changes: list[Callable[[], Sample]] = [
        lambda: crop(before, size[0] - height, size[1] - width, height, width),
        lambda: resize(before, *new),
        lambda: mirror(before),
        lambda: mirror(resize(crop(before, size[0] - height, size[1] - width, height, width), *new)),
        lambda: augment(before, replace(STILL, height=new[0], width=new[1]), seed=0, epoch=0, index=0),
    ]
    for change in changes:
        try:
            after = change()
        except BadSample:
            continue
        assert equal(after.replaced(), after)
        assert after.image.shape == (*after.size, 3)
        for values in (after.target, after.sigma):
            assert values is None or not values.view(np.int32)[~after.valid].any()


@given(size=sizes, new=sizes)
@settings(max_examples=60)
def test_resize_moves_no_dense_point_by_more_than_half_a_source_pixel(
    size: tuple[int, int], new: tuple[int, int]
) -> None:
    before = addressed(*size)
    after = resize(before, *new)
    assert after.size == new
    assert after.valid.all()
    limit = np.array([[0.5 / CAMERA.fx], [0.5 / CAMERA.fy]])
    assert (np.abs(ray_change(before, after)) <= limit + 1e-12).all()
    np.testing.assert_array_equal(after.planes, after.target - 1)
    np.testing.assert_array_equal(after.sigma, after.target / 8)


@pytest.mark.parametrize("factor", [3, 5])
def test_resize_by_an_odd_factor_is_exact(factor: int) -> None:
    before = addressed(6 * factor, 4 * factor)
    np.testing.assert_allclose(ray_change(before, resize(before, 6, 4)), 0, atol=1e-12)


@given(size=sizes, data=st.data())
@settings(max_examples=40)
def test_shrinking_a_sparse_label_moves_no_point_by_more_than_half_a_new_pixel(
    size: tuple[int, int], data: st.DataObject
) -> None:
    before = sparse(*size, share=0.1)
    after = resize(before, data.draw(st.integers(1, size[0])), data.draw(st.integers(1, size[1])))
    if before.valid.mean() < 0.5:
        scale = np.array([[after.size[1] / size[1]], [after.size[0] / size[0]]])
        limit = 0.5 / scale / np.array([[CAMERA.fx], [CAMERA.fy]])
        assert (np.abs(ray_change(before, after)) <= limit + 1e-12).all()


def test_a_shrunk_sparse_label_keeps_the_nearest_point_of_each_new_pixel() -> None:
    before = sparse(60, 80, share=0.05)
    after = resize(before, 12, 16)
    for row in range(12):
        for column in range(16):
            block = np.s_[5 * row : 5 * row + 5, 5 * column : 5 * column + 5]
            points = before.target[block][before.valid[block]]
            assert after.valid[row, column] == (points.size > 0)
            assert after.target[row, column] == (points.min() if points.size else 0)
    assert after.valid.mean() > 0.5 > before.valid.mean() * 5


def test_of_inverse_depths_the_largest_is_nearest() -> None:
    before = sparse(6, 6, share=0.45, kind=LabelKind.AFFINE_DISPARITY, sigma=None)
    assert resize(before, 1, 1).target == before.target.max()


def test_values_of_a_relative_label_are_not_rescaled() -> None:
    before = addressed(8, 8, kind=LabelKind.AFFINE_DISPARITY, sigma=None)
    assert set(resize(before, 4, 4).target.ravel()) <= set(before.target.ravel())


def test_depth_is_never_averaged_across_an_edge() -> None:
    edge = np.where(np.arange(30)[None] < 14, 1, 9).repeat(20, axis=0).astype(np.float32)
    after = resize(addressed(20, 30, target=edge), 13, 17)
    assert set(after.target.ravel()) == {1.0, 9.0}


def test_a_shrunk_image_is_the_mean_of_what_it_covers() -> None:
    before = addressed(24, 32)
    means = before.image.reshape(6, 4, 8, 4, 3).mean((1, 3))
    np.testing.assert_allclose(resize(before, 6, 8).image, means, atol=0.51)


def test_sky_gives_way_where_a_sparse_point_lands() -> None:
    valid = np.zeros((4, 4), np.bool_)
    valid[0, 0] = True
    after = resize(addressed(4, 4, valid=valid, sky=~valid), 2, 2)
    np.testing.assert_array_equal(after.valid, [[True, False], [False, False]])
    np.testing.assert_array_equal(after.sky, ~after.valid)


@pytest.mark.parametrize(("height", "width"), [(12, 16), (36, 48), (30, 40), (72, 96), (9, 64)])
def test_labels_stay_on_the_image_content_when_resized(height: int, width: int) -> None:
    after = resize(painted(36, 48), height, width)
    shown = ids_shown(after.image)
    pure = shown >= 0  # the others are blends at a border
    assert pure.mean() > 0.7
    np.testing.assert_array_equal(shown[pure], after.planes[pure])
    np.testing.assert_array_equal(shown[pure], after.target[pure] - 1)


@given(size=sizes)
@settings(max_examples=20)
def test_mirror_keeps_every_point_up_to_its_side(size: tuple[int, int]) -> None:
    before = addressed(*size)
    after = mirror(before)
    assert after.intrinsics is not None
    assert after.intrinsics.fx > 0
    here = np.nonzero(after.valid)
    address = after.target[here].astype(np.int64) - 1
    there = rays(CAMERA, address // size[1], address % size[1])
    now = rays(after.intrinsics, *here)
    np.testing.assert_allclose(now, there * np.array([[-1], [1]]), atol=1e-12)
    np.testing.assert_array_equal(after.image, before.image[:, ::-1])
    assert equal(mirror(after), before)


def test_a_window_outside_the_image_is_refused() -> None:
    with pytest.raises(
        BadSample, match=r"made/0: image: a window of rows 0\.\.5, columns 3\.\.9 does not fit"
    ):
        crop(addressed(5, 8), 0, 3, 5, 6)


def test_a_sample_without_camera_is_given_none() -> None:
    sample = addressed(24, 32, intrinsics=None, sigma=None)
    assert augment(sample, STILL, seed=0, epoch=0, index=0).intrinsics is None


def test_augment_is_a_pure_function_of_its_arguments() -> None:
    sample, options = painted(40, 60), AugmentOptions(height=12, width=16)
    first = augment(sample, options, seed=1, epoch=2, index=3)
    assert equal(first, augment(sample, options, seed=1, epoch=2, index=3))
    others = [{"seed": 0}, {"epoch": 0}, {"index": 0}]
    for other in others:
        assert not equal(first, augment(sample, options, **{"seed": 1, "epoch": 2, "index": 3, **other}))
    renamed = sample.replaced(source="another")
    assert not equal(first, augment(renamed, options, seed=1, epoch=2, index=3))


@given(index=st.integers(0, 10**9), size=st.tuples(st.integers(10, 60), st.integers(10, 60)))
@settings(max_examples=60)
def test_augmented_points_stay_where_they_were(index: int, size: tuple[int, int]) -> None:
    before = addressed(*size)
    after = augment(before, replace(STILL, mirror=0), seed=0, epoch=0, index=index)
    assert after.size == (12, 16)
    limit = np.array([[0.5 / CAMERA.fx], [0.5 / CAMERA.fy]])
    assert (np.abs(ray_change(before, after)) <= limit + 1e-12).all()


def test_augmented_labels_stay_on_the_image_content() -> None:
    for index in range(20):
        after = augment(painted(96, 128), STILL, seed=0, epoch=0, index=index)
        shown = ids_shown(after.image)
        pure = shown >= 0
        assert pure.mean() > 0.4
        assert (shown == after.planes)[pure].all()
        assert (after.target == after.planes + 1).all()


def test_about_half_of_the_samples_are_mirrored() -> None:
    options = AugmentOptions(12, 16, 1, 1, 0.5, 0, 0, 0, 0)
    sample = addressed(12, 16)
    flips = [augment(sample, options, seed=0, epoch=0, index=i).target[0, 0] != 1 for i in range(200)]
    assert 70 < sum(flips) < 130


def test_the_scale_bounds_the_window() -> None:
    options = replace(STILL, min_scale=2.0, max_scale=2.0)
    after = augment(addressed(48, 64), options, seed=0, epoch=0, index=0)
    assert after.intrinsics is not None
    assert after.intrinsics.fx == pytest.approx(CAMERA.fx * 16 / 32)


@given(row=st.integers(0, 95), column=st.integers(0, 127), index=st.integers(0, 100))
@settings(max_examples=40)
def test_a_single_plane_pixel_survives_every_augmentation(row: int, column: int, index: int) -> None:
    after = augment(planes_only(96, 128, (row, column)), STILL, seed=0, epoch=0, index=index)
    assert (after.planes == 700).any()


@given(row=st.integers(0, 95), column=st.integers(0, 127), index=st.integers(0, 100))
@settings(max_examples=40)
def test_a_single_valid_pixel_survives_every_augmentation(row: int, column: int, index: int) -> None:
    valid = np.zeros((96, 128), np.bool_)
    valid[row, column] = True
    options = replace(STILL, min_scale=3.0, max_scale=8.0)
    after = augment(addressed(96, 128, valid=valid), options, seed=0, epoch=0, index=index)
    assert after.valid.any()
    assert set(after.target[after.valid]) == {1.0 + row * 128 + column}


def test_pairs_follow_their_points_through_crop_and_mirror() -> None:
    before = addressed(30, 40, pairs=random_pairs(30, 40))
    for after in (crop(before, 4, 7, 20, 25), mirror(before), mirror(crop(before, 4, 7, 20, 25))):
        assert after.pairs is not None
        np.testing.assert_array_equal(order_shown(after), after.pairs[:, 4])
    assert equal(mirror(mirror(before)), before)


def test_crop_keeps_exactly_the_pairs_with_both_points_inside() -> None:
    pairs = np.array([[7, 4, 31, 23, 1], [6, 4, 20, 20, 1], [20, 20, 32, 5, 1], [20, 24, 9, 9, 0]], np.int32)
    after = crop(addressed(30, 40, pairs=pairs), 4, 7, 20, 25)
    np.testing.assert_array_equal(after.pairs, [[0, 0, 24, 19, 1]])
    assert crop(addressed(30, 40, pairs=pairs[1:]), 4, 7, 20, 25).pairs.shape == (0, 5)  # type: ignore[union-attr]
    with pytest.raises(BadSample, match="made/0: pairs: no pair of points"):
        crop(ordinal(30, 40, pairs[1:]), 4, 7, 20, 25)


@given(size=sizes, new=sizes)
@settings(max_examples=40)
def test_resized_points_go_to_the_pixel_that_their_centre_falls_into(
    size: tuple[int, int], new: tuple[int, int]
) -> None:
    pairs = random_pairs(*size, count=50)
    after = resize(addressed(*size, pairs=pairs), *new).pairs
    expected = []
    for u1, v1, u2, v2, relation in pairs.tolist():
        first, second = (
            (math.floor((u + 0.5) * new[1] / size[1] + 1e-9), math.floor((v + 0.5) * new[0] / size[0] + 1e-9))
            for u, v in ((u1, v1), (u2, v2))
        )
        if first != second:
            expected.append([*first, *second, relation])
    if new == size:
        expected = pairs.tolist()
    np.testing.assert_array_equal(after, np.array(expected, np.int32).reshape(-1, 5))


@given(
    points=st.tuples(st.integers(0, 95), st.integers(0, 127), st.integers(0, 95), st.integers(0, 127)),
    index=st.integers(0, 100),
    shape=st.sampled_from([(12, 16), (20, 7), (96, 128), (200, 50)]),
)
@settings(max_examples=60)
def test_a_single_pair_survives_every_augmentation(
    points: tuple[int, ...], index: int, shape: tuple[int, int]
) -> None:
    v1, u1, v2, u2 = points
    if (u1, v1) == (u2, v2):
        return
    sample = ordinal(96, 128, np.array([[u1, v1, u2, v2, 1], [3, 3, 3, 3, 0]]))
    options = replace(STILL, height=shape[0], width=shape[1], max_scale=4.0)
    after = augment(sample, options, seed=0, epoch=0, index=index)
    assert after.size == shape
    assert after.pairs is not None
    assert 1 in after.pairs[:, 4]


def test_pairs_of_points_with_themselves_are_nothing_to_learn_from() -> None:
    with pytest.raises(BadSample, match="pairs: every pair is one of a point with itself"):
        augment(ordinal(96, 128, np.array([[3, 3, 3, 3, 0]])), STILL, seed=0, epoch=0, index=0)


def naive_jitter(image: np.ndarray, options: AugmentOptions, random: np.random.Generator) -> np.ndarray:
    brightness, contrast, saturation = (
        1 + strength * (2 * draw - 1)
        for strength, draw in zip(
            (options.brightness, options.contrast, options.saturation), random.random(3), strict=True
        )
    )
    saturation = 0 if random.random() < options.grey else saturation
    out = np.empty(image.shape)
    mean = image.mean()
    for place in np.ndindex(*image.shape[:2]):
        r, g, b = (brightness * (mean + contrast * (float(value) - mean)) for value in image[place])
        grey = 0.299 * r + 0.587 * g + 0.114 * b
        out[place] = [grey + saturation * (value - grey) for value in (r, g, b)]
    return out


@pytest.mark.parametrize("grey", [0.0, 1.0])
def test_jitter_agrees_with_its_definition(grey: float) -> None:
    image = addressed(9, 7).image
    options = AugmentOptions(brightness=0.3, contrast=0.4, saturation=0.5, grey=grey)
    for seed in range(5):
        found = jitter(image, options, np.random.default_rng(seed))
        expected = naive_jitter(image, options, np.random.default_rng(seed)).clip(0, 255)
        np.testing.assert_allclose(found, expected, atol=0.75)  # rounding, in OpenCV's fixed point
        assert grey == 0 or (np.ptp(found, axis=2) <= 1).all()


def test_no_strength_leaves_the_image_as_it_is() -> None:
    image = addressed(9, 7).image
    np.testing.assert_array_equal(jitter(image, STILL, np.random.default_rng(0)), image)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"mirror": 1.5}, "augment.mirror: must be in [0, 1], got 1.5"),
        ({"brightness": float("nan")}, "augment.brightness: must be in [0, 1], got nan"),
        ({"height": 0}, "augment.height: must be a positive number of pixels, got 0"),
        ({"min_scale": 0.5}, "augment.min_scale: must be in [1, max_scale], got 0.5"),
        ({"min_scale": 3.0}, "augment.min_scale: must be in [1, max_scale], got 3.0"),
        ({"max_scale": float("inf")}, "augment.max_scale: must be finite, got inf"),
    ],
)
def test_an_impossible_option_is_named(change: dict[str, float], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        AugmentOptions(**change)  # type: ignore[arg-type]
    assert str(caught.value) == text


def reading(change: Callable[[Sample], Sample]) -> bool:
    sample = painted(12, 16)
    change(sample)
    return equal(sample, painted(12, 16))


def test_the_given_sample_is_left_alone() -> None:
    assert reading(mirror)
    assert reading(lambda sample: resize(sample, 5, 7))
    assert reading(lambda sample: augment(sample, STILL, seed=0, epoch=0, index=0))
