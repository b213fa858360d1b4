"""The loss of the focal head."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from depthmix.losses import FocalLoss, focal_error
from depthmix.prediction import Prediction, log_focal_of
from depthmix.sample import Intrinsics, LabelKind
from tests.losses.cases import KINDS, make_batch, make_log_canonical, predict
from tests.losses.contract import LossContract, Row


class TestFocalLoss(LossContract):
    knows_order = False
    reads_prediction_outside_mask = True

    def make(self):
        return FocalLoss()

    def reference(self, row: Row):
        stated = sum(0.2 * y for y in row.y.ravel()) / row.y.size
        fx, fy = row.camera[:2]
        return abs(stated - math.log((fx * fy) ** 0.5 / (row.y.shape[0] ** 2 + row.y.shape[1] ** 2) ** 0.5))

    def plain(self):
        y = torch.rand(2, 1, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        cameras = torch.tensor([[3.0, 5.0, 2.0, 2.0], [90.0, 90.0, 2.0, 2.0]], dtype=torch.float64)
        return lambda x: focal_error(x, cameras), y


def statement(focal: float, height: int, width: int) -> torch.Tensor:
    return log_focal_of(torch.tensor([[focal, focal, 0.0, 0.0]]), height, width)


def test_the_right_focal_length_costs_nothing_and_a_tenth_too_long_a_tenth():
    camera = torch.tensor([[50.0, 50.0, 15.5, 11.5]])
    for factor in (1.0, 1.1, 1 / 1.1):
        stated = statement(50 * factor, 24, 32).view(1, 1, 1, 1).expand(1, 1, 24, 32)
        assert focal_error(stated, camera).item() == pytest.approx(abs(math.log(factor)), abs=1e-5)


def test_pixels_may_disagree_as_long_as_their_mean_is_right():
    camera = torch.tensor([[50.0, 50.0, 15.5, 11.5]])
    wobble = torch.linspace(-3, 3, 24 * 32).view(1, 1, 24, 32)
    assert focal_error(statement(50, 24, 32) + wobble, camera).item() == pytest.approx(0, abs=1e-5)


def test_a_normal_lens_is_zero_and_size_mirror_and_turn_do_not_matter():
    film = 36, 24, math.hypot(36, 24)
    assert statement(film[2], 24, 36).item() == pytest.approx(0, abs=1e-6)
    same = [statement(50, 24, 36), statement(50, 36, 24), statement(500, 240, 360)]
    assert all(one.item() == pytest.approx(same[0].item(), abs=1e-6) for one in same)


def test_a_crop_is_a_longer_lens():
    camera = Intrinsics(50, 50, 15.5, 11.5)
    part = camera.cropped(8, 6)  # the middle half of 24 x 32 pixels
    whole = log_focal_of(torch.tensor([[camera.fx, camera.fy, camera.cx, camera.cy]]), 24, 32)
    half = log_focal_of(torch.tensor([[part.fx, part.fy, part.cx, part.cy]]), 12, 16)
    assert (half - whole).item() == pytest.approx(math.log(2), abs=1e-6)


def test_a_row_of_any_kind_teaches_and_one_without_a_camera_does_not():
    known = torch.tensor([True, False, True, False, True])
    batch = make_batch()
    batch = replace(
        batch, camera_known=known, intrinsics=torch.where(known[:, None], batch.intrinsics, torch.nan)
    )
    y = make_log_canonical(batch).requires_grad_()
    values = FocalLoss()(predict(y, batch), batch)
    values.sum().backward()
    assert [LabelKind(int(kind)) for kind in batch.kind] == list(KINDS)
    assert (values > 0).tolist() == known.tolist() == FocalLoss().supervised(batch).tolist()
    assert np.array_equal(y.grad.abs().flatten(1).sum(1) > 0, known)


def test_a_network_without_a_focal_head_is_refused():
    batch = make_batch()
    prediction = Prediction(make_log_canonical(batch), batch.intrinsics, 30.0)
    with pytest.raises(ValueError, match=r"`prediction.log_focal` must be a map for FocalLoss, got None"):
        FocalLoss()(prediction, batch)
