"""Ranking losses on given and on sampled pairs."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from depthmix.losses import OrdinalLoss, RankingLoss, label_relations, ordinal_ranking, pair_ranking
from depthmix.losses.draws import draw_stream
from depthmix.sample import LabelKind
from tests.losses.cases import KINDS, H, W, make_batch, make_log_canonical, predict
from tests.losses.contract import LossContract, Row, rows_of

CPU = torch.device("cpu")


def chen(z_a: float, z_b: float, relation: int) -> float:
    """Equation 2 of Chen et al. with z as log depth."""
    if relation == 0:
        return (z_a - z_b) ** 2
    return math.log1p(math.exp(-relation * (z_a - z_b)))


def relation_by_definition(row: Row, a: int, b: int, spread: float) -> int:
    first, second = row.target.flat[a], row.target.flat[b]
    if row.kind is LabelKind.AFFINE_DISPARITY:
        return 0 if abs(first - second) < 0.1 * spread else (1 if first < second else -1)
    return 1 if first / second >= 1.03 else -1 if second / first >= 1.03 else 0


class TestOrdinalLoss(LossContract):
    reads_prediction_outside_mask = True

    def make(self):
        return OrdinalLoss()

    def reference(self, row: Row):
        batch = make_batch()
        i = next(i for i, other in enumerate(rows_of(batch, batch.target)) if other.kind is row.kind)
        errors = [
            chen(row.y[v1, u1], row.y[v2, u2], relation)
            for u1, v1, u2, v2, relation in batch.pairs[i].tolist()
            if u1 >= 0 and (u1, v1) != (u2, v2)
        ]
        return sum(errors) / len(errors)

    def plain(self):
        g = torch.Generator().manual_seed(0)
        z = torch.rand(2, 1, 5, 6, generator=g, dtype=torch.float64)
        pairs = torch.randint(0, 5, (2, 7, 5), generator=g).int()
        pairs[..., 4] = torch.arange(7) % 3 - 1
        pairs[1, 4:] = -1
        return lambda x: ordinal_ranking(x, pairs), z


class TestRankingLoss(LossContract):
    samplers = ("random", "edges", "planes")

    def make(self):
        return RankingLoss(pairs=300, samplers=self.samplers)

    def reference(self, row: Row):
        batch = make_batch()
        i = next(i for i, other in enumerate(rows_of(batch, batch.target)) if other.kind is row.kind)
        first, second, _, _ = self.make()._pairs(batch, 0)
        pairs = [
            (a, b)
            for a, b in zip(first[i].tolist(), second[i].tolist(), strict=True)
            if a != b and row.valid.flat[a] and row.valid.flat[b]
        ]
        spread = np.mean([abs(row.target.flat[a] - row.target.flat[b]) for a, b in pairs])
        errors = [
            chen(row.y.flat[a], row.y.flat[b], relation_by_definition(row, a, b, spread)) for a, b in pairs
        ]
        return np.mean(errors)

    def plain(self):
        g = torch.Generator().manual_seed(0)
        z = torch.rand(2, 1, 5, 6, generator=g, dtype=torch.float64)
        first, second = torch.randint(0, 30, (2, 2, 9), generator=g)
        relation = (torch.arange(9) % 3 - 1).expand(2, 9)
        used = (first != second) & (torch.arange(9) < 7)
        return lambda x: pair_ranking(x, first, second, relation, used), z


class TestRankingLossOnRandomPairs(TestRankingLoss):
    samplers = ("random",)


def loss_of(batch, depth, **options):
    options = {"pairs": 2000} | options
    return RankingLoss(**options)(predict(depth.log(), batch), batch)


def inverse_label(batch):
    return torch.where(batch.valid, batch.inverse_depth, 1.0)


@given(st.floats(0.01, 100.0), st.integers(0, 3))
def test_a_factor_of_depth_changes_nothing(factor, seed):
    batch = make_batch(seed=seed)
    y = make_log_canonical(batch)
    for loss in (RankingLoss(pairs=300), OrdinalLoss()):
        value = loss(predict(y, batch), batch)
        torch.testing.assert_close(loss(predict(y + math.log(factor), batch), batch), value)


@given(st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_scale_and_shift_of_an_affine_label_change_no_relation(scale, shift):
    g = torch.Generator().manual_seed(0)
    first, second = torch.rand(2, 1, 500, generator=g, dtype=torch.float64)
    rows, used = torch.tensor([False]), torch.ones(1, 500, dtype=torch.bool)
    relation = label_relations(first, second, rows, used)
    assert 20 < (relation == 0).sum() < 60
    assert torch.equal(label_relations(scale * first + shift, scale * second + shift, rows, used), relation)


def test_a_prediction_bent_by_a_power_is_not_the_same():
    batch = make_batch(KINDS[:1])
    y = make_log_canonical(batch)
    assert not torch.allclose(*(RankingLoss()(predict(p * y, batch), batch) for p in (1, 2)), rtol=1e-2)


@pytest.mark.parametrize("kind", KINDS[:3])
def test_the_right_order_scores_less_than_no_order_and_the_inverted_one_more(kind):
    batch = make_batch((kind,))
    right = 1 / (0.2 + (inverse_label(batch) - inverse_label(batch).min()))
    values = [loss_of(batch, depth).item() for depth in (right, torch.ones_like(right), 1 / right)]
    assert values[0] < values[1] < values[2]


def test_the_sign_of_relations_is_that_of_the_records():
    batch = make_batch(holes=0.0)
    depth = torch.where(batch.is_depth[:, None, None, None], batch.target, 1.0)
    values = OrdinalLoss()(predict(depth.log(), batch), batch)
    inverted = OrdinalLoss()(predict(-depth.log(), batch), batch)
    assert (values[batch.is_depth] < inverted[batch.is_depth]).all()


def test_relation_of_depth_turns_at_the_ratio():
    first = torch.tensor([[1.031, 1.029, 1.0, 1.0, 5.0]], dtype=torch.float64)
    second = torch.tensor([[1.0, 1.0, 1.031, 1.029, 1.0]], dtype=torch.float64)
    used = torch.tensor([[True, True, True, True, False]])
    assert label_relations(first, second, torch.tensor([True]), used).tolist() == [[1, 0, -1, 0, 0]]


def test_mean_is_over_the_pairs_that_count():
    # Divided by all pairs drawn, a row with one labelled pixel in ten would weigh a hundredth.
    dense, z = make_batch(KINDS[:1], holes=0.0), make_log_canonical(make_batch(KINDS[:1]))
    kept = torch.rand(H, W, generator=torch.Generator().manual_seed(0)) < 0.3
    thin = replace(dense, valid=dense.valid & kept)
    options = {"samplers": ["edges", "planes"], "pairs": 20_000}
    values = [RankingLoss(**options)(predict(z, batch), batch).item() for batch in (dense, thin)]
    assert 0.7 < values[1] / values[0] < 1.3


def test_equal_points_are_drawn_together():
    batch = make_batch(KINDS[:1])
    pairs = torch.tensor([[[3, 4, 20, 15, 0]]], dtype=torch.int32)
    y = make_log_canonical(batch).requires_grad_()
    value = ordinal_ranking(y, pairs)
    value.sum().backward()
    gap = y[0, 0, 4, 3] - y[0, 0, 15, 20]
    torch.testing.assert_close(value[0], gap**2)
    torch.testing.assert_close(y.grad[0, 0, 4, 3], 2 * gap)
    assert y.grad.count_nonzero() == 2


def test_agrees_with_the_papers_formula_in_float64():
    g = torch.Generator().manual_seed(3)
    z = torch.randn(1, 1, H, W, generator=g, dtype=torch.float64)
    pairs = torch.stack([torch.randint(0, n, (40,), generator=g) for n in (W, H, W, H)], 1)
    pairs = torch.cat([pairs, (torch.arange(40) % 3 - 1)[:, None]], 1)[None].int()
    expected = np.mean(
        [chen(z[0, 0, b, a].item(), z[0, 0, d, c].item(), r) for a, b, c, d, r in pairs[0].tolist()]
    )
    np.testing.assert_allclose(ordinal_ranking(z, pairs).item(), expected, rtol=1e-12)


def test_pairs_repeat_with_seed_and_step_and_change_with_either():
    batch = make_batch()
    pairs = [
        RankingLoss(pairs=300, seed=s)._pairs(batch, step)[0] for s, step in ((0, 4), (0, 4), (0, 5), (1, 4))
    ]
    assert torch.equal(pairs[0], pairs[1])
    assert not any(torch.equal(pairs[0], other) for other in pairs[2:])


def test_sparse_labels_are_learnt_from_random_pairs_alone():
    batch = make_batch(KINDS[:1])
    thin = replace(batch, valid=batch.valid & (torch.arange(H * W).view(H, W) % 97 == 5))
    used = RankingLoss(pairs=300, samplers=["random"])._pairs(thin, 0)[3]
    assert used.float().mean() > 0.5


def test_steps_of_a_stream_share_no_number():
    seen = torch.cat([draw_stream(5000, 7, step, CPU) for step in (0, 1, 2, 3, 1000, 99_999)])
    assert len(seen.unique()) == len(seen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairs": 0}, "`pairs` must be at least 1, got 0"),
        ({"samplers": []}, r"`samplers` must be some of .* got \(\)"),
        ({"samplers": ["edge"]}, r"`samplers` must be some of .* got \('edge',\)"),
        ({"ratio": 1.0}, "`ratio` must be above 1 and finite, got 1.0"),
        ({"contrast": -1.0}, "`contrast` must be finite and not negative, got -1.0"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RankingLoss(**options)
