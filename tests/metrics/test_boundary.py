"""Depth steps of neighbours against loops over pairs of pixels."""

import math

import numpy as np
import pytest
import torch

from depthmix.metrics import functional as f
from tests.metrics.toy_maps import SIZE, scene


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


def naive_agreement(p: np.ndarray, g: np.ndarray, valid: np.ndarray) -> float:
    """Compare every edge of the label with every other pixel."""
    drops: list[list[float]] = [[], []]  # at edges, elsewhere
    for y, x in np.argwhere(valid):
        beside = [(y + dy, x + dx) for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0))]
        inside = [(a, b) for a, b in beside if 0 <= a < p.shape[0] and 0 <= b < p.shape[1] and valid[a, b]]
        if inside:
            ours, theirs = (max(math.log(m[at] / m[y, x]) for at in inside) for m in (p, g))
            drops[0 if theirs > math.log(1.1) else 1].append(ours)
    wins = [(a > b) + 0.5 * (a == b) for a in drops[0] for b in drops[1]]
    return float(np.mean(wins)) if wins else math.nan


def test_edge_agreement_agrees_with_a_loop_over_pairs_of_pixels():
    prediction, target, valid = scene()
    # Many drops are equal, and equal ratios come of equal depths only: rounding cannot part them.
    prediction = torch.tensor([2.0, 3.0, 5.0, 7.0])[prediction.long().clamp(0, 3)]
    maps = prediction, 3 + target / 20, valid
    maps[1][..., 8:] += 1
    rows = [[m[i, 0].numpy() for m in maps] for i in range(3)]
    loops = [naive_agreement(*(m.astype(np.float64) for m in row[:2]), row[2]) for row in rows]
    np.testing.assert_allclose(f.edge_agreement(*maps), loops, rtol=1e-9)


def test_edge_agreement_is_one_for_any_sharpness_half_for_a_flat_map_and_knows_the_sign():
    depth = torch.full((1, 1, *SIZE), 2.0)
    depth[..., 8:] = 4
    everywhere = torch.ones_like(depth, dtype=torch.bool)
    faint = depth + 100
    assert f.edge_agreement(depth, depth, everywhere).item() == 1
    assert f.edge_agreement(faint, depth, everywhere).item() == 1
    assert f.boundary_f1(faint, depth, everywhere).item() == 0
    assert f.edge_agreement(torch.ones_like(depth), depth, everywhere).item() == 0.5
    assert f.edge_agreement(8 / depth, depth, everywhere).item() < 0.5
    assert f.edge_agreement(depth, torch.ones_like(depth), everywhere).isnan().all()
