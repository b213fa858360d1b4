"""What was measured to go wrong in public training code must go right here: one short claim for each."""

import math

import numpy as np
import torch

from depthmix import losses
from depthmix.alignment import align_scale_shift
from depthmix.losses import (
    edge_quadruples,
    gradient_matching,
    region_normalised,
    silog,
    ssi_least_squares,
    ssi_trimmed,
    virtual_normal,
)
from depthmix.losses.draws import draw
from depthmix.losses.trim import keep_smallest
from depthmix.masked import masked_median
from depthmix.metrics import functional as metrics

EVERYWHERE = torch.ones(1, 1, 48, 64, dtype=torch.bool)


def wavy(rows: int = 1, seed: int = 0) -> torch.Tensor:
    """Smooth positive maps [rows 1 48 64]."""
    draws = torch.Generator().manual_seed(seed)
    a, b = torch.rand(2, rows, 1, 1, 1, generator=draws)
    v, u = torch.meshgrid(torch.linspace(0, 1, 48), torch.linspace(0, 1, 64), indexing="ij")
    return 1 + a * u + b * v + 0.3 * torch.sin(6 * u + 3 * v)


def camera(rows: int = 1, cx: float = 31.5) -> torch.Tensor:
    return torch.tensor([[50.0, 50.0, cx, 23.5]]).repeat(rows, 1)


def test_edge_points_reach_all_columns():
    image = torch.zeros(1, 3, 48, 64)
    image[..., 8:16], image[..., 48:56] = 200, 200  # edges at columns 8, 16, 48 and 56
    columns = edge_quadruples(image, draw(5 * 500, 0, 0, image.device).view(5, -1)) % 64
    assert (columns < 32).any()
    assert (columns > 44).any()


def test_a_faint_affine_image_of_the_label_costs_nothing():
    target = wavy()
    for contrast in (0.1, 0.01, 0.001):
        prediction = 5 + contrast * (target - target.mean()) / target.std()
        assert ssi_least_squares(prediction, target, EVERYWHERE).item() < 1e-3
        assert ssi_trimmed(prediction, target, EVERYWHERE).item() < 1e-3


def test_an_inverted_map_is_not_forgiven():
    target = wavy()
    for formula in (ssi_least_squares, ssi_trimmed, gradient_matching):
        assert formula(3 - target, target, EVERYWHERE).item() > 0.3
    assert align_scale_shift(3 - target, target, EVERYWHERE)[0].item() == 0


def test_silog_survives_no_pixel_one_pixel_and_a_perfect_row():
    target = wavy(3)
    valid = EVERYWHERE.repeat(3, 1, 1, 1)
    valid[0], valid[1] = False, torch.arange(48 * 64).view(48, 64) == 7
    log_depth = (target.log() + torch.tensor([0.3, 0.3, 0.0]).view(3, 1, 1, 1)).requires_grad_()
    values = silog(log_depth, target, valid)
    values.sum().backward()
    assert values.isfinite().all()
    assert values[0] == 0
    assert values[2].abs() < 1e-3
    assert log_depth.grad is not None
    assert log_depth.grad.isfinite().all()


def test_a_small_region_weighs_like_a_large_one():
    target = wavy()
    draws = draw(6 * 40, 0, 0, target.device).view(1, 6, 40)
    noisy = target + 0.05 * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    small, large = (region_normalised(noisy, target, EVERYWHERE, draws, (s, s), 4096) for s in (0.25, 1.0))
    assert small.item() > 0.7 * large.item()  # without the mask in the scale: a sixteenth


def test_gradient_strides_run_along_height_and_width():
    target = wavy()
    for across in (0, 1):
        stripes = (torch.arange((48, 64)[across]) % 2).float() * 0.3
        error = stripes[:, None] if across == 0 else stripes
        once, twice = (
            gradient_matching(target + error, target, EVERYWHERE, scales=scales).item() for scales in (1, 2)
        )
        assert once > 0.1
        assert abs(twice - once) < 0.1 * once  # every second pixel does not see stripes of period two


def test_pixels_without_label_do_not_move_the_median():
    x = torch.arange(1.0, 11.0)[None]
    assert masked_median(x, x > 6).item() == 8.5  # over zeros it would be 0


def test_a_noisy_row_does_not_spend_the_trim_of_a_clean_one():
    target, generator = wavy(2), torch.Generator().manual_seed(0)
    noise = torch.randn(target.shape, generator=generator) * torch.tensor([0.02, 2.0]).view(2, 1, 1, 1)
    valid = EVERYWHERE.repeat(2, 1, 1, 1)
    both = ssi_trimmed(target + noise, target, valid)
    alone = ssi_trimmed(target[:1] + noise[:1], target[:1], valid[:1])
    torch.testing.assert_close(both[:1], alone)


def test_every_row_is_seen_through_its_own_camera_and_not_that_of_an_earlier_batch():
    z, target, draws = 1 / wavy(1, 1), 1 / wavy(1, 2), draw(3 * 500, 0, 0, torch.device("cpu")).view(3, -1)
    first = virtual_normal(z, target, camera(cx=10.0), EVERYWHERE, draws)
    second = virtual_normal(z, target, camera(cx=50.0), EVERYWHERE, draws)
    assert first.item() != second.item()
    both = virtual_normal(
        z.repeat(2, 1, 1, 1),
        target.repeat(2, 1, 1, 1),
        torch.cat([camera(cx=50.0), camera(cx=10.0)]),
        EVERYWHERE.repeat(2, 1, 1, 1),
        draws,
    )
    torch.testing.assert_close(both, torch.cat([second, first]))


def test_virtual_normals_without_a_good_triangle_give_zero_and_not_nan():
    z, draws = (1 / wavy()).requires_grad_(), draw(3 * 100, 0, 0, torch.device("cpu")).view(3, -1)
    one = torch.zeros_like(EVERYWHERE)
    one[..., 5, 5] = True
    value = virtual_normal(z, 1 / wavy(), camera(), one, draws)
    value.sum().backward()
    assert value.item() == 0
    assert torch.equal(z.grad, torch.zeros_like(z))


def test_trimming_equal_errors_keeps_the_share_that_it_names():
    ties, valid = torch.ones(1, 128), torch.ones(1, 128, dtype=torch.bool)
    for trim in (0.0, 0.25, 0.5):
        assert keep_smallest(ties, valid, trim).sum().item() == 128 * (1 - trim)


def test_weighted_least_squares_weigh_the_shift_too():
    x = torch.linspace(1, 9, 200)[None]
    scale, shift = align_scale_shift(x, 2 * x + 3, x > 0, 1 / x.square())
    assert math.isclose(scale.item(), 2, rel_tol=1e-4)
    assert math.isclose(shift.item(), 3, rel_tol=1e-4)


def test_negative_depth_is_no_inlier():
    target = wavy()
    assert metrics.delta(-target, target, EVERYWHERE).item() == 0


def test_a_perfect_relative_model_scores_perfectly():
    depth = 1 / wavy()
    relative = 0.3 / depth + 0.2  # inverse depth up to scale and shift
    aligned = metrics.align_inverse_depth(relative, depth, EVERYWHERE)
    assert metrics.abs_rel(aligned, depth, EVERYWHERE).item() < 1e-5


def test_a_prediction_far_off_keeps_its_gradient():
    log_depth = torch.full((1, 1, 48, 64), -9.0, requires_grad=True)
    losses.silog(log_depth, wavy(), EVERYWHERE).sum().backward()
    assert log_depth.grad is not None
    assert np.all(log_depth.grad.numpy() != 0)
