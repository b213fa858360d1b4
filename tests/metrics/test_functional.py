"""Every measure against a second implementation in loops, and the laws that they keep."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from depthmix.geometry import unproject
from depthmix.metrics import functional as f

SIZE = (12, 16)
CAMERA = torch.tensor([[20.0, 20.0, 7.5, 5.5]]).repeat(3, 1)


def scene(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    target = torch.rand(3, 1, *SIZE, generator=draw) * 4 + 1
    prediction = target * (torch.rand(3, 1, *SIZE, generator=draw) * 0.6 + 0.7)
    valid = torch.rand(3, 1, *SIZE, generator=draw) < 0.8
    target[~valid], prediction[0, 0, 0, 0] = torch.nan, 2.5
    return prediction, target, valid


def naive(formula: Callable[[np.ndarray, np.ndarray], float], *maps: Tensor) -> list[float]:
    """Apply a formula on the valid pixels of each row, one row at a time."""
    p, g, valid = (m.numpy() for m in maps)
    return [
        formula(p[i][valid[i]].astype(np.float64), g[i][valid[i]].astype(np.float64)) for i in range(len(p))
    ]


FORMULAS = {
    "abs_rel": lambda p, g: np.mean(np.abs(p - g) / g),
    "sq_rel": lambda p, g: np.mean((p - g) ** 2 / g),
    "rmse": lambda p, g: math.sqrt(np.mean((p - g) ** 2)),
    "rmse_log": lambda p, g: math.sqrt(np.mean((np.log(p) - np.log(g)) ** 2)),
    "log10": lambda p, g: np.mean(np.abs(np.log10(p) - np.log10(g))),
    "silog": lambda p, g: np.std(np.log(p) - np.log(g)),
    "delta": lambda p, g: np.mean(np.maximum(p / g, g / p) < 1.25),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_agrees_with_the_loop(name: str):
    maps = scene()
    found = getattr(f, name)(*maps)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), naive(FORMULAS[name], *maps), rtol=1e-9)


@pytest.mark.parametrize("name", [*FORMULAS, "ssi", "boundary_f1"])
def test_an_empty_label_is_not_a_score(name: str):
    prediction, target, valid = scene()
    valid[1] = False
    found = getattr(f, name)(prediction, target, valid)
    assert found.isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("name", ["abs_rel", "rmse", "silog", "log10"])
def test_a_perfect_prediction_scores_zero(name: str):
    _, target, valid = scene()
    assert getattr(f, name)(target, target, valid).abs().max() == 0


def test_a_prediction_that_is_not_positive_is_never_an_inlier():
    _, target, valid = scene()
    assert f.delta(-target, target, valid).tolist() == [0, 0, 0]
    assert f.delta(torch.zeros_like(target), target, valid).tolist() == [0, 0, 0]
    for measure in (f.rmse_log, f.log10, f.silog):
        assert measure(-target, target, valid).isposinf().all()


@settings(max_examples=25, deadline=None)
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


def plane_depth(normal: tuple[float, float, float], distance: float) -> Tensor:
    """Depth of the plane normal . X = distance."""
    fx, fy, cx, cy = CAMERA[0].double()
    v, u = torch.meshgrid(*(torch.arange(n).double() for n in SIZE), indexing="ij")
    rays = torch.stack([(u - cx) / fx, (v - cy) / fy, torch.ones_like(u)])
    return (distance / (torch.tensor(normal).double()[:, None, None] * rays).sum(0))[None, None]


def two_planes() -> tuple[Tensor, Tensor]:
    planes = torch.ones(1, 1, *SIZE, dtype=torch.int32)
    planes[..., 8:] = 2
    depth = torch.where(planes == 1, plane_depth((0, 0, 1), 2.0), plane_depth((0.6, 0, 0.8), 2.0))
    return depth, planes


def test_planarity_of_true_planes_is_zero_and_of_noise_is_its_size():
    depth, planes = two_planes()
    assert f.planarity_rms(unproject(depth, CAMERA[:1]), planes).item() < 1e-7
    wall = plane_depth((0, 0, 1), 2.0)
    ripple = torch.where((torch.arange(16) % 2 == 0), 0.01, -0.01).double() * torch.ones(SIZE)
    ripple[::2] *= -1
    rms = f.planarity_rms(unproject(wall + ripple, CAMERA[:1]), torch.ones_like(planes))
    assert rms.item() == pytest.approx(0.01, rel=0.02)


def test_planarity_agrees_with_a_loop_over_planes():
    prediction, target, valid = scene()
    draw = torch.Generator().manual_seed(1)
    planes = torch.randint(0, 3, target.shape, generator=draw, dtype=torch.int32)
    planes[~valid] = 0
    points, labels = (unproject(torch.where(valid, x, 1), CAMERA) for x in (prediction, target))

    def fit(cloud: np.ndarray) -> tuple[float, np.ndarray]:
        _, values, axes = np.linalg.svd(cloud - cloud.mean(0), full_matrices=False)
        return values[-1] / math.sqrt(len(cloud)), axes[-1]

    rms, angle = [], []
    for row in range(3):
        ids = [k for k in (1, 2) if (planes[row] == k).sum() >= 20]
        clouds = [[x[row].double().numpy()[:, planes[row, 0] == k].T for x in (points, labels)] for k in ids]
        rms.append(np.mean([fit(ours)[0] for ours, _ in clouds]))
        cosines = [abs(fit(ours)[1] @ fit(theirs)[1]) for ours, theirs in clouds]
        angle.append(np.mean(np.degrees(np.arccos(np.minimum(cosines, 1)))))
    np.testing.assert_allclose(f.planarity_rms(points, planes), rms, rtol=1e-7)
    np.testing.assert_allclose(f.planarity_angle(points, labels, planes), angle, rtol=1e-6)


def test_planarity_angle_is_the_angle_between_the_planes():
    planes = torch.ones(1, 1, *SIZE, dtype=torch.int32)
    ours, theirs = plane_depth((0, 0, 1), 2.0), plane_depth((0.6, 0, 0.8), 2.0)
    angle = f.planarity_angle(unproject(ours, CAMERA[:1]), unproject(theirs, CAMERA[:1]), planes)
    assert angle.item() == pytest.approx(math.degrees(math.acos(0.8)), rel=1e-6)


def test_small_and_missing_planes_are_not_measured():
    depth, planes = two_planes()
    points = unproject(depth, CAMERA[:1])
    assert f.planarity_rms(points, torch.zeros_like(planes)).isnan().all()
    assert f.planarity_rms(points, planes, pixels=10_000).isnan().all()


def test_normal_angle_is_the_tilt_and_skips_the_depth_edge():
    wall = plane_depth((0, 0, 1), 2.0)
    tilted = plane_depth((0.6, 0, 0.8), 2.0)
    everywhere = torch.ones_like(wall, dtype=torch.bool)
    angle = f.normal_angle(wall, tilted, everywhere, CAMERA[:1])
    assert angle.item() == pytest.approx(math.degrees(math.acos(0.8)), rel=1e-4)
    step = wall.clone()
    step[..., 8:] = 4
    assert f.normal_angle(step, step, everywhere, CAMERA[:1]).item() == pytest.approx(0, abs=1e-4)
    assert f.normal_angle(wall, step, everywhere, CAMERA[:1]).item() == pytest.approx(0, abs=1e-4)
    free = f.edge_free(step, everywhere)[0, 0, 5]
    assert free.tolist() == [False, *[True] * 6, False, False, *[True] * 6, False]


def test_normal_angle_agrees_with_a_loop():
    prediction, target, _ = scene()
    v, u = torch.meshgrid(*(torch.arange(n).float() for n in SIZE), indexing="ij")
    target = (3 + 0.02 * u + 0.01 * v).expand(3, 1, *SIZE)
    valid = torch.ones_like(target, dtype=torch.bool)
    found = f.normal_angle(prediction, target, valid, CAMERA)
    clouds = [unproject(x.double(), CAMERA).numpy() for x in (prediction, target)]
    for row in range(3):
        angles = []
        for y in range(1, SIZE[0] - 1):
            for x in range(1, SIZE[1] - 1):
                n = [
                    np.cross(
                        c[row, :, y, x + 1] - c[row, :, y, x - 1], c[row, :, y + 1, x] - c[row, :, y - 1, x]
                    )
                    for c in clouds
                ]
                cosine = n[0] @ n[1] / np.linalg.norm(n[0]) / np.linalg.norm(n[1])
                angles.append(math.degrees(math.acos(min(cosine, 1))))
        assert found[row].item() == pytest.approx(np.mean(angles), rel=1e-5)


def naive_f1(p: np.ndarray, g: np.ndarray, valid: np.ndarray) -> float:
    score = total = 0.0
    for t in np.linspace(1.05, 1.25, 10):
        edges: list[set] = [set(), set()]
        for found, depth in zip(edges, (p, g), strict=True):
            for y, x in np.argwhere(valid):
                for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                    a, b = y + dy, x + dx
                    inside = 0 <= a < p.shape[0] and 0 <= b < p.shape[1]
                    if inside and valid[a, b] and depth[a, b] / depth[y, x] > t:
                        found.add((y, x, a, b))
        predicted, labelled = edges
        if not (predicted or labelled):
            continue
        precision = len(predicted & labelled) / max(len(predicted), 1)
        recall = len(predicted & labelled) / max(len(labelled), 1)
        score += t * (2 * precision * recall / (precision + recall) if precision + recall else 0)
        total += t
    return score / total


def test_boundary_f1_agrees_with_a_loop_over_pairs():
    prediction, target, valid = scene()
    loops = [
        naive_f1(*(m[i, 0].double().numpy() for m in (prediction, target)), valid[i, 0].numpy())
        for i in range(3)
    ]
    np.testing.assert_allclose(f.boundary_f1(prediction, target, valid), loops, rtol=1e-9)


def test_boundary_f1_is_one_for_the_label_and_zero_for_edges_of_the_other_sign():
    depth = torch.full((1, 1, *SIZE), 2.0)
    depth[..., 8:] = 4
    everywhere = torch.ones_like(depth, dtype=torch.bool)
    assert f.boundary_f1(depth, depth, everywhere).item() == pytest.approx(1)
    assert f.boundary_f1(8 / depth, depth, everywhere).item() == 0
    assert f.boundary_f1(torch.ones_like(depth), depth, everywhere).item() == 0
    assert f.boundary_f1(torch.ones_like(depth), torch.ones_like(depth), everywhere).isnan().all()


@pytest.mark.parametrize("name", [*FORMULAS, "ssi", "boundary_f1"])
def test_garbage_outside_valid_changes_nothing(name: str):
    prediction, target, valid = scene()
    clean = getattr(f, name)(prediction, torch.where(valid, target, 1), valid)
    for garbage in (torch.nan, torch.inf, -5.0):
        p, g = (torch.where(valid, x, garbage) for x in (prediction, target))
        torch.testing.assert_close(getattr(f, name)(p, g, valid), clean)
