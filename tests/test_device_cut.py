"""CutMix shows another image in a part of each row, and leaves the label just where the row's own is seen."""

from dataclasses import replace

import numpy as np
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from depthmix.batch import Batch, rank_planes
from depthmix.device_augment import DeviceAugment, DeviceAugmentOptions
from depthmix.device_cut import SIDES, next_of_source, window
from depthmix.losses import ssi_trimmed
from depthmix.sample import LabelKind
from tests.fake_cuda import fake_cuda
from tests.toy import random_batch

ALWAYS = DeviceAugmentOptions(cutmix=1.0)
H, W = 32, 48


def batch_of(sources: list[int], kind: LabelKind = LabelKind.METRIC_DEPTH) -> Batch:
    """Rows that are valid everywhere, each with an image of one colour of its own."""
    rows = len(sources)
    batch = random_batch([kind] * rows, 0, (H, W), sources)
    level = torch.arange(1, rows + 1, dtype=torch.uint8).view(rows, 1, 1, 1)
    return replace(
        batch,
        image=level.expand(rows, 3, H, W).clone(),
        target=torch.rand(rows, 1, H, W, generator=torch.Generator().manual_seed(1)) + 1,
        valid=torch.ones(rows, 1, H, W, dtype=torch.bool),
        draws=tuple(range(10, 10 + rows)),
    )


def shown(batch: Batch) -> Tensor:
    """Return which row each pixel shows."""
    return (batch.image_float[:, :1] * 255).round().long() - 1


def test_a_label_is_valid_just_where_the_row_shows_its_own_image() -> None:
    before = batch_of([0] * 6)
    after = DeviceAugment([ALWAYS])(before)
    rows = torch.arange(6).view(6, 1, 1, 1)
    own = shown(after) == rows
    assert 0.1 < own.float().mean() < 0.9
    assert torch.equal(own | (shown(after) == (rows + 1) % 6), torch.ones_like(own))
    assert torch.equal(after.valid, own)
    for name in ("target", "sigma", "sky"):
        expected = torch.where(own, getattr(before, name), 0)
        assert torch.equal(getattr(after, name), expected.to(getattr(after, name).dtype))
    for planes, kept, found in zip(before.planes, own, after.planes, strict=True):
        np.testing.assert_array_equal(found[0], rank_planes(torch.where(kept, planes, 0)[0].numpy()))


def test_camera_and_kind_stay_those_of_the_label() -> None:
    before = batch_of([0] * 4)
    before = replace(before, intrinsics=before.intrinsics * torch.tensor([[1.0], [1.2], [1.4], [1.6]]))
    after = DeviceAugment([ALWAYS])(before)
    for name in ("intrinsics", "camera_known", "quality", "kind", "source"):
        assert torch.equal(getattr(after, name), getattr(before, name))


def test_a_window_or_all_but_a_window_is_the_own_part() -> None:
    after = DeviceAugment([ALWAYS])(batch_of([0] * 40))
    corners = after.valid[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]].sum(1)
    assert 5 < (corners < 2).sum() < 35  # of an own window, at most two corners are the image's own


def test_images_of_other_sources_are_never_pasted() -> None:
    sources = [0, 1, 0, 1, 2, 1]
    after = DeviceAugment([ALWAYS] * 3)(batch_of(sources))
    seen = torch.tensor(sources)[shown(after)]
    assert torch.equal(seen, torch.tensor(sources).view(6, 1, 1, 1).expand_as(seen))
    assert not after.valid[:4].flatten(1).all(1).any()


def test_a_row_without_another_one_of_its_source_stays_whole() -> None:
    before = batch_of([0, 1, 0])
    after = DeviceAugment([ALWAYS] * 2)(before)
    for name, value in after.select(torch.tensor([1])).tensors().items():
        expected = before.select(torch.tensor([1]))
        wanted = expected.image_float if name == "image" else expected.tensors()[name]
        assert torch.equal(value, wanted), name


