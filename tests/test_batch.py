"""Samples side by side."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from depthmix.batch import Memory, collate, rank_planes
from depthmix.errors import BadSample
from depthmix.sample import LabelKind, Quality, Sample
from tests.test_sample import H, W, fields, map_with


def mixed() -> list[Sample]:
    planes = np.zeros((H, W), np.int32)
    planes[0, :2], planes[1:, :] = 900_000, 7
    return [
        Sample(**fields()),
        Sample(
            **fields(
                kind=LabelKind.AFFINE_DISPARITY, target=map_with(-3), sigma=None, intrinsics=None, key="b"
            )
        ),
        Sample(
            **fields(kind=LabelKind.NONE, valid=np.zeros((H, W), bool), planes=planes, sigma=None, key="c")
        ),
        Sample(**fields(kind=LabelKind.SCALED_DEPTH, quality=Quality.LOW, key="d")),
    ]


def test_collate_keeps_every_field_and_says_what_is_absent():
    samples = mixed()
    batch = collate(samples, [0, 1, 2, 1])
    assert len(batch) == 4
    for i, sample in enumerate(samples):
        assert np.array_equal(batch.image[i].permute(1, 2, 0), sample.image)
        assert np.array_equal(batch.target[i, 0], sample.target)
        assert np.array_equal(batch.valid[i, 0], sample.valid)
    assert batch.camera_known.tolist() == [True, False, True, True]
    assert batch.intrinsics[0].tolist() == [50, 50, 2.5, 1.5]
    assert not batch.sigma[1].any()
    assert batch.kind.tolist() == [4, 2, 0, 3]
    assert batch.quality.tolist() == [3, 3, 3, 2]
    assert batch.source.tolist() == [0, 1, 2, 1]
    assert batch.names == ("middlebury/a/0", "middlebury/b", "middlebury/c", "middlebury/d")


def test_collate_refuses_sizes_that_differ_and_names_both():
    other = Sample(
        **fields(
            image=np.zeros((2, 2, 3), np.uint8),
            key="small",
            intrinsics=None,
            **{f: getattr(mixed()[0], f)[1:3, :2] for f in ("target", "valid", "sky", "planes", "sigma")},
        )
    )
    with pytest.raises(
        BadSample, match=r"middlebury/small: image: size \(2, 2\) differs from \(4, 6\) of middlebury/a/0"
    ):
        collate([mixed()[0], other], [0, 0])


def test_inverse_depth_is_one_over_z_for_depth_and_the_label_itself_for_disparity():
    batch = collate(mixed(), [0, 1, 2, 3])
    inverse = batch.inverse_depth
    assert batch.is_depth.tolist() == [True, False, False, True]
    assert inverse[0, 0, 1:].unique().tolist() == [0.5]
    assert inverse[1, 0, 2, 3] == -3
    assert not inverse[~batch.valid].any()
    assert inverse.isfinite().all()


def test_inverse_depth_never_reads_outside_the_mask():
    batch = collate(mixed(), [0, 1, 2, 3])
    dirty = replace(batch, target=torch.where(batch.valid, batch.target, torch.nan))
    assert torch.equal(dirty.inverse_depth, batch.inverse_depth)


def test_selected_rows_come_in_the_given_order_with_their_names():
    batch = collate(mixed(), [0, 1, 2, 3])
    some = batch.select(torch.tensor([3, 1]))
    assert some.kind.tolist() == [3, 2]
    assert some.names == ("middlebury/d", "middlebury/b")
    assert torch.equal(some.planes, batch.planes[[3, 1]])


def test_moving_a_batch_moves_every_tensor():
    moved = collate(mixed(), [0, 1, 2, 3]).to("meta")
    tensors = list(moved.tensors().values())
    assert all(tensor.is_meta for tensor in tensors)
    assert moved.names


def test_image_float_spans_zero_to_one_once():
    batch = collate([Sample(**fields(image=np.full((H, W, 3), 255, np.uint8)))], [0])
    assert batch.image_float.unique().tolist() == [1]
    assert torch.equal(replace(batch, image=batch.image_float).image_float, batch.image_float)


@given(hnp.arrays(np.int32, (5, 7), elements=st.sampled_from([0, 1, 5, 300, 2**31 - 1])))
def test_planes_are_ranked_by_falling_area_and_cut_the_image_the_same_way(planes):
    ranks = rank_planes(planes)
    assert np.array_equal(ranks == 0, planes == 0)
    areas = [int((ranks == i).sum()) for i in range(1, ranks.max() + 1)]
    assert areas == sorted(areas, reverse=True)
    assert all(areas)
    for i in np.unique(planes):
        assert len(np.unique(ranks[planes == i])) == 1


def counted_ranks(planes):
    """Rank as `rank_planes` does, with loops."""
    areas = {int(i): int((planes == i).sum()) for i in np.unique(planes) if i}
    order = sorted(areas, key=lambda i: (-areas[i], i))
    return np.vectorize({0: 0, **{i: rank for rank, i in enumerate(order, 1)}}.get)(planes)


# 255 is the last id that is counted as one byte, 65535 the last that is counted at all.
@pytest.mark.parametrize("highest", [1, 254, 255, 256, 65535, 65536, 2**31 - 1])
def test_ties_keep_the_order_of_the_ids_whatever_the_highest_is(highest):
    random = np.random.default_rng(highest)
    planes = random.choice([0, 1, highest // 3, highest // 2, highest], (40, 50)).astype(np.int32)
    planes[:2, :10] = highest
    wide = np.zeros((45, 60), np.int32)
    wide[2:42, 5:55] = planes
    assert np.array_equal(rank_planes(planes), counted_ranks(planes))
    assert np.array_equal(rank_planes(wide[2:42, 5:55]), counted_ranks(planes))
    lines = np.repeat(np.arange(highest - 1, highest + 1, dtype=np.int32), 50).reshape(2, 50)
    assert np.array_equal(rank_planes(lines), counted_ranks(lines))


@pytest.mark.parametrize("offset", [0, 1000, 100_000])  # for each way of counting
def test_ties_of_many_planes_keep_the_order_of_the_ids(offset):
    """An unstable sort is stable for few numbers, and mixes ties of many."""
    areas = np.repeat([2, 1, 3], 66)
    planes = np.repeat(np.arange(198, dtype=np.int32) + offset + 1, areas)[None]
    assert np.array_equal(rank_planes(planes), counted_ranks(planes))


@pytest.mark.parametrize("with_planes", [[], [0], [2], [1, 3]])
def test_rows_without_planes_stay_empty_beside_rows_with_them(with_planes):
    maps = [map_with(300, np.int32) if row in with_planes else np.zeros((H, W), np.int32) for row in range(4)]
    batch = collate([Sample(**fields(planes=planes)) for planes in maps], [0] * 4, memory=Used())
    assert batch.planes.dtype == torch.int32
    for row, planes in zip(batch.planes, maps, strict=True):
        assert np.array_equal(row[0], counted_ranks(planes))


@pytest.mark.parametrize("highest", [255, 256, 65535])
def test_rows_of_a_batch_are_ranked_apart_whatever_type_their_ids_are_stored_in(highest):
    random = np.random.default_rng(highest)
    stored = [
        random.choice([0, 3, 200, highest], (H, W)).astype(np.uint16 if highest > 255 else np.uint8),
        np.zeros((H, W), np.uint8),
        random.choice([9, 90], (H, W)).astype(np.int32),
    ]
    samples = [Sample(**fields()).derived(planes=planes) for planes in stored]
    batch = collate(samples, [0] * 3, memory=Used())
    assert batch.planes.dtype == torch.int32
    for row, planes in zip(batch.planes, stored, strict=True):
        assert np.array_equal(row[0], counted_ranks(planes))


def test_colours_of_a_pixel_lie_together_until_the_device_and_apart_for_the_network():
    batch = collate(mixed(), [0] * 4)
    assert batch.image.is_contiguous(memory_format=torch.channels_last)
    assert batch.image_float.is_contiguous()
    assert torch.equal(batch.image_float, batch.image.float() / 255)


class Used(Memory):
    """Memory that others have written to."""

    def empty(self, shape, dtype):
        return np.full(shape, 7, dtype)


def test_pairs_are_filled_up_to_a_power_of_two():
    pairs = np.array([[0, 0, 2, 1, 1], [1, 1, 0, 0, 0], [2, 2, 0, 1, -1]], np.int32)
    nothing = {"valid": np.zeros((H, W), bool), "sigma": None, "kind": LabelKind.ORDINAL}
    few, more = (Sample(**fields(**nothing, pairs=rows)) for rows in (pairs[:1], pairs))
    batch = collate([few, more, Sample(**fields())], [0, 0, 1])
    assert batch.pairs.shape == (3, 4, 5)
    assert torch.equal(batch.pairs[1, :3], torch.from_numpy(pairs))
    assert all((padding == -1).all() for padding in (batch.pairs[0, 1:], batch.pairs[1, 3:], batch.pairs[2]))
    assert collate([Sample(**fields())], [0]).pairs.shape == (1, 0, 5)
