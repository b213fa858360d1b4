"""Pixels near steps of a label."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from depthmix.errors import ConfigError
from depthmix.losses import EdgeMask, image_edges, label_steps, near_steps, strong_edges, unmatched_steps
from depthmix.sample import LabelKind
from tests.fake_cuda import fake_cuda
from tests.losses.cases import LABEL_FAULTS, make_batch
from tests.losses.contract import CountOperations

DEPTH, RELATIVE = torch.tensor([True]), torch.tensor([False])


def window(x: np.ndarray, v: int, u: int, pixels: int) -> np.ndarray:
    return x[max(0, v - pixels) : v + pixels + 1, max(0, u - pixels) : u + pixels + 1]


def naive_steps(inverse: np.ndarray, valid: np.ndarray, is_depth: bool, step: float) -> np.ndarray:
    values = inverse[valid]
    spread = np.mean(np.abs(values - values.mean())) if len(values) else 0
    found = np.zeros(valid.shape, dtype=bool)
    for v, u in np.ndindex(valid.shape):
        near = window(inverse, v, u, 1)[window(valid, v, u, 1)]
        if len(near):
            unit = near.min() if is_depth else spread
            found[v, u] = unit > 0 and near.max() - near.min() > step * unit
    return found


def naive_near(steps: np.ndarray, pixels: int) -> np.ndarray:
    return np.array(
        [[window(steps, v, u, pixels).any() for u in range(steps.shape[1])] for v in range(steps.shape[0])]
    )


def stereo_label(fat: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A near box before a far wall whose label is too wide; the picture, the label and where it is wrong."""
    true = torch.full((1, 1, 32, 40), 0.1)
    true[..., 10:20, 12:26] = 0.5
    label = torch.full_like(true, 0.1)
    label[..., 10 - fat : 20 + fat, 12 - fat : 26 + fat] = 0.5
    image = (40 + 400 * true).expand(1, 3, 32, 40).to(torch.uint8)
    return image, label, torch.ones_like(true, dtype=torch.bool), label != true


@pytest.mark.parametrize(
    "fault", ["no valid pixel", "one valid pixel", "checkerboard", "constant label", "no camera"]
)
def test_steps_are_those_of_a_naive_implementation(fault):
    batch = LABEL_FAULTS[fault](make_batch())
    found = label_steps(batch.inverse_depth, batch.valid, batch.is_depth, 0.1)
    for row in range(len(batch)):
        inverse, valid = batch.inverse_depth[row, 0].double().numpy(), batch.valid[row, 0].numpy()
        expected = naive_steps(inverse, valid, bool(batch.is_depth[row]), 0.1)
        assert np.array_equal(found[row, 0].numpy(), expected)
    assert found.any() == (fault in ("checkerboard", "no camera"))


@pytest.mark.parametrize("pixels", [0, 1, 3])
def test_the_band_is_that_of_a_naive_implementation(pixels):
    steps = torch.rand(2, 1, 9, 11, generator=torch.Generator().manual_seed(0)) > 0.95
    found = near_steps(steps, pixels)
    for row in range(2):
        assert np.array_equal(found[row, 0].numpy(), naive_near(steps[row, 0].numpy(), pixels))


@given(st.floats(0.01, 100), st.floats(-1, 1), st.integers(0, 9))
def test_steps_know_no_unit(factor, shift, seed):
    g = torch.Generator().manual_seed(seed)
    inverse = torch.rand(1, 1, 6, 7, generator=g, dtype=torch.float64) + 0.1
    valid = torch.rand(1, 1, 6, 7, generator=g) > 0.2
    for is_depth, other in ((DEPTH, factor * inverse), (RELATIVE, factor * (inverse + shift))):
        assert torch.equal(
            label_steps(other, valid, is_depth, 0.3), label_steps(inverse, valid, is_depth, 0.3)
        )


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 9))
def test_a_wider_band_contains_a_narrower_one_and_bands_add_up(one, two, seed):
    steps = torch.rand(1, 1, 12, 14, generator=torch.Generator().manual_seed(seed)) > 0.97
    assert torch.equal(near_steps(near_steps(steps, one), two), near_steps(steps, one + two))
    assert (near_steps(steps, one + two) | ~near_steps(steps, one)).all()


def test_what_lies_outside_the_mask_is_never_read():
    batch = make_batch()
    expected = label_steps(batch.inverse_depth, batch.valid, batch.is_depth, 0.1)
    for rubbish in (torch.nan, torch.inf, -1e30):
        dirty = torch.where(batch.valid, batch.inverse_depth, rubbish)
        assert torch.equal(label_steps(dirty, batch.valid, batch.is_depth, 0.1), expected)


def test_the_band_covers_what_a_label_has_fattened_and_leaves_most_of_the_rest():
    _, label, valid, wrong = stereo_label(fat=3)
    steps = label_steps(label, valid, DEPTH, 0.1)
    assert not (wrong & ~near_steps(steps, 2)).any()
    assert (wrong & ~near_steps(steps, 0)).any()
    assert near_steps(steps, 2).float().mean() < 0.45


def test_only_steps_beside_an_edge_of_the_picture_are_unmatched():
    image, label, valid, wrong = stereo_label(fat=3)
    assert image_edges(image)[0].amax() > 0
    displaced = unmatched_steps(label_steps(label, valid, DEPTH, 0.1), image)
    assert not (wrong & ~near_steps(displaced, 2)).any()
    _, exact, _, _ = stereo_label(fat=0)
    assert not unmatched_steps(label_steps(exact, valid, DEPTH, 0.1), image).any()
    assert strong_edges(image).any()


def test_steps_are_found_across_a_hole_of_one_pixel_but_not_of_three():
    inverse = torch.tensor([1.0, 1, 1, 1, 2, 2, 2, 2]).view(1, 1, 1, 8)
    for hole, expected in (([4], [4]), ([3, 4, 5], [])):
        valid = torch.ones(1, 1, 1, 8, dtype=torch.bool)
        valid[..., hole] = False
        steps = label_steps(inverse, valid, DEPTH, 0.1)
        assert steps.flatten().nonzero().flatten().tolist() == expected


@pytest.mark.parametrize("edges", ["all", "unmatched"])
def test_the_number_of_operations_depends_on_neither_rows_nor_labels(edges):
    counts = []
    for kinds, fault in (((LabelKind.METRIC_DEPTH,), "no planes"), (tuple(LabelKind), "one valid pixel")):
        batch = LABEL_FAULTS[fault](make_batch(kinds))
        with CountOperations() as counter:
            EdgeMask(edges=edges).mark(batch)
        counts.append(counter.count)
    assert len(set(counts)) == 1


@pytest.mark.parametrize("edges", ["all", "unmatched"])
def test_it_waits_for_no_device_and_runs_on_meta(edges):
    real = make_batch()
    assert EdgeMask(edges=edges).mark(real.to("meta")).is_meta
    with fake_cuda():
        batch = real._mapped(lambda t: torch.empty(t.shape, dtype=t.dtype, device="cuda:0"))
        assert EdgeMask(edges=edges).mark(batch).device.type == "cuda"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"pixels": -1}, r"edges.pixels: must be in \[0, 64\], got -1"),
        ({"step": 0.0}, "edges.step: must be positive and finite, got 0"),
        ({"edges": "picture"}, 'edges.edges: must be "all" or "unmatched"'),
    ],
)
def test_options_out_of_range_are_refused(options, reason):
    with pytest.raises(ConfigError, match=reason):
        EdgeMask(**options)
