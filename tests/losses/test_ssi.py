"""The scale-and-shift-invariant loss."""

import numpy as np
import pytest
import torch

from depthmix.losses import ScaleShiftInvariantLoss, ssi_trimmed
from tests.losses.contract import LossContract, Row


def normalised(values: np.ndarray) -> np.ndarray:
    median = np.median(values)
    return (values - median) / np.mean(np.abs(values - median))


class TestScaleShiftInvariantLoss(LossContract):
    def make(self):
        return ScaleShiftInvariantLoss()

    def reference(self, row: Row):
        p = normalised(row.inverse_prediction[row.valid])
        g = normalised(row.inverse_target[row.valid])
        residuals = sorted(abs(a - b) for a, b in zip(p, g, strict=True))
        kept = len(residuals) - int(0.2 * len(residuals))
        return sum(residuals[:kept]) / (2 * len(residuals))

    def plain(self):
        g = torch.Generator().manual_seed(0)
        p, t = torch.rand(2, 2, 1, 5, 6, generator=g, dtype=torch.float64)
        valid = torch.rand(2, 1, 5, 6, generator=g) > 0.3
        return lambda x: ssi_trimmed(x, t, valid), p


class TestScaleShiftInvariantLossInBlocks(LossContract):
    side = 5  # divides neither height nor width

    def make(self):
        return ScaleShiftInvariantLoss(trim=0.1, block=self.side)

    def reference(self, row: Row):
        p, g = np.zeros_like(row.y), np.zeros_like(row.y)
        p[row.valid] = normalised(row.inverse_prediction[row.valid])
        g[row.valid] = normalised(row.inverse_target[row.valid])
        blocks: dict[tuple[int, int], list[float]] = {}
        for v, u in zip(*np.nonzero(row.valid), strict=True):
            blocks.setdefault((v // self.side, u // self.side), []).append(abs(p[v, u] - g[v, u]))
        ordered = sorted(blocks.values(), key=np.mean)
        kept = ordered[: len(ordered) - int(0.1 * len(ordered))]
        return sum(map(sum, kept)) / (2 * row.valid.sum())

    def plain(self):
        g = torch.Generator().manual_seed(0)
        p, t = torch.rand(2, 2, 1, 5, 6, generator=g, dtype=torch.float64)
        valid = torch.rand(2, 1, 5, 6, generator=g) > 0.3
        return lambda x: ssi_trimmed(x, t, valid, 0.3, 2), p


def pair(seed=0, size=(1, 1, 24, 24)):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*size, generator=g), torch.ones(size, dtype=torch.bool)


def test_ignores_scale_and_shift_of_both_maps():
    (p, valid), (g, _) = pair(0), pair(1)
    expected = ssi_trimmed(p, g, valid)
    torch.testing.assert_close(ssi_trimmed(3 * p + 7, 0.01 * g - 2, valid), expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("contrast", [0.1, 0.01, 0.001])
def test_an_affine_image_of_the_label_scores_zero_at_low_contrast(contrast):
    # Uncentred normal equations lose this alignment: residuals of 0.08 at 0.01 and of 5 at 0.001.
    g, valid = pair()
    p = (5 + contrast * g.double()).float()
    assert ssi_trimmed(p, g, valid).item() < 1e-3


def test_a_depth_inverted_prediction_does_not_score_zero():
    g, valid = pair()
    assert ssi_trimmed(1 - g, g, valid).item() > 0.5


def test_median_is_that_of_the_valid_pixels():
    # Over zero-filled holes the median of a map with 40 % valid pixels is 0 and the scale six times too big.
    g, valid = pair()
    p, holes = 2 * g + 9, torch.rand(valid.shape, generator=torch.Generator().manual_seed(3)) < 0.4
    assert ssi_trimmed(p, g, holes).item() < 1e-5
    assert ssi_trimmed(torch.where(holes, p, 0), torch.where(holes, g, 0), holes).item() < 1e-5


def test_trimming_is_per_image_so_a_noisy_row_spends_only_its_own_budget():
    g, valid = pair(0, (2, 1, 24, 24))
    p = g.clone()
    p[0, 0, :2] += 50  # 8 % outliers: inside the budget of 20 %
    p[1] = torch.rand(1, 24, 24, generator=torch.Generator().manual_seed(5))
    alone = ssi_trimmed(p[:1], g[:1], valid[:1])
    torch.testing.assert_close(ssi_trimmed(p, g, valid)[:1], alone)
    untrimmed = ssi_trimmed(p[:1], g[:1], valid[:1], trim=0.0)
    assert alone.item() < untrimmed.item() / 2


def test_value_never_exceeds_one_so_a_flat_wall_cannot_explode_it():
    p, valid = pair()
    wall = torch.ones_like(p)
    wall[..., :1] = 1.04
    assert ssi_trimmed(p, wall, valid, trim=0.0).item() <= 1


def test_a_constant_label_is_no_supervision():
    p, valid = pair()
    assert ssi_trimmed(p, torch.full_like(p, 2.7), valid).item() == 0


def test_a_prediction_flatter_than_the_floor_is_pulled_towards_the_shape_of_the_label():
    g, valid = pair()
    p = torch.full_like(g, 3.0).requires_grad_()
    ssi_trimmed(p, g, valid).sum().backward()
    assert (p.grad * (g - g.median())).sum() < 0


def test_blocks_out_of_range_are_refused():
    with pytest.raises(ValueError, match="`block` must be at least 1, got 0"):
        ScaleShiftInvariantLoss(block=0)


def test_trim_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"`trim` must be in \[0, 1\), got 1.2"):
        ScaleShiftInvariantLoss(trim=1.2)


def test_tied_residuals_share_the_place_that_is_left():
    # A label of ties: which of them a sort would drop must not matter, for the value or the gradient.
    g = torch.arange(16.0).view(1, 1, 4, 4) % 4
    p, valid = (g.flip(3) + 1).requires_grad_(), torch.ones(1, 1, 4, 4, dtype=torch.bool)
    ssi_trimmed(p, g, valid).sum().backward()
    rows = p.grad[0, 0]
    torch.testing.assert_close(rows, rows[:1].expand(4, 4))


def test_foreign_maps_are_refused():
    p, valid = pair()
    with pytest.raises(ValueError, match="`target` must"):
        ssi_trimmed(p, p[0], valid)
