"""The shortest vector in a hull of gradients, and learned weights, against plain implementations."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls
from torch import Tensor

from depthmix.balance import (
    LARGEST_LOG_VARIANCE,
    MOST_TERMS,
    min_norm_orthogonal,
    min_norm_weights,
    share_weights,
    uncertainty_slopes,
    uncertainty_weights,
)
from tests.fake_cuda import fake_cuda

FLAT = st.floats(-1, 1).filter(lambda x: x == 0 or abs(x) > 1e-3)


@st.composite
def gradients(draw: st.DrawFn) -> Tensor:
    """Up to six gradients of very different lengths, in few enough dimensions to depend on each other."""
    k, n = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    rows = [[draw(FLAT) for _ in range(n)] for _ in range(k)]
    lengths = [10.0 ** draw(st.integers(-2, 2)) for _ in range(k)]
    return torch.tensor(rows, dtype=torch.float64) * torch.tensor(lengths, dtype=torch.float64)[:, None]


def solve(g: Tensor) -> Tensor:
    return min_norm_weights(g @ g.T)


def naive(g: np.ndarray) -> float:
    """Length of the shortest vector in the hull by non-negative least squares with a heavy row of ones."""
    scale = np.abs(g).max()
    heavy = 1e4
    a = np.vstack([(g / scale).T, np.full(len(g), heavy)])
    weights, _ = nnls(a, np.append(np.zeros(g.shape[1]), heavy))
    return float(np.linalg.norm(weights / weights.sum() @ g))


@given(gradients())
def test_no_point_of_the_hull_is_shorter(g: Tensor):
    moving = g[g.norm(dim=1) > 0]
    weights = solve(g)
    if not len(moving):
        assert torch.equal(weights, torch.zeros(len(g), dtype=torch.float64))
        return
    assert weights.min() >= 0
    assert weights.sum().item() == pytest.approx(1)
    assert (weights @ g).norm().item() <= naive(moving.numpy()) * (1 + 1e-6) + 1e-5 * g.abs().max().item()


@given(gradients())
def test_a_step_along_it_raises_no_term(g: Tensor):
    step = solve(g) @ g
    slopes = g @ step  # at least the squared length of the step, for each gradient that is not zero
    moving = g.norm(dim=1) > 0
    assert (slopes[moving] >= step.square().sum() - 1e-5 * g.norm(dim=1)[moving] * g.norm(dim=1).max()).all()


def test_two_gradients_agree_with_the_closed_form_of_the_paper():
    g = torch.randn(50, 2, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for one, two in g.unbind():
        first = ((two - one) @ two / (two - one).square().sum()).clamp(0, 1)
        torch.testing.assert_close(solve(torch.stack([one, two]))[0], first, rtol=1e-6, atol=1e-9)


def test_a_grid_on_the_simplex_finds_nothing_shorter():
    g = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 0.4
    steps = 60
    points = [(i, j, steps - i - j) for i in range(steps + 1) for j in range(steps + 1 - i)]
    grid = torch.tensor(points, dtype=torch.float64) / steps
    best = (grid @ g).norm(dim=1)
    assert (solve(g) @ g).norm() <= best.min() + 1e-12
    torch.testing.assert_close(solve(g), grid[best.argmin()], rtol=0, atol=1 / steps)


@pytest.mark.parametrize(
    ("rows", "weights"),
    [
        ([[1, 0], [2, 0]], [1, 0]),  # parallel: the shorter one
        ([[1, 0], [-1, 0]], [0.5, 0.5]),  # opposite: nothing lowers both
        ([[1, 0], [-3, 0]], [0.75, 0.25]),
        ([[1, 0], [0, 2]], [0.8, 0.2]),  # orthogonal: 1 / squared length
        ([[0, 0], [3, 4]], [0, 1]),  # a zero gradient objects to nothing
        ([[0, 0], [0, 0]], [0, 0]),
        ([[1e-9, 0], [0, 1e6]], [1, 0]),
        ([[5, 5]], [1]),
    ],
)
def test_degenerate_gradients_have_known_weights(rows: list[list[float]], weights: list[float]):
    found = solve(torch.tensor(rows, dtype=torch.float64))
    torch.testing.assert_close(found, torch.tensor(weights, dtype=torch.float64), rtol=0, atol=1e-6)


def test_equal_gradients_give_that_gradient():
    g = torch.tensor([[1.0, 2.0, 2.0]], dtype=torch.float64).repeat(5, 1)
    torch.testing.assert_close(solve(g) @ g, g[0])


def test_terms_that_take_no_part_get_no_weight():
    g = torch.tensor([[0.1, 0], [1, 0], [0, 1]], dtype=torch.float64)
    found = min_norm_weights(g @ g.T, torch.tensor([False, True, True]))
    torch.testing.assert_close(found, torch.tensor([0, 0.5, 0.5], dtype=torch.float64))
    none = torch.zeros(3, dtype=torch.bool)
    assert min_norm_weights(g @ g.T, none).abs().sum() == 0
    assert min_norm_orthogonal(torch.ones(3), none).abs().sum() == 0


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=6))
def test_orthogonal_gradients_need_no_solver(lengths: list[float]):
    squares = torch.tensor(lengths, dtype=torch.float64).square()
    torch.testing.assert_close(
        min_norm_orthogonal(squares), min_norm_weights(squares.diag()), rtol=1e-5, atol=1e-9
    )


def test_the_largest_number_of_terms_and_one_more():
    g = torch.randn(MOST_TERMS + 1, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert (solve(g[:-1]) @ g[:-1]).norm().item() == pytest.approx(naive(g[:-1].numpy()), rel=1e-6)
    with pytest.raises(ValueError, match=f"at most {MOST_TERMS} gradients, got {MOST_TERMS + 1}"):
        solve(g)


def test_solving_waits_for_no_device():
    meta = torch.ones(6, 6, dtype=torch.float64, device="meta")
    assert min_norm_weights(meta, torch.ones(6, dtype=torch.bool, device="meta")).shape == (6,)
    with fake_cuda():
        products = torch.ones(6, 6, dtype=torch.float64, device="cuda:0")
        assert min_norm_weights(products).device.type == "cuda"
        assert min_norm_orthogonal(products[0]).device.type == "cuda"


def test_a_product_that_is_not_finite_raises_nothing():
    products = torch.eye(3, dtype=torch.float64)
    products[1, 2] = torch.nan
    assert min_norm_weights(products).shape == (3,)


def test_shares_divide_by_the_norm_unless_it_is_zero():
    found = share_weights(torch.tensor([4.0, 0.0, 1e-13, 0.5]))
    assert found.tolist() == [0.25, 0.0, 0.0, 2.0]


def test_the_slope_of_a_learned_variance_is_that_of_the_paper():
    s = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64, requires_grad=True)
    values = torch.tensor([0.3, 1.0, 5.0], dtype=torch.float64)
    ((-s).exp() * values + s).sum().backward()
    assert s.grad is not None
    torch.testing.assert_close(uncertainty_slopes(s.detach(), values), s.grad)
    at_rest = uncertainty_slopes(values.log(), values)
    torch.testing.assert_close(at_rest, torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(uncertainty_weights(values.log()), 1 / values)


def test_a_negative_loss_drives_its_variance_to_the_limit_and_no_further():
    s, values = torch.zeros(2), torch.tensor([-0.5, 0.0])
    for _ in range(1000):
        s = s - 0.1 * uncertainty_slopes(s, values)
    assert s.tolist() == pytest.approx([-LARGEST_LOG_VARIANCE] * 2, abs=60)
    assert uncertainty_weights(s).tolist() == pytest.approx([math.exp(LARGEST_LOG_VARIANCE)] * 2)
    back = s - 0.1 * uncertainty_slopes(s, torch.tensor([1.0, 1.0]))
    assert (back > s).all()  # and it comes back when the loss is positive again
