"""The losses of the sky."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from depthmix.losses import SkyBehindLoss, SkyLoss, sky_behind, sky_cross_entropy
from depthmix.prediction import Prediction
from depthmix.sample import LabelKind
from tests.losses.cases import KINDS, H, make_batch, make_log_canonical, predict
from tests.losses.contract import LossContract, Row
from tests.losses.metric_cases import plain_case, strip


def sky_of(row: Row) -> np.ndarray:
    """The sky of every row of `make_batch`."""
    return (np.arange(H) < 3)[:, None] & ~row.valid


class TestSkyLoss(LossContract):
    reads_prediction_outside_mask = True

    def make(self):
        return SkyLoss()

    def reference(self, row: Row):
        sky = [math.log1p(math.exp(-(0.5 - y))) for y in row.y[sky_of(row)]]
        ground = [math.log1p(math.exp(0.5 - y)) for y in row.y[row.valid]]
        means = [sum(part) / len(part) for part in (sky, ground) if part]
        return sum(means) / len(means)

    def plain(self):
        y, _, valid = plain_case()
        sky = ~valid & (torch.arange(5) < 3)
        return lambda x: sky_cross_entropy(5 * x, sky, valid), y


class TestSkyBehindLoss(LossContract):
    knows_order = False
    reads_prediction_outside_mask = True

    def make(self):
        return SkyBehindLoss(margin=0.1)

    def reference(self, row: Row):
        depth = np.log(row.depth_prediction)
        metric = row.kind is LabelKind.METRIC_DEPTH
        farthest = np.log(row.target[row.valid]).max() if metric else depth[row.valid].max()
        gaps = [max(0.0, farthest + 0.1 - d) for d in depth[sky_of(row)]]
        return sum(gaps) / len(gaps)

    def plain(self):
        y, _, valid = plain_case()
        return lambda x: sky_behind(x, ~valid, y.new_tensor([0.5, 0.9])), y.clone()


def masks(sky: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return sky (s) and valid (v) of a line of pixels."""
    return strip(*(c == "s" for c in sky)), strip(*(c == "v" for c in sky))


def test_a_strip_of_sky_weighs_as_much_as_the_ground():
    sky, valid = masks("svvvvvvv")
    logit = torch.zeros(1, 1, 1, 8, requires_grad=True)
    sky_cross_entropy(logit, sky, valid).sum().backward()
    torch.testing.assert_close(logit.grad, strip(-0.25, *[0.25 / 7] * 7))


@pytest.mark.parametrize("seen", ["ss", "vv", "sv"])
def test_a_row_that_shows_one_of_the_two_is_judged_by_that_one(seen):
    logit = torch.zeros(1, 1, 1, 2)
    assert sky_cross_entropy(logit, *masks(seen)).item() == pytest.approx(math.log(2))


def test_unknown_pixels_are_never_read():
    sky, valid = masks("sv-")
    for rubbish in (torch.nan, torch.inf, 3.0):
        logit = strip(1.0, -1.0, rubbish).requires_grad_()
        value = sky_cross_entropy(logit, sky, valid)
        value.sum().backward()
        assert value.item() == pytest.approx(math.log1p(math.exp(-1)))
        assert logit.grad.flatten()[2] == 0
    assert sky_behind(strip(1.0, 0.0, torch.nan), sky, torch.tensor([3.0])).item() == 2


def test_it_agrees_with_the_cross_entropy_of_torch():
    y, _, valid = plain_case()
    logit, sky = 4 * y[:1] - 2, valid[:1]
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(logit, sky.double(), reduction="none")
    expected = (theirs[sky].mean() + theirs[~sky].mean()) / 2
    torch.testing.assert_close(sky_cross_entropy(logit, sky, ~sky)[0], expected, rtol=1e-9, atol=0)


def test_a_network_without_a_sky_head_is_refused():
    batch = make_batch()
    prediction = Prediction(make_log_canonical(batch), batch.intrinsics, 30.0)
    with pytest.raises(ValueError, match=r"`prediction.sky_logit` must be a map for SkyLoss, got None"):
        SkyLoss()(prediction, batch)


@pytest.mark.parametrize("log_depth", [-11.0, 0.0])
def test_sky_put_too_near_is_pushed_away_with_the_same_force_however_near(log_depth):
    y = torch.full((1, 1, 1, 2), log_depth, requires_grad=True)
    sky_behind(y, torch.ones(1, 1, 1, 2).bool(), torch.tensor([4.0])).sum().backward()
    torch.testing.assert_close(y.grad, torch.full_like(y, -0.5))


def test_sky_behind_everything_costs_nothing_and_only_sky_feels_the_loss():
    batch = make_batch()
    y = torch.where(batch.sky, 11.0, make_log_canonical(batch))
    assert (SkyBehindLoss()(predict(y, batch), batch) == 0).all()
    y = make_log_canonical(batch).requires_grad_()
    SkyBehindLoss()(predict(y, batch), batch).sum().backward()
    assert (y.grad[~batch.sky] == 0).all()
    assert (y.grad <= 0).all()


def test_the_limit_is_the_label_where_it_has_metres_and_the_prediction_elsewhere():
    batch = make_batch(KINDS[:3])
    y = make_log_canonical(batch)
    before = SkyBehindLoss()(predict(y, batch), batch)
    after = SkyBehindLoss()(predict(y, batch), replace(batch, target=10 * batch.target))
    changed = (after - before).abs() > 1e-6
    assert changed.tolist() == [True, False, False]


def test_a_margin_out_of_range_is_refused():
    with pytest.raises(ValueError, match="`margin` must be finite and not negative, got -1"):
        SkyBehindLoss(margin=-1)
