"""The one map and its views."""

import pytest
import torch

from depthmix.geometry import project
from depthmix.prediction import LOG_DEPTH_LIMIT, Prediction

FOCAL = 50.0


def predict(y: torch.Tensor, focal: float = 100.0) -> Prediction:
    return Prediction(y, torch.tensor([[focal, focal, 3.5, 2.5]]).repeat(len(y), 1), FOCAL)


def test_zero_is_one_metre_times_the_focal_ratio():
    prediction = predict(torch.zeros(1, 1, 6, 8))
    torch.testing.assert_close(prediction.depth, torch.full((1, 1, 6, 8), 2.0))
    torch.testing.assert_close(prediction.inverse_depth, torch.ones(1, 1, 6, 8))


def test_the_views_are_one_number():
    prediction = predict(torch.randn(2, 1, 6, 8))
    torch.testing.assert_close(prediction.log_depth.exp(), prediction.depth)
    torch.testing.assert_close(1 / prediction.inverse_depth * 2, prediction.depth)
    torch.testing.assert_close(prediction.points[:, 2:], prediction.depth)
    pixels = project(prediction.points, prediction.intrinsics)
    torch.testing.assert_close(pixels[0, 0, 0], torch.arange(8.0), atol=1e-5, rtol=0)


def test_focal_length_is_the_geometric_mean_of_both_axes():
    camera = torch.tensor([[50.0, 200.0, 0.0, 0.0]])
    prediction = Prediction(torch.zeros(1, 1, 2, 2), camera, FOCAL)
    torch.testing.assert_close(prediction.depth, torch.full((1, 1, 2, 2), 2.0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_views_are_float32_and_finite_for_any_finite_map(dtype):
    y = torch.tensor([-6e4, -20.0, 0.0, 20.0, 6e4]).to(dtype).view(1, 1, 1, 5).requires_grad_()
    prediction = predict(y)
    views = (prediction.log_depth, prediction.depth, prediction.inverse_depth, prediction.points)
    assert all(view.dtype == torch.float32 for view in views)
    assert all(view.isfinite().all() and view.square().isfinite().all() for view in views)
    sum(view.sum() for view in views).backward()
    assert y.grad.isfinite().all()


def test_the_limit_is_beyond_any_scene_and_stops_the_gradient():
    y = torch.tensor([LOG_DEPTH_LIMIT + 1, 1.0]).view(1, 1, 1, 2).requires_grad_()
    predict(y).depth.sum().backward()
    assert y.grad[..., 0] == 0
    assert y.grad[..., 1] > 0


def test_a_nan_outside_the_pixels_that_are_read_leaves_their_gradient_alone():
    y = torch.tensor([torch.nan, 1.0]).view(1, 1, 1, 2).requires_grad_()
    torch.where(torch.tensor([False, True]), predict(y).inverse_depth, 0).sum().backward()
    assert y.grad.isfinite().all()


def test_channels_are_named_by_the_heads_in_their_order():
    maps, cameras = torch.randn(3, 3, 6, 8), torch.ones(3, 4)
    prediction = Prediction.from_maps(maps, cameras, FOCAL, ["sky", "uncertainty"])
    assert prediction.sky_logit is not None
    assert prediction.log_uncertainty is not None
    assert torch.equal(prediction.log_canonical, maps[:, :1])
    assert torch.equal(prediction.sky_logit, maps[:, 1:2])
    assert torch.equal(prediction.log_uncertainty, maps[:, 2:])
    assert prediction.heads == ("uncertainty", "sky")
    assert torch.equal(prediction.maps, maps[:, [0, 2, 1]])


def test_a_selection_of_rows_keeps_every_channel():
    maps, cameras = torch.randn(3, 2, 6, 8), torch.rand(3, 4)
    selected = Prediction.from_maps(maps, cameras, FOCAL, ["sky"]).select(torch.tensor([2, 0]))
    assert torch.equal(selected.maps, maps[[2, 0]])
    assert torch.equal(selected.intrinsics, cameras[[2, 0]])
    assert selected.log_uncertainty is None
