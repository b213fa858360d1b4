"""What holds for every measure: no score without a label, no look under the mask, any order of rows."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from depthmix.geometry import unproject
from depthmix.metrics import ALIGNMENTS, METRICS, measure
from depthmix.metrics import functional as f
from depthmix.prediction import Prediction
from depthmix.sample import LabelKind
from tests.toy import random_batch

SIZE = (24, 28)
CAMERA = torch.tensor([[30.0, 30.0, 13.5, 11.5]]).repeat(3, 1)
PLANES = (1 + torch.arange(28) // 10).expand(3, 1, *SIZE).int()

Measure = Callable[[Tensor, Tensor, Tensor], Tensor]


def points(depth: Tensor, valid: Tensor) -> Tensor:
    return unproject(torch.where(valid, depth.double(), 1), CAMERA[: len(depth)])


def planes(valid: Tensor) -> Tensor:
    return torch.where(valid, PLANES[: len(valid)], 0)


# Every measure as a function of two depth maps and a mask, and its best value.
MEASURES: dict[str, tuple[Measure, float]] = {
    **{
        name: (getattr(f, name), 0.0)
        for name in ("abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog", "mae_inverse_depth")
    },
    **{f"delta{k}": (lambda p, g, v, t=1.25**k: f.delta(p, g, v, t), 1.0) for k in (1, 2, 3)},
    "ssi": (lambda p, g, v: f.ssi(1 / p, torch.where(v, 1 / g, torch.nan), v), 0.0),
    "planarity_angle": (lambda p, g, v: f.planarity_angle(points(p, v), points(g, v), planes(v)), 0.0),
    "normal_angle": (lambda p, g, v: f.normal_angle(p, g, v, CAMERA[: len(p)]), 0.0),
    "normal_median": (lambda p, g, v: f.normal_median(p, g, v, CAMERA[: len(p)]), 0.0),
    "normal_11_25": (lambda p, g, v: f.normal_11_25(p, g, v, CAMERA[: len(p)]), 1.0),
    "boundary_f1": (f.boundary_f1, 1.0),
    "edge_accuracy": (f.edge_accuracy, 0.0),
    "edge_completeness": (f.edge_completeness, 0.0),
    "edge_agreement": (f.edge_agreement, 1.0),
    "cloud_f1": (
        lambda p, g, v: f.cloud_f1(points(p, v), points(g, v), v, torch.full((len(p),), 0.1)),
        1.0,
    ),
}


def rooms(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Slanted walls with a box in front, seen roughly right, with holes in the label."""
    draw = torch.Generator().manual_seed(seed)
    slope = torch.rand(3, 1, 1, 1, generator=draw) * 0.02
    target = (3 + slope * torch.arange(28)).expand(3, 1, *SIZE).clone()
    target[..., 6:16, 8:20] = 2
    rough = 1.5 * torch.rand(3, 1, *SIZE, generator=draw)
    valid = torch.ones(3, 1, *SIZE, dtype=torch.bool)
    valid[..., 3:5, 3:9] = False
    valid &= torch.rand(3, 1, *SIZE, generator=draw) < 0.99
    return 1.05 * target + rough, target, valid


def test_every_measure_is_here_but_those_of_pairs_and_of_the_prediction_alone():
    assert set(METRICS) - set(MEASURES) == {"whdr", "planarity_rms"}


@pytest.mark.parametrize("name", MEASURES)
def test_an_empty_label_is_not_a_score(name: str):
    prediction, target, valid = rooms()
    valid[1] = False
    found = MEASURES[name][0](prediction, target, valid)
    assert found.dtype == torch.float64
    assert found.isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("name", MEASURES)
def test_the_label_itself_has_the_best_value_and_a_rough_one_has_not(name: str):
    measure, best = MEASURES[name]
    prediction, target, valid = rooms()
    tolerance = 1e-5 if name in ("planarity_angle", "ssi") else 1e-9  # planes are fitted to squares
    torch.testing.assert_close(
        measure(target, target, valid), torch.full((3,), best).double(), rtol=0, atol=tolerance
    )
    if name not in ("delta1", "delta2", "delta3", "edge_accuracy"):
        assert ((measure(prediction, target, valid) - best).abs() > 1e-6).all()


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("garbage", [torch.nan, torch.inf, -5.0, 0.0])
def test_garbage_outside_valid_changes_nothing(name: str, garbage: float):
    measure, _ = MEASURES[name]
    prediction, target, valid = rooms()
    clean = measure(prediction, target, valid)
    p, g = (torch.where(valid, x, garbage) for x in (prediction, target))
    torch.testing.assert_close(measure(p, g, valid), clean)


@pytest.mark.parametrize("name", MEASURES)
def test_the_order_of_rows_changes_nothing(name: str):
    measure, _ = MEASURES[name]
    maps = rooms()
    order = torch.tensor([2, 0, 1])
    found = measure(*(x[order] for x in maps))
    torch.testing.assert_close(found, measure(*maps)[order], rtol=1e-9, atol=1e-12)


SHAPES = {
    "median": ("scale",),
    "scale": ("scale",),
    "affine_depth": ("scale",),
    "affine_inverse_depth": ("scale", "shift"),
    "robust_inverse_depth": ("scale", "shift"),
}


@settings(max_examples=3)
@given(scale=st.floats(-1, 1), shift=st.floats(0, 0.5), seed=st.integers(0, 99))
def test_no_measure_sees_what_an_alignment_takes_out(scale: float, shift: float, seed: int):
    batch = random_batch([LabelKind.METRIC_DEPTH] * 2, seed)
    draw = torch.Generator().manual_seed(seed)
    y = torch.where(batch.valid, batch.target, 3).double().log()
    y = y + 0.1 * torch.randn(y.shape, generator=draw, dtype=torch.float64)
    moved = {"scale": y + scale, "shift": -((-y).exp() + shift).log()}

    def found(maps: Tensor) -> Tensor:
        return measure(Prediction(maps, batch.intrinsics, 40.0), batch, ALIGNMENTS).values

    before = found(y)
    for change, maps in moved.items():
        after = found(maps)
        for place, alignment in enumerate(ALIGNMENTS):
            if change in SHAPES.get(alignment, ()):
                # The prediction is float32, and a threshold may lie between two roundings of a pixel.
                torch.testing.assert_close(
                    after[place],
                    before[place],
                    rtol=2e-2,
                    atol=5e-3,
                    equal_nan=True,
                    msg=f"{change} {alignment}",
                )
