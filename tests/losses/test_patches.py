import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.losses.patches import LocalPointLoss, local_affine, local_points
from depthmix.sample import LabelKind
from tests.losses.cases import make_batch, make_log_canonical, predict
from tests.losses.contract import LossContract, Row
from tests.losses.naive_windows import draws_of, every_so_many, inside, valid_in

LEVELS, PATCHES, PIXELS = (2, 4), (6, 20), 40


def fitted_error(p: np.ndarray, g: np.ndarray) -> float:
    """Least squares scale and shift by hand, over points (n, c)."""
    p, g = p - p.mean(0), g - g.mean(0)
    least = 0.1 * np.sqrt((g * g).sum() / (p * p).sum())
    scale = max((p * g).sum() / (p * p).sum(), least)
    return float(np.abs(scale * p - g).sum() / np.abs(g).sum())


class TestLocalPointLoss(LossContract):
    def make(self):
        return LocalPointLoss(LEVELS, PATCHES, PIXELS)

    def reference(self, row: Row):
        draws = np.array(draws_of(row.image, 2 * sum(PATCHES))).reshape(2, -1).T.tolist()
        (h, w), focal = row.valid.shape, np.sqrt(row.camera[0] * row.camera[1])
        p, g = row.points(row.depth_prediction), row.points(row.target)
        everywhere = valid_in(row.valid, 0, 0, h, w)
        means = []
        for level, count in zip(LEVELS, PATCHES, strict=True):
            errors, half = [], max(2, round(max(h, w) / (2 * level)))
            height, width = min(h, 2 * half + 1), min(w, 2 * half + 1)
            for anchor, phase in draws[:count]:
                v, u = everywhere[(anchor * len(everywhere)) // 2**32]
                top, left = inside(v - half, height, h), inside(u - half, width, w)
                pixels = every_so_many(valid_in(row.valid, top, left, height, width), PIXELS, phase)
                radius = half / focal * g[v, u, 2]
                ball = [at for at in pixels if np.linalg.norm(g[at] - g[v, u]) <= radius]
                if len(ball) >= 8:
                    errors.append(fitted_error(*(np.array([x[at] for at in ball]) for x in (p, g))))
            draws = draws[count:]
            means.append(np.mean(errors))
        return np.mean(means)

    def plain(self):
        p, g, valid, camera, draws = maps(0, (2, 1, 5, 6), torch.float64)
        return lambda x: local_points(x, g, valid, camera, draws, 2), p


def maps(seed, size=(2, 1, 40, 48), dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)
    p, t = 2 + torch.rand(2, *size, generator=g, dtype=dtype)
    valid = torch.rand(size, generator=g) < 0.9
    camera = torch.tensor([[size[3], size[3], size[3] / 2, size[2] / 2]], dtype=dtype).repeat(size[0], 1)
    return p, t, valid, camera, torch.randint(0, 2**32, (size[0], 2, 30), generator=g)


def patch(seed=0, n=40, c=3):
    g = torch.Generator().manual_seed(seed)
    p, t = torch.randn(2, 1, 1, n, c, generator=g, dtype=torch.float64)
    return p, t, torch.rand(1, 1, n, generator=g) < 0.8


@settings(max_examples=25)
@given(st.integers(0, 99), st.floats(0.01, 100), st.floats(-10, 10), st.sampled_from([1, 3]))
def test_each_patch_is_free_in_scale_and_shift(seed, scale, shift, channels):
    p, g, keep = patch(seed, c=channels)
    offset = shift * torch.linspace(-1, 1, channels + 1, dtype=torch.float64)[1:]
    expected, good = local_affine(p, g, keep)
    assert good.all()
    torch.testing.assert_close(local_affine(scale * p + offset, g, keep)[0], expected)
    torch.testing.assert_close(local_affine(p, scale * g + offset, keep)[0], expected)
    assert local_affine(scale * g + offset, g, keep)[0].item() < 1e-9


@pytest.mark.parametrize("weight", [1.0, 0.0])
def test_agrees_with_least_squares_by_a_solver(weight):
    # A weighted fit that forgets the ones column misses 2x + 3 by far; masked points are weight 0 here.
    p, g, keep = patch(2)
    g = 2 * p + 3 + weight * 0.3 * g
    own = keep[0, 0].numpy()
    x, y = p[0, 0].numpy()[own], g[0, 0].numpy()[own]
    columns = np.zeros((x.size, 4))
    columns[:, 0] = x.ravel()
    columns[np.arange(x.size), 1 + np.arange(x.size) % 3] = 1
    residual = y.ravel() - columns @ np.linalg.lstsq(columns, y.ravel(), rcond=None)[0]
    expected = np.abs(residual).sum() / np.abs(y - y.mean(0)).sum()
    assert local_affine(p, g, keep)[0].item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_an_inverted_patch_scores_about_one_and_is_pulled_round():
    _, g, keep = patch()
    p = (-g).requires_grad_()
    error, _ = local_affine(p, g, keep)
    error.sum().backward()
    assert error.item() == pytest.approx(1.1, abs=0.01)
    step = (p - 2 * p.grad / p.grad.abs().max()).detach()
    assert local_affine(step, g, keep)[0].item() < error.item()


def test_points_of_a_patch_that_do_not_count_are_never_read():
    p, g, keep = patch()
    expected = local_affine(p, g, keep)[0]
    dirty = [torch.where(keep[..., None], x, torch.nan) for x in (p, g)]
    assert torch.equal(local_affine(*dirty, keep)[0], expected)


def test_a_patch_with_a_constant_label_has_no_weight():
    p, g, keep = patch(c=1)
    error, good = local_affine(p, torch.full_like(g, 2.7), keep)
    assert not good.any()
    assert error.isfinite().all()


def test_a_batch_of_any_size_gives_what_its_rows_give_alone():
    # The public code compares one number a row with one number a patch: right for one row only.
    p, g, valid, camera, draws = maps(0, (5, 1, 24, 24))
    together = local_points(p, g, valid, camera, draws, 4)
    for i in range(5):
        own = slice(i, i + 1)
        alone = local_points(p[own], g[own], valid[own], camera[own], draws[own], 4)
        torch.testing.assert_close(alone, together[own])


def test_no_valid_patch_keeps_graph_and_shape():
    p, g, valid, camera, draws = maps(0)
    leaf = p.requires_grad_()
    value = local_points(leaf, g, torch.zeros_like(valid), camera, draws, 4)
    assert value.shape == (2,)
    value.sum().backward()
    assert torch.equal(value, torch.zeros(2))
    assert torch.equal(leaf.grad, torch.zeros_like(p))


def test_a_ball_does_not_reach_across_a_step_in_depth():
    # Behind the step the prediction is wrong by a factor; a window would see it, a ball does not.
    _, _, valid, camera, draws = maps(0)
    valid[:] = True
    g = torch.full(valid.shape, 2.0)
    g[..., 24:] = 20.0
    p = g.clone()
    p[..., 24:] *= 3
    assert (local_points(p, g, valid, camera, draws, 8) < 1e-4).all()


def test_a_fine_level_sees_fine_structure_that_a_coarse_one_hardly_does():
    g = torch.full((1, 1, 96, 96), 2.0)
    ripple = 0.002 * torch.sin(torch.arange(96) * 1.5).expand_as(g)
    valid = torch.ones(g.shape, dtype=torch.bool)
    camera = torch.tensor([[96.0, 96.0, 48.0, 48.0]])
    draws = torch.randint(0, 2**32, (1, 2, 64), generator=torch.Generator().manual_seed(0))
    coarse, fine = (local_points(g, g + ripple, valid, camera, draws, level) for level in (4, 16))
    assert fine.item() > 2 * coarse.item()


def test_rows_without_a_camera_or_with_disparity_bear_no_points():
    batch = make_batch()
    values = LocalPointLoss(LEVELS, PATCHES)(predict(make_log_canonical(batch), batch), batch)
    is_depth = batch.kind >= int(LabelKind.SCALED_DEPTH)
    assert torch.equal(values > 0, is_depth)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"levels": (4,)}, r"`levels` and `patches` must be equally many numbers >= 1, got \(4,\) and"),
        ({"levels": (), "patches": ()}, r"`levels` and `patches` must be equally many numbers >= 1"),
        ({"levels": (4,), "patches": (0,)}, r"`levels` and `patches` must be equally many numbers >= 1"),
        ({"pixels": 3}, r"`pixels` must be at least 8, got 3"),
    ],
)
def test_bad_options_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        LocalPointLoss(**options)