def test_a_row_that_would_lose_its_last_label_stays() -> None:
    before = batch_of([0] * 8)
    valid = torch.zeros_like(before.valid)
    valid[..., H // 2, W // 2] = True
    before = replace(before, valid=valid, planes=torch.zeros_like(before.planes))
    after = DeviceAugment([ALWAYS])(before)
    stayed = (shown(after) == torch.arange(8).view(8, 1, 1, 1)).flatten(1).all(1)
    assert stayed.any()
    assert not stayed.all()
    assert after.valid.flatten(1).any(1).all()


def test_both_parts_are_right_for_a_loss_though_scale_and_shift_differ() -> None:
    kind = LabelKind.AFFINE_DISPARITY
    truth = torch.rand(6, 1, H, W, generator=torch.Generator().manual_seed(2)) + 0.1
    scale, shift = torch.arange(1.0, 7).view(6, 1, 1, 1), torch.arange(6.0).view(6, 1, 1, 1) ** 2
    label = scale * truth + shift
    after = DeviceAugment([ALWAYS])(replace(batch_of([0] * 6, kind), target=label))
    pictured = truth.gather(0, shown(after))  # a perfect prediction of what the image shows
    assert ssi_trimmed(pictured, after.target, after.valid, trim=0.0).max() < 1e-4
    # Labels that are joined as the images are would be wrong for every prediction.
    joined = label.gather(0, shown(after))
    assert ssi_trimmed(pictured, joined, torch.ones_like(after.valid), trim=0.0).min() > 0.1


def test_pairs_keep_both_points_in_the_own_part() -> None:
    draw = torch.Generator().manual_seed(3)
    u, v = (torch.randint(0, side, (4, 32, 2), generator=draw) for side in (W, H))
    pairs = torch.stack([u[..., 0], v[..., 0], u[..., 1], v[..., 1], torch.ones(4, 32)], 2).int()
    pairs[:, -1] = -1
    after = DeviceAugment([ALWAYS])(replace(batch_of([0] * 4), pairs=pairs))
    own = shown(after)[:, 0] == torch.arange(4).view(4, 1, 1)
    for b in range(4):
        for p, (u1, v1, u2, v2, _) in enumerate(pairs[b].tolist()):
            kept = p < 31 and bool(own[b, v1, u1] and own[b, v2, u2])
            assert torch.equal(after.pairs[b, p], pairs[b, p] if kept else torch.full((5,), -1))
    assert (after.pairs[..., 0] >= 0).any()


def test_where_a_row_is_cut_depends_on_its_own_draw_alone() -> None:
    vary, batch = DeviceAugment([ALWAYS]), batch_of([0] * 4)
    once, again = vary(batch), vary(replace(batch, draws=(*batch.draws[:2], 98, 99)))
    same = (once.valid == again.valid).flatten(1).all(1)
    assert same.tolist() == [True, True, False, False]
    order = torch.tensor([2, 0, 3, 1])
    assert torch.equal(vary(batch.select(order)).valid, once.valid[order])


def test_it_happens_with_the_probability_of_the_source() -> None:
    sources = [0, 1] * 200
    vary = DeviceAugment([DeviceAugmentOptions(cutmix=0.3), DeviceAugmentOptions()])
    whole = vary(batch_of(sources)).valid.flatten(1).all(1)
    assert whole[1::2].all()
    assert 0.6 < whole[::2].float().mean() < 0.8


@settings(max_examples=60)
@example((0.0, 0.0, 1.0, 1.0), 2, 2)  # the last place of all
@given(st.tuples(*[st.floats(0, 1)] * 4), st.integers(2, 50), st.integers(2, 50))
def test_a_window_is_whole_and_of_the_stated_size(unit: tuple[float, ...], height: int, width: int) -> None:
    tall, wide, down, across = (torch.tensor([value]) for value in unit)
    mask = window((height, width), tall=tall, wide=wide, down=down, across=across)[0, 0]
    for length, side in ((height, int(mask.any(1).sum())), (width, int(mask.any(0).sum()))):
        assert SIDES[0] * length - 0.5 <= side <= SIDES[1] * length + 0.5
    assert int(mask.sum()) == int(mask.any(1).sum()) * int(mask.any(0).sum())


@settings(max_examples=60)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_the_partner_is_the_next_of_the_same_source(sources: list[int]) -> None:
    count = len(sources)
    expected = [
        next(k % count for k in range(i + 1, i + count + 1) if sources[k % count] == source)
        for i, source in enumerate(sources)
    ]
    assert next_of_source(torch.tensor(sources)).tolist() == expected


def test_it_never_waits_for_the_device() -> None:
    assert DeviceAugment([ALWAYS])(batch_of([0, 0]).to("meta")).image.device.type == "meta"
    with fake_cuda():
        assert DeviceAugment([ALWAYS])(batch_of([0, 0]).to("cuda:0")).image.device.type == "cuda"
