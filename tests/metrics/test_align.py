"""What a label leaves open is fitted, and nothing else."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from depthmix.metrics import ALIGNMENTS, Alignment
from depthmix.metrics import functional as f
from tests.metrics.toy_maps import SIZE, naive, scene


@settings(max_examples=25)
@given(scale=st.floats(0.01, 100), shift=st.floats(-0.5, 5))
def test_ssi_and_alignment_ignore_scale_and_shift_of_inverse_depth(scale: float, shift: float):
    _, target, valid = scene()
    inverse = torch.where(valid, 1 / torch.where(valid, target, 1), 0).double()
    moved = scale * inverse + shift
    assert f.ssi(moved, inverse, valid).max() < 1e-6
    depth = f.align_inverse_depth(moved, target, valid)
    torch.testing.assert_close(depth[valid], target[valid].double(), rtol=1e-6, atol=1e-6)


def test_ssi_agrees_with_a_least_squares_solver_and_is_one_for_a_constant():
    prediction, target, valid = scene()

    def solve(p: np.ndarray, g: np.ndarray) -> float:
        matrix = np.stack([p, np.ones_like(p)], 1)
        fitted = matrix @ np.linalg.lstsq(matrix, g, rcond=None)[0]
        return float(np.mean(np.abs(fitted - g)) / np.mean(np.abs(g - np.median(g))))

    np.testing.assert_allclose(
        f.ssi(prediction, target, valid), naive(solve, prediction, target, valid), 1e-6
    )
    constant = f.ssi(torch.ones_like(target), target, valid)
    assert ((constant >= 1) & (constant < 1.1)).all()  # the mean is fitted, the median is the yardstick


def test_an_inverted_prediction_gains_nothing_by_alignment():
    _, target, valid = scene()
    depth = f.align_inverse_depth(torch.where(valid, target, 0), target, valid)
    assert (depth.flatten(1).amax(1) - depth.flatten(1).amin(1)).max() < 1e-9


def test_aligned_depth_is_positive_and_no_farther_than_the_farthest_label():
    draw = torch.Generator().manual_seed(3)
    _, target, valid = scene()
    depth = f.align_inverse_depth(torch.randn(3, 1, *SIZE, generator=draw), target, valid)
    cap = torch.where(valid, target, 0).amax((1, 2, 3), keepdim=True).double()
    assert (depth > 0).all()
    assert (depth <= cap * (1 + 1e-9)).all()


def naive_fit(alignment: str, p: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Fit the valid pixels of one row, as depth."""
    if alignment == "median":
        return p * np.median(g) / np.median(p)
    if alignment == "scale":
        return p * sum(a * b for a, b in zip(p, g, strict=True)) / sum(a * a for a in p)
    inverse = alignment != "affine_depth"
    x, y = (1 / p, 1 / g) if inverse else (p, g)
    scale, shift = np.linalg.lstsq(np.stack([x, np.ones_like(x)], 1), y, rcond=None)[0]
    scale, shift = (scale, shift) if scale > 0 else (0, y.mean())
    fitted = np.maximum(scale * x + shift, y.min())
    return 1 / fitted if inverse else fitted


@pytest.mark.parametrize("alignment", ["median", "scale", "affine_depth", "affine_inverse_depth"])
def test_every_fit_agrees_with_numpy_on_the_valid_pixels(alignment: Alignment):
    prediction, target, valid = scene()
    prediction[1] = 8 - prediction[1]  # turned over
    maps = prediction, target, valid
    found, constant = f.align(*maps, alignment)
    for row in range(3):
        good = valid[row].numpy()
        p, g = (x[row].double().numpy()[good] for x in (prediction, target))
        np.testing.assert_allclose(found[row].numpy()[good], naive_fit(alignment, p, g), rtol=1e-6)
    assert constant.tolist() == [False, alignment.startswith("affine"), False]


def robust_cost(scale: float, shift: float, x: np.ndarray, y: np.ndarray) -> float:
    limit = 0.5 * np.mean(np.abs(y - np.median(y)))
    return sum(min(abs(scale * a + shift - b), limit) for a, b in zip(x, y, strict=True))


def test_the_robust_fit_is_as_good_as_the_best_line_through_two_pixels():
    _, target, valid = scene()
    draw = torch.Generator().manual_seed(5)
    inverse = 1 / torch.where(valid, target, 1)
    noise = 0.02 * torch.randn(inverse.shape, generator=draw)
    outlier = torch.rand(inverse.shape, generator=draw) < 0.15
    elsewhere = 0.2 + 0.4 * torch.rand(inverse.shape, generator=draw)
    inverse = torch.where(outlier, elsewhere, 0.5 * inverse + 0.1 + noise.clamp(-0.05, 0.05))
    found, _ = f.align(1 / inverse, target, valid, "robust_inverse_depth")
    straight, _ = f.align(1 / inverse, target, valid, "affine_inverse_depth")
    for row in range(3):
        good = valid[row].numpy()
        x, y = (v[row].double().numpy()[good] for v in (inverse, 1 / target))
        ours = 1 / found[row].numpy()[good]
        limit = 0.5 * np.mean(np.abs(y - np.median(y)))
        cost = np.minimum(np.abs(ours - y), limit).sum()
        # A least sum of absolute errors is reached on a line through two of the points.
        pairs = np.random.default_rng(0).integers(0, len(x), (400, 2))
        lines = [((y[a] - y[b]) / (x[a] - x[b]), a) for a, b in pairs if x[a] != x[b]]
        best = min(robust_cost(s, y[a] - s * x[a], x, y) for s, a in lines if s > 0)
        assert cost <= 1.05 * best
    error, other = (f.abs_rel(z, target, valid & ~outlier) for z in (found, straight))
    assert (error < 0.75 * other).all()


