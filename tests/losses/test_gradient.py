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


def stripes(along: str) -> torch.Tensor:
    """A map of 40 x 24 pixels that changes along one image axis only, by the same steps everywhere."""
    size = (1, 1, 40, 24)
    step = torch.arange(size[2])[:, None] if along == "rows" else torch.arange(size[3])
    return (step % 16 < 8).float().expand(size)


@pytest.mark.parametrize("along", ["rows", "columns"])
def test_strides_run_along_both_image_axes(along):
    # Public code strides channel and height of [b c h w], so an error across columns is never seen coarsely.
    error, valid = stripes(along), torch.ones(1, 1, 40, 24, dtype=torch.bool)
    label = torch.randn(error.shape, generator=torch.Generator().manual_seed(0)).abs()
    first = gradient_matching(label + error, label, valid, scales=1)
    fourth = gradient_matching(label + error, label, valid, scales=4)
    r = normalised_map(label + error) - normalised_map(label)
    expected = sum(
        np.mean(np.concatenate([abs(np.diff(r[::s, ::s], axis=a)).ravel() for a in (0, 1)]))
        for s in (1, 2, 4, 8)
    )
    np.testing.assert_allclose(fourth.item(), expected, rtol=1e-5)
    assert fourth > first


def test_an_error_along_one_axis_costs_the_same_along_the_other():
    g = torch.Generator().manual_seed(1)
    p, t = torch.randn(2, 1, 1, 40, 24, generator=g, dtype=torch.float64)
    valid = torch.rand(1, 1, 40, 24, generator=g) > 0.2
    turned = gradient_matching(p.mT.contiguous(), t.mT.contiguous(), valid.mT.contiguous())
    torch.testing.assert_close(turned, gradient_matching(p, t, valid))


def normalised_map(x: torch.Tensor) -> np.ndarray:
    return normalised(x[0, 0].double().numpy().ravel()).reshape(x.shape[2:])


def test_rows_are_normalised_one_by_one():
    g = torch.Generator().manual_seed(0)
    p, t = torch.rand(2, 2, 1, 16, 16, generator=g)
    valid = torch.ones(2, 1, 16, 16, dtype=torch.bool)
    louder = torch.tensor([1.0, 1e4])[:, None, None, None]
    torch.testing.assert_close(
        gradient_matching(louder * p, louder * t, valid), gradient_matching(p, t, valid)
    )


def test_an_inverted_prediction_does_not_score_zero():
    t = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(1, 1, 16, 16, dtype=torch.bool)
    assert gradient_matching(1 - t, t, valid).item() > 1


def test_median_is_that_of_the_valid_pixels():
    # Over zero-filled holes the normalisation of the two maps disagrees, and steps remain where none are.
    g = torch.Generator().manual_seed(2)
    t, holes = torch.rand(1, 1, 32, 32, generator=g) + 7, torch.rand(1, 1, 32, 32, generator=g) < 0.4
    assert gradient_matching(torch.where(holes, 2 * t + 9, 0), torch.where(holes, t, 0), holes).item() < 1e-4


def test_foreign_maps_are_refused():
    with pytest.raises(ValueError, match="`valid` must"):
        gradient_matching(
            torch.rand(1, 1, 5, 5), torch.rand(1, 1, 5, 5), torch.ones(1, 5, 5, dtype=torch.bool)
        )


def test_scales_below_one_are_refused():
    with pytest.raises(ValueError, match="`scales` must be at least 1, got 0"):
        GradientMatchingLoss(scales=0)
