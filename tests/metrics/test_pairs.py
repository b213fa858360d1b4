"""Wrong orders of points against a loop over pairs."""

import numpy as np
import torch
from torch import Tensor

from depthmix.metrics import functional as f
from tests.metrics.toy_maps import SIZE, scene


def some_pairs(count: int = 40, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    columns = [torch.randint(0, top, (3, count), generator=draw) for top in (*SIZE[::-1], *SIZE[::-1], 3)]
    pairs = torch.stack([*columns[:4], columns[4] - 1], 2).int()
    pairs[0, 30:], pairs[2] = -1, -1
    return pairs


def naive_whdr(depth: np.ndarray, pairs: np.ndarray) -> float:
    wrong = count = 0
    for u1, v1, u2, v2, relation in pairs:
        if u1 < 0:
            continue
        a, b = float(depth[v1, u1]), float(depth[v2, u2])
        if relation == 0:
            wrong += max(a / b, b / a) > 1.02
        else:
            wrong += not (a > b if relation == 1 else a < b)
        count += 1
    return wrong / count if count else np.nan


def test_agrees_with_the_loop():
    prediction, _, _ = scene()
    pairs = some_pairs()
    loops = [naive_whdr(prediction[row, 0].numpy(), pairs[row].numpy()) for row in range(3)]
    np.testing.assert_allclose(f.whdr(prediction, pairs), loops, rtol=1e-12)
    assert np.isnan(loops[2])


def test_the_scene_itself_is_never_wrong_and_a_flat_map_always_but_for_equal_points():
    depth = torch.rand(3, 1, *SIZE) + 1
    pairs = some_pairs()
    first, second = (depth[torch.arange(3)[:, None], 0, pairs[..., v], pairs[..., v - 1]] for v in (1, 3))
    pairs[..., 4] = torch.sign(first - second).int()
    there = pairs[..., 0] >= 0
    ordered = ((pairs[..., 4] != 0) & there).sum(1) / there.sum(1)
    pairs[~there] = -1
    torch.testing.assert_close(f.whdr(depth, pairs)[:2], torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(f.whdr(torch.ones_like(depth), pairs)[:2], ordered[:2].double())
    assert f.whdr(1 / depth, pairs)[0] > 0.9


def test_scale_and_any_power_change_nothing_in_ordered_pairs():
    prediction, _, _ = scene()
    pairs = some_pairs()
    pairs[pairs[..., 4] == 0] = -1
    expected = f.whdr(prediction, pairs)
    torch.testing.assert_close(f.whdr(7 * prediction**3, pairs), expected, equal_nan=True)


def test_equal_points_may_differ_by_the_tolerance():
    depth = torch.ones(1, 1, 2, 2)
    depth[..., 1, 1] = 1.03
    pair = torch.tensor([[[0, 0, 1, 1, 0]]], dtype=torch.int32)
    assert f.whdr(depth, pair).item() == 1
    assert f.whdr(depth, pair, equal=0.04).item() == 0