@settings(max_examples=20)
@given(scale=st.floats(0.05, 20), shift=st.floats(0, 5), seed=st.integers(0, 1000))
def test_an_alignment_undoes_what_it_allows_for(scale: float, shift: float, seed: int):
    _, target, valid = scene(seed)
    depth = torch.where(valid, target, 1).double()
    changed: dict[Alignment, Tensor] = {
        "median": scale * depth,
        "scale": scale * depth,
        "affine_depth": scale * depth + shift,
        "affine_inverse_depth": 1 / (scale / depth + shift),
        "robust_inverse_depth": 1 / (scale / depth + shift),
    }
    for alignment, prediction in changed.items():
        found, constant = f.align(prediction, target, valid, alignment)
        torch.testing.assert_close(found[valid], depth[valid], rtol=1e-6, atol=1e-6, msg=alignment)
        assert not constant.any()


def test_as_predicted_is_as_predicted():
    prediction, target, valid = scene()
    found, _ = f.align(prediction, target, valid, "none")
    assert torch.equal(found, prediction.double())


@pytest.mark.parametrize("alignment", ["affine_depth", "affine_inverse_depth", "robust_inverse_depth"])
def test_a_prediction_that_is_turned_over_or_flat_becomes_constant_and_is_named(alignment: Alignment):
    _, target, valid = scene()
    depth = torch.where(valid, target, 1)
    turned = torch.cat([depth[:1], 8 - depth[1:2], torch.full_like(depth[:1], 3.0)])
    found, constant = f.align(turned, target, valid, alignment)
    assert constant.tolist() == [False, True, True]
    spread = found.flatten(1).amax(1) - found.flatten(1).amin(1)
    assert (spread < 1e-9).tolist() == [False, True, True]


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_aligned_depth_is_positive_and_within_the_cap(alignment: Alignment):
    draw = torch.Generator().manual_seed(3)
    _, target, valid = scene()
    depth = torch.randn(3, 1, *SIZE, generator=draw).exp()
    assert (f.align(depth, target, valid, alignment)[0] > 0).all()
    found, _ = f.align(depth, target, valid, alignment, (1.5, 2.5))
    assert ((found >= 1.5) & (found <= 2.5)).all()


def test_without_a_cap_the_labels_bound_what_a_shift_can_do():
    _, target, valid = scene()
    near, far = (torch.where(valid, target, x).double() for x in (torch.inf, -torch.inf))
    nearest, farthest = near.amin((1, 2, 3), keepdim=True), far.amax((1, 2, 3), keepdim=True)
    # The shift would send what is predicted outside the label below zero and beyond infinity.
    low = torch.where(valid, target + 5, 1.0)
    found, _ = f.align(low, target, valid, "affine_depth")
    torch.testing.assert_close(found, torch.where(valid, target.double(), nearest), rtol=1e-5, atol=0)
    high = torch.where(valid, 1 / (1 / target + 2), 100.0)
    for alignment in ("affine_inverse_depth", "robust_inverse_depth"):
        found, _ = f.align(high, target, valid, alignment)
        torch.testing.assert_close(found, torch.where(valid, target.double(), farthest), rtol=1e-5, atol=0)


def test_a_cap_takes_the_place_of_the_bounds_from_the_own_labels():
    _, target, valid = scene()
    depth = target.clamp_min(0.1).sqrt()  # so that a line falls below the label at its small end
    inside = torch.where(valid, target, 1).double()
    cap = (float(inside.min()) / 8, float(inside.max()) * 8)
    for alignment, x, y in (("affine_depth", depth, inside), ("affine_inverse_depth", 1 / depth, 1 / inside)):
        found, _ = f.align(depth, target, valid, alignment, cap)  # type: ignore[arg-type]
        for row in range(3):
            good = valid[row].numpy()
            p, g = x[row].double().numpy()[good], y[row].numpy()[good]
            scale, shift = np.linalg.lstsq(np.stack([p, np.ones_like(p)], 1), g, rcond=None)[0]
            assert scale > 0
            fitted = scale * p + shift
            assert (fitted < g.min()).any()  # or nothing would be seen
            if alignment == "affine_inverse_depth":
                fitted = 1 / np.maximum(fitted, 1 / cap[1])
            np.testing.assert_allclose(found[row].numpy()[good], np.clip(fitted, *cap), rtol=1e-6)


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_a_row_without_a_label_stays_as_it_is(alignment: Alignment):
    prediction, target, valid = scene()
    valid[1] = False
    found, constant = f.align(prediction, target, valid, alignment)
    torch.testing.assert_close(found[1], prediction[1].double())
    assert not constant[1]


def test_the_robust_residual_forgives_outliers():
    _, target, valid = scene()
    label = torch.where(valid, 1 / target, 0)
    draw = torch.Generator().manual_seed(1)
    spoilt = torch.where(torch.rand(label.shape, generator=draw) < 0.1, 50.0, 3 * label + 1)
    assert (f.ssi(spoilt, label, valid, robust=True) > 1).all()  # it is the mean of all errors
    exact = valid & (spoilt != 50)
    assert f.ssi(3 * label + 1, label, exact, robust=True).max() < 1e-6


def test_an_unknown_alignment_is_refused():
    with pytest.raises(ValueError, match=r"^`alignment` must be one of none, median, .*, got 'affine'"):
        f.align(*scene(), "affine")  # type: ignore[arg-type]
