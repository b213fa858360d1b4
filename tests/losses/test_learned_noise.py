"""Scales of noise that are learned for each source and range of depth."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from depthmix.losses import LearnedNoiseLoss, depth_bin, scaled_l1
from depthmix.objective import Objective, Term
from depthmix.prediction import Prediction
from depthmix.sample import LabelKind
from tests.fake_cuda import fake_cuda
from tests.losses.cases import FOCAL, make_batch, make_log_canonical, predict
from tests.losses.contract import CountOperations, LossContract, Row
from tests.losses.metric_cases import everywhere, log_errors, plain_case, strip
from tests.test_objective import CARDS, SOURCES
from tests.test_objective import KINDS as MIXED
from tests.test_objective import predict as predict_mixed
from tests.toy import random_batch

METRIC = LabelKind.METRIC_DEPTH


def taught() -> LearnedNoiseLoss:
    """Different scales in every range; all within floor and ceiling."""
    loss = LearnedNoiseLoss(bins=6, nearest=0.8, farthest=9.0)
    loss.scales += 0.05 * torch.arange(6)
    return loss


def naive_bin(z: float, bins: int, nearest: float, farthest: float) -> int:
    place = math.floor(
        bins * math.log(min(max(z, nearest), farthest) / nearest) / math.log(farthest / nearest)
    )
    return min(max(place, 0), bins - 1)


class TestLearnedNoiseLoss(LossContract):
    def make(self):
        return taught()

    def reference(self, row: Row):
        total = 0.0
        for d, z in zip(log_errors(row), row.target[row.valid], strict=True):
            b = 0.1 + 0.05 * naive_bin(z, 6, 0.8, 9.0)
            total += abs(d) / b + math.log(b / 0.01)
        return total / row.valid.sum()

    def plain(self):
        y, z, valid = plain_case()
        return lambda x: scaled_l1(x, z, valid, 0.1 * z), y


def rows_with_noise(scales: np.ndarray, seed: int, middle: float = 1.0):
    """One row a source: depths in this part of each range, true predictions, labels with Laplace noise."""
    g = torch.Generator().manual_seed(seed)
    sources, bins = scales.shape
    batch = make_batch((METRIC,) * sources, holes=0.2)
    shape = batch.target.shape
    spot = bins * torch.rand(shape, generator=g, dtype=torch.float64)
    spot = spot.floor() + 0.5 + middle * (spot - spot.floor() - 0.5)
    true = 0.5 * 160.0 ** (spot / bins)
    place = depth_bin(true, torch.ones_like(batch.valid), bins, 0.5, 80.0)
    b = torch.from_numpy(scales)[torch.arange(sources)[:, None, None, None], place]
    uniform = torch.rand(shape, generator=g, dtype=torch.float64) - 0.5
    noise = -uniform.sign() * torch.log1p(-2 * uniform.abs())
    label = torch.where(batch.valid, true * (b * noise).exp(), 0).float()
    batch = replace(batch, target=label, source=torch.arange(sources))
    y = true.log() - (batch.intrinsics[:, :2].prod(1).sqrt() / FOCAL).log()[:, None, None, None]
    return batch, Prediction(y.float(), batch.intrinsics, FOCAL)


def learn(loss: LearnedNoiseLoss, prediction, batch, rows=None) -> None:
    rows = torch.ones(len(batch), dtype=torch.bool) if rows is None else rows
    loss.learn(loss.observe(prediction, batch, rows))


def test_it_finds_the_noise_that_labels_were_given():
    scales = np.array([[0.02, 0.02, 0.03, 0.03], [0.02, 0.05, 0.1, 0.2], [0.15, 0.15, 0.15, 0.15]])
    loss = LearnedNoiseLoss(bins=4, ceiling=3.0)
    loss.begin(3)
    for seed in range(60):
        # Depths near the border of a range may be carried over it by their noise, and then mix its scale.
        batch, prediction = rows_with_noise(scales, seed, middle=0.3)
        learn(loss, prediction, batch)
    np.testing.assert_allclose(loss.scales, scales, rtol=0.15)
    found = loss.figures(["laser", "stereo", "web"])
    assert found["laser"] < 0.04 < found["stereo"] < 0.15 == pytest.approx(found["web"], rel=0.1)


def test_the_scale_that_it_finds_is_the_likeliest():
    batch, prediction = rows_with_noise(np.array([[0.1, 0.1, 0.1, 0.1]]), 0)
    loss = LearnedNoiseLoss(bins=4, ceiling=50.0)
    learn(loss, prediction, batch)
    best = loss(prediction, batch)
    for factor in (0.8, 1.25):
        other = LearnedNoiseLoss(bins=4, ceiling=50.0)
        other.load_state_dict(loss.state_dict())
        other.scales *= factor
        assert other(prediction, batch) > best


def test_estimates_are_those_of_a_naive_implementation():
    loss, seen, scales = LearnedNoiseLoss(bins=3, memory=0.9), np.zeros((2, 3)), np.full((2, 3), 0.1)
    loss.begin(2)
    for seed in range(12):
        batch, prediction = rows_with_noise(np.full((3, 3), 0.2), seed)
        batch = replace(batch, source=torch.tensor([0, 1, 1]))
        rows = torch.tensor([True, seed % 3 > 0, True])
        learn(loss, prediction, batch, rows)
        means: dict[tuple[int, int], list[float]] = {}
        for row, source in enumerate([0, 1, 1]):
            errors: list[list[float]] = [[], [], []]
            mask = batch.valid[row, 0].numpy()
            pairs = zip(
                batch.target[row, 0].numpy()[mask], prediction.log_depth[row, 0].numpy()[mask], strict=True
            )
            for z, y in pairs:
                errors[naive_bin(float(z), 3, 0.5, 80.0)].append(min(abs(float(y) - math.log(float(z))), 1.0))
            for k, of_bin in enumerate(errors):
                if rows[row] and of_bin:
                    means.setdefault((source, k), []).append(sum(of_bin) / len(of_bin))
        for cell, found in means.items():
            share = max(1 - 0.9 ** len(found), len(found) / (seen[cell] + len(found)))
            scales[cell] += share * (sum(found) / len(found) - scales[cell])
            seen[cell] += len(found)
    np.testing.assert_allclose(loss.scales, scales, rtol=1e-4)
    assert np.array_equal(loss.seen, seen)


def test_a_dense_row_does_not_outvote_a_sparse_one():
    batch, prediction = rows_with_noise(np.array([[0.1] * 2, [0.4] * 2]), 0)
    sparse = batch.valid.clone()
    sparse[1, ..., ::7] = False
    dense, thin = LearnedNoiseLoss(bins=2), LearnedNoiseLoss(bins=2)
    learn(dense, prediction, batch)
    learn(thin, prediction, replace(batch, valid=sparse))
    torch.testing.assert_close(thin.scales, dense.scales, rtol=0.1, atol=0)
    assert (dense.scales > 0.2).all()


def test_a_noisy_source_pulls_less_on_each_pixel():
    loss = LearnedNoiseLoss()
    loss.begin(2)
    loss.scales[1] = 0.5
    batch, y = make_batch((METRIC, METRIC)), make_log_canonical(make_batch((METRIC, METRIC)))
    batch = replace(batch, source=torch.tensor([0, 1]), valid=batch.valid[:1].repeat(2, 1, 1, 1))
    leaf = y.requires_grad_()
    loss(predict(leaf, batch), batch).sum().backward()
    pull = leaf.grad.abs().amax((1, 2, 3))
    assert pull[0] / pull[1] == pytest.approx(5.0, rel=1e-4)


@given(st.floats(0.011, 5), st.integers(0, 9))
def test_the_value_is_never_negative_and_least_at_the_mean_error(scale, seed):
    g = torch.Generator().manual_seed(seed)
    y, z = torch.rand(2, 1, 1, 4, 5, generator=g, dtype=torch.float64) + 0.1
    usual = (y - z.log()).abs().mean()
    value = scaled_l1(y, z, everywhere(z), torch.full_like(z, scale))
    assert value >= 0
    assert value >= scaled_l1(y, z, everywhere(z), usual.expand_as(z)) - 1e-9


def test_no_pixel_pulls_harder_than_the_floor_allows():
    y = strip(0.5, 0.5).requires_grad_()
    scaled_l1(y, torch.ones(1, 1, 1, 2), everywhere(y), strip(1e-9, 0.02), floor=0.02).sum().backward()
    assert y.grad.flatten().tolist() == pytest.approx([25.0, 25.0])


@given(st.floats(1e-6, 1e6))
def test_the_range_of_a_depth_is_that_of_its_logarithm(z):
    found = depth_bin(torch.full((1, 1, 1, 1), z), torch.ones(1, 1, 1, 1, dtype=torch.bool), 8, 0.5, 80.0)
    place = 8 * math.log(min(max(z, 0.5), 80.0) / 0.5) / math.log(160.0)
    assert abs(found.item() + 0.5 - place) <= 0.501 or found.item() == 7


def test_labels_outside_the_mask_teach_nothing_and_infinite_ones_neither():
    batch, prediction = rows_with_noise(np.full((2, 8), 0.1), 0)
    plain, dirty = LearnedNoiseLoss(), LearnedNoiseLoss()
    learn(plain, prediction, batch)
    learn(dirty, prediction, replace(batch, target=torch.where(batch.valid, batch.target, torch.nan)))
    assert torch.equal(plain.scales, dirty.scales)
    learn(dirty, prediction, replace(batch, target=torch.full_like(batch.target, torch.inf)))
    assert dirty.scales.isfinite().all()


def test_learning_waits_for_no_device_and_takes_the_same_operations_for_any_rows():
    counts = []
    for sources in (1, 4):
        batch, prediction = rows_with_noise(np.full((sources, 8), 0.1), 0)
        loss = LearnedNoiseLoss()
        loss.begin(4)
        with CountOperations() as counter:
            learn(loss, prediction, batch, torch.ones(sources, dtype=torch.bool))
        counts.append(counter.count)
    assert len(set(counts)) == 1
    real = make_batch()
    with fake_cuda():
        loss = LearnedNoiseLoss().to("cuda:0")
        batch = real._mapped(lambda t: torch.empty(t.shape, dtype=t.dtype, device="cuda:0"))
        y = torch.empty(real.target.shape, device="cuda:0")
        learn(loss, predict(y, batch), batch, batch.camera_known)
        assert loss.scales.device.type == "cuda"


def objective() -> Objective:
    return Objective({"noise": Term(LearnedNoiseLoss())}, "none", CARDS)


def test_the_objective_teaches_it_after_the_step_and_logs_it_by_source():
    whole, batch = objective(), random_batch(MIXED, sources=SOURCES)
    _, prediction = predict_mixed(4)
    assert whole.figures() == {}
    first, second = whole(prediction, batch), whole(prediction, batch)
    assert first.per_row[0, 2] != second.per_row[0, 2]
    assert set(whole.figures()) == {"noise/noise/kitti"}
    seen = whole.losses["noise"].seen.sum(1)
    assert seen[:2].tolist() == [0, 0]
    assert seen[2] > 0


def test_the_estimates_are_part_of_the_state_and_loaded_strictly():
    whole, batch = objective(), random_batch(MIXED, sources=SOURCES)
    whole(predict_mixed(4)[1], batch)
    state, fresh = whole.state_dict(), objective()
    assert set(state) == {"losses.noise.seen", "losses.noise.scales"}
    fresh.load_state_dict(state)
    assert fresh.figures() == whole.figures()
    with pytest.raises(RuntimeError, match="Missing key"):
        objective().load_state_dict({})
    one_source = Objective({"noise": Term(LearnedNoiseLoss())}, "none", {"kitti": CARDS["kitti"]})
    with pytest.raises(RuntimeError, match="size mismatch"):
        one_source.load_state_dict(state)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"bins": 0}, r"`bins` must be in \[1, 64\], got 0"),
        ({"farthest": 0.1}, "`farthest` must be finite and above `nearest` = 0.5 > 0, got 0.1"),
        ({"ceiling": 0.001}, "`ceiling` must be finite and above `floor` = 0.01 > 0, got 0.001"),
        ({"memory": 1.0}, "`memory` must be between 0 and 1, got 1.0"),
    ],
)
def test_options_out_of_range_are_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        LearnedNoiseLoss(**options)
