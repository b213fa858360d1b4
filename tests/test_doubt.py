"""Samples whose loss stands out of their source count less, never nothing."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.doubt import Disagreement, RunningDoubt
from depthmix.errors import ConfigError
from depthmix.losses import ScaleShiftInvariantLoss, SilogLoss
from depthmix.objective import Objective, Term
from tests.fake_cuda import fake_cuda
from tests.losses.contract import CountOperations
from tests.test_objective import CARDS, KINDS, SOURCES, predict
from tests.toy import random_batch

OPTIONS = Disagreement(tolerance=2.0, floor=0.1, memory=0.98, warmup=20)


class Naive:
    """The same with loops over rows and terms."""

    def __init__(self, options, terms, sources):
        self.options = options
        self.cells = {(k, s): [0.0, 0.0, 1.0] for k in range(terms) for s in range(sources)}

    def judge(self, per_row, counted, source):
        scores, weights = [], []
        for row, s in enumerate(source):
            zs = []
            for k in range(len(per_row)):
                seen, centre, spread = self.cells[k, s]
                x = math.log(max(per_row[k][row], 1e-9))
                if counted[k][row] and seen >= self.options.warmup:
                    zs.append((x - centre) / (math.sqrt(math.pi / 2) * max(spread, 1e-3)))
            scores.append(sum(zs) / len(zs) if zs else 0.0)
            over = scores[-1] > self.options.tolerance
            weights.append(max(self.options.floor, self.options.tolerance / scores[-1]) if over else 1.0)
        return scores, weights

    def learn(self, per_row, carried, source):
        for (k, s), (seen, centre, spread) in list(self.cells.items()):
            rows = [r for r, own in enumerate(source) if own == s and carried[k][r]]
            if not rows:
                continue
            away = [math.log(max(per_row[k][r], 1e-9)) - centre for r in rows]
            if seen:
                away = [min(max(a, -3 * spread), 3 * spread) for a in away]
            share = max(1 - self.options.memory ** len(rows), len(rows) / (seen + len(rows)))
            size = sum(abs(a) for a in away) / len(rows)
            spread += share * (size - spread) if seen else 0
            self.cells[k, s] = [seen + len(rows), centre + share * sum(away) / len(rows), spread]


def alone(sums):
    return sums


def step(rows: int, seed: int):
    g = torch.Generator().manual_seed(seed)
    per_row = torch.randn(2, rows, generator=g).exp() * torch.tensor([[0.1], [30.0]])
    carried = torch.rand(2, rows, generator=g) < 0.8
    return per_row, carried, torch.randint(0, 3, (rows,), generator=g)


def test_it_agrees_with_a_naive_implementation():
    ours, naive = RunningDoubt(OPTIONS, 2, 3), Naive(OPTIONS, 2, 3)
    for seed in range(40):
        per_row, carried, source = step(8, seed)
        score, weight = ours(per_row, carried, source)
        expected = naive.judge(per_row.tolist(), carried.tolist(), source.tolist())
        np.testing.assert_allclose(score, expected[0], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(weight, expected[1], rtol=1e-9)
        ours.learn(per_row, carried, source, alone)
        naive.learn(per_row.double().tolist(), carried.tolist(), source.tolist())
    assert (weight < 1).any() or (score.abs() > 0).all()
    assert ours.seen.min() > OPTIONS.warmup


def warm(steps: int = 60, factor: float = 1.0) -> RunningDoubt:
    doubt = RunningDoubt(OPTIONS, 2, 3)
    for seed in range(steps):
        per_row, carried, source = step(12, seed)
        doubt.learn(factor * per_row, carried, source, alone)
    return doubt


def test_a_wrong_label_counts_less_and_an_ordinary_one_fully():
    per_row = torch.tensor([[0.1, 0.15, 10.0, 0.001], [30.0, 20.0, 3000.0, 0.1]])
    _, weight = warm()(per_row, torch.ones(2, 4, dtype=torch.bool), torch.tensor([0, 1, 2, 0]))
    assert weight[:2].tolist() == [1, 1]
    assert OPTIONS.floor <= weight[2] < 0.6
    assert weight[3] == 1  # better than usual is no fault


def test_statistics_find_the_usual_loss_in_spite_of_outliers():
    clean, dirty = warm(400), RunningDoubt(OPTIONS, 2, 3)
    for seed in range(400):
        per_row, carried, source = step(12, seed)
        per_row[:, torch.rand(12, generator=torch.Generator().manual_seed(seed)) < 0.05] *= 1e6
        dirty.learn(per_row, carried, source, alone)
    torch.testing.assert_close(dirty.centre, clean.centre, rtol=0, atol=0.4)
    assert (dirty.spread < 2 * clean.spread).all()


def test_sources_are_judged_by_their_own_losses():
    doubt = RunningDoubt(OPTIONS, 1, 2)
    g = torch.Generator().manual_seed(0)
    for _ in range(60):  # the second source is ten times worse, as its labels are
        per_row = torch.randn(1, 8, generator=g).mul(0.3).exp() * torch.tensor([1.0, 10.0]).repeat(4)
        doubt.learn(per_row, torch.ones(1, 8, dtype=torch.bool), torch.tensor([0, 1] * 4), alone)
    _, weight = doubt(torch.tensor([[10.0, 10.0]]), torch.ones(1, 2, dtype=torch.bool), torch.tensor([0, 1]))
    assert weight[0] < 0.5
    assert weight[1] == 1


@settings(max_examples=25)
@given(st.floats(0.01, 100), st.integers(0, 9))
def test_a_common_factor_of_all_losses_changes_no_weight(factor, seed):
    per_row, carried, source = step(8, 1000 + seed)
    one, other = warm(30)(per_row, carried, source), warm(30, factor)(factor * per_row, carried, source)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@settings(max_examples=25)
@given(st.permutations(range(8)), st.integers(0, 9))
def test_the_order_of_rows_does_not_matter(order, seed):
    per_row, carried, source = step(8, 1000 + seed)
    doubt, other = warm(20), warm(20)
    score, weight = doubt(per_row, carried, source)
    found = other(per_row[:, order], carried[:, order], source[order])
    torch.testing.assert_close(found, (score[order], weight[order]))
    doubt.learn(per_row, carried, source, alone)
    other.learn(per_row[:, order], carried[:, order], source[order], alone)
    torch.testing.assert_close(doubt.centre, other.centre)


@pytest.mark.parametrize("value", [0.0, 1e-30, 1e30, math.inf, math.nan])
def test_any_loss_leaves_weights_and_statistics_finite(value):
    doubt = warm()
    per_row, carried, source = torch.full((2, 3), value), torch.ones(2, 3, dtype=torch.bool), torch.arange(3)
    score, weight = doubt(per_row, carried, source)
    assert score.isfinite().all()
    assert ((weight >= OPTIONS.floor) & (weight <= 1)).all()
    doubt.learn(per_row, carried, source, alone)
    assert all(buffer.isfinite().all() for buffer in doubt.buffers())


def test_the_state_is_loaded_strictly():
    state = warm().state_dict()
    fresh = RunningDoubt(OPTIONS, 2, 3)
    fresh.load_state_dict(state)
    assert torch.equal(fresh.spread, warm().spread)
    with pytest.raises(RuntimeError, match="size mismatch"):
        RunningDoubt(OPTIONS, 2, 4).load_state_dict(state)
    with pytest.raises(RuntimeError, match="Missing key"):
        fresh.load_state_dict({name: value for name, value in state.items() if name != "seen"})


def test_it_waits_for_no_device_and_takes_the_same_operations_for_any_rows():
    counts = []
    for rows in (2, 30):
        doubt, (per_row, carried, source) = warm(2), step(rows, 0)
        with CountOperations() as counter:
            doubt(per_row, carried, source)
            doubt.learn(per_row, carried, source, alone)
        counts.append(counter.count)
    assert len(set(counts)) == 1
    with fake_cuda():
        doubt = RunningDoubt(OPTIONS, 2, 3).to("cuda:0")
        given = torch.empty(2, 5, device="cuda:0")
        source = torch.empty(5, dtype=torch.long, device="cuda:0")
        _, weight = doubt(given, given > 0, source)
        doubt.learn(given, given > 0, source, alone)
        assert weight.device.type == "cuda"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"tolerance": 0.0}, "model.disagreement.tolerance: must be positive and finite, got 0"),
        ({"floor": 0.0}, "model.disagreement.floor: must be above 0 and at most 1, got 0"),
        ({"memory": 1.0}, "model.disagreement.memory: must be above 0 and below 1, got 1"),
        ({"warmup": 0}, "model.disagreement.warmup: must be at least 1, got 0"),
        ({"listed": 0}, "model.disagreement.listed: must be at least 1, got 0"),
    ],
)
def test_options_out_of_range_are_refused(options, reason):
    with pytest.raises(ConfigError, match=reason):
        Disagreement(**options)


def objective(options: Disagreement | None) -> Objective:
    terms = {"ssi": Term(ScaleShiftInvariantLoss()), "silog": Term(SilogLoss(), weight=2.0)}
    return Objective(terms, "none", CARDS, options)


def test_a_row_in_doubt_pulls_less_in_every_term_and_the_others_as_before():
    batch, gradients = random_batch(KINDS, sources=SOURCES), []
    for options in (None, Disagreement(warmup=1, memory=0.5, floor=0.2)):
        whole = objective(options)
        if whole.doubt is not None:  # for the first row of kitti, every loss is far too high
            whole.doubt.seen += 100
            whole.doubt.centre[:, 2], whole.doubt.spread[:, 2] = -9.0, 0.1
            whole.doubt.centre[:, 1] = 9.0
        y, prediction = predict(4)
        value = whole(prediction, batch)
        value.loss.backward()
        gradients.append(y.grad)
    assert value.trust.tolist() == pytest.approx([1, 1, 0.2, 0.2])
    torch.testing.assert_close(gradients[1][:2], gradients[0][:2])
    torch.testing.assert_close(gradients[1][2:], 0.2 * gradients[0][2:])


def test_without_the_option_nothing_is_judged():
    _, prediction = predict(4)
    value = objective(None)(prediction, random_batch(KINDS, sources=SOURCES))
    assert value.scores is None
    assert value.trust is None
    assert not list(objective(None).buffers())


def test_without_cards_it_is_refused():
    with pytest.raises(ConfigError, match=r"model.disagreement: needs the cards of the sources"):
        Objective({"silog": Term(SilogLoss())}, "none", None, OPTIONS)
