"""Errors pixel by pixel against formulas on the valid pixels alone."""

import math
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from depthmix.metrics import functional as f
from depthmix.metrics import pixels
from depthmix.metrics.pixels import PIXEL_MEASURES, measures_of_moments, pixel_moments
from tests.metrics.toy_maps import naive, scene

FORMULAS = {
    "abs_rel": lambda p, g: np.mean(np.abs(p - g) / g),
    "sq_rel": lambda p, g: np.mean((p - g) ** 2 / g),
    "rmse": lambda p, g: math.sqrt(np.mean((p - g) ** 2)),
    "rmse_log": lambda p, g: math.sqrt(np.mean((np.log(p) - np.log(g)) ** 2)),
    "log10": lambda p, g: np.mean(np.abs(np.log10(p) - np.log10(g))),
    "silog": lambda p, g: np.std(np.log(p) - np.log(g)),
    "delta": lambda p, g: np.mean(np.maximum(p / g, g / p) < 1.25),
    "mae_inverse_depth": lambda p, g: np.mean(np.abs(1 / p - 1 / g)),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_agrees_with_the_loop(name: str):
    maps = scene()
    found = getattr(f, name)(*maps)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), naive(FORMULAS[name], *maps), rtol=1e-9)


def of_each(maps: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
    found = {name: getattr(f, name)(*maps) for name in PIXEL_MEASURES if not name.startswith("delta")}
    return found | {f"delta{k}": f.delta(*maps, threshold=1.25**k) for k in (1, 2, 3)}


@settings(max_examples=20)
@given(seed=st.integers(0, 2**20), piece=st.integers(1, 300), factor=st.floats(0.01, 100))
def test_all_in_one_go_are_the_measures_one_by_one(seed: int, piece: int, factor: float):
    prediction, target, valid = scene(seed)
    valid[2] = False
    maps = prediction * factor, target, valid
    with mock.patch.object(pixels, "PIECE", piece):
        together = measures_of_moments(*pixel_moments(*maps))
    assert list(together) == list(PIXEL_MEASURES)
    for name, expected in of_each(maps).items():
        torch.testing.assert_close(together[name], expected, rtol=1e-9, atol=1e-8, equal_nan=True, msg=name)
    assert together["abs_rel"].isnan().tolist() == [False, False, True]


def test_all_in_one_go_hold_for_predictions_that_are_not_positive():
    prediction, target, valid = scene()
    prediction[0, 0, 3, :4], valid[0, 0, 3, :4] = torch.tensor([-2.0, 0.0, -0.1, 1.0]), True
    target[0, 0, 3, :4] = 2.0
    maps = prediction, target, valid
    together = measures_of_moments(*pixel_moments(*maps))
    for name, expected in of_each(maps).items():
        torch.testing.assert_close(together[name], expected, rtol=1e-9, atol=1e-8, msg=name)


def test_averages_weighted_by_pixels_are_those_of_all_pixels():
    maps = scene()
    moments, count = pixel_moments(*maps)
    mean = (moments * count[:, None]).sum(0) / count.sum()
    found = measures_of_moments(mean, count.sum())
    whole = tuple(x.flatten()[None, None, None] for x in maps)
    for name, expected in of_each(whole).items():
        torch.testing.assert_close(found[name], expected[0], rtol=1e-9, atol=1e-8, msg=name)


def test_a_prediction_that_is_not_positive_is_never_an_inlier():
    _, target, valid = scene()
    assert f.delta(-target, target, valid).tolist() == [0, 0, 0]
    assert f.delta(torch.zeros_like(target), target, valid).tolist() == [0, 0, 0]
    for measure in (f.rmse_log, f.log10, f.silog, f.mae_inverse_depth):
        assert measure(-target, target, valid).isposinf().all()
