"""The multi-scale gradient loss."""

import numpy as np
import pytest
import torch

from depthmix.losses import GradientMatchingLoss, gradient_matching
from tests.losses.cases import make_batch
from tests.losses.contract import LossContract, Row
from tests.losses.test_ssi import normalised


class TestGradientMatchingLoss(LossContract):
    def make(self):
        return GradientMatchingLoss()

    def reference(self, row: Row):
        r = np.zeros(row.valid.shape)
        prediction, target = row.inverse_prediction[row.valid], row.inverse_target[row.valid]
        r[row.valid] = normalised(prediction) - normalised(target)
        return sum(self.one_scale(r[::s, ::s], row.valid[::s, ::s]) for s in (1, 2, 4, 8))

    @staticmethod
    def one_scale(r, valid):
        steps = [
            abs(r[y + dy, x + dx] - r[y, x])
            for y, x in np.ndindex(r.shape)
            for dy, dx in ((0, 1), (1, 0))
            if y + dy < r.shape[0] and x + dx < r.shape[1] and valid[y, x] and valid[y + dy, x + dx]
        ]
        return sum(steps) / len(steps)

    def plain(self):
        g = torch.Generator().manual_seed(0)
        p, t = torch.rand(2, 2, 1, 6, 9, generator=g, dtype=torch.float64)
        valid = torch.rand(2, 1, 6, 9, generator=g) > 0.2
        return lambda x: gradient_matching(x, t, valid), p


def test_a_row_without_neighbouring_pixels_is_no_supervision():
    batch = make_batch()
    lonely = torch.zeros_like(batch.valid)
    lonely[..., 1::9, 1::9] = True
    target = batch.inverse_depth
    prediction = torch.rand_like(target)
    assert torch.equal(gradient_matching(prediction, target, lonely, scales=4), torch.zeros(len(batch)))


def test_holes_do_not_thin_the_loss_out():
    g = torch.Generator().manual_seed(0)
    p, t = torch.rand(2, 1, 1, 64, 64, generator=g)
    holes = torch.rand(1, 1, 64, 64, generator=g) > 0.5
    full = gradient_matching(p, t, torch.ones_like(holes), scales=1)
    torch.testing.assert_close(gradient_matching(p, t, holes, scales=1), full, rtol=0.05, atol=0)


def test_a_blurred_edge_costs_more_than_a_sharp_one():
    step = torch.where(torch.arange(32) < 16, 1.0, 2.0).expand(1, 1, 32, 32)
    blurred = torch.sigmoid((torch.arange(32) - 15.5) / 3).expand(1, 1, 32, 32)
    valid = torch.ones(1, 1, 32, 32, dtype=torch.bool)
    assert gradient_matching(3 * step - 1, step, valid) < 1e-5
    assert gradient_matching(blurred, step, valid) > 0.1


def test_scales_below_one_are_refused():
    with pytest.raises(ValueError, match="`scales` must be at least 1, got 0"):
        GradientMatchingLoss(scales=0)
