"""The learning rate warms up and falls."""

import copy

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from depthmix.schedule import Rates, hold, scaled, schedule


def test_the_rate_warms_up_and_falls_to_a_hundredth():
    rate = schedule(1000, 100)
    assert rate(0) == pytest.approx(1 / 101)
    assert rate(100) == 1
    assert rate(1000) == pytest.approx(0.01)
    assert all(rate(step) >= rate(step + 1) for step in range(100, 1000))
    assert schedule(float("inf"), 10)(10**6) == 1
    assert schedule(20, 100)(2) == 1  # warm-up is cut to a tenth


def started(steps: int, rates: Rates) -> LambdaLR:
    """Return the schedule of a decoder and of a stage before it, of which the biases do not decay."""
    decays = [rates.weight_decay, rates.weight_decay, 0.0]
    groups = [
        {
            "params": [torch.nn.Parameter(torch.ones(2, 2))],
            "weight_decay": decay,
            "layer_decay": rates.layer_decay,
        }
        for decay in decays
    ]
    optimizer = torch.optim.AdamW(groups, lr=rates.learning_rate)
    rate = schedule(steps, 2)
    return LambdaLR(optimizer, [rate, scaled(rate, rates.layer_decay), rate])


def gone_on(steps: int, first: Rates, *, then: Rates | None = None) -> list[list[float]]:
    """Return the rates of a training; with `then` it goes on from its middle with these options."""
    scheduler, found = started(steps, first), []
    for step in range(steps):
        if then and step == steps // 2:
            states = copy.deepcopy((scheduler.optimizer.state_dict(), scheduler.state_dict()))
            scheduler = started(steps, then)
            scheduler.optimizer.load_state_dict(states[0])
            scheduler.load_state_dict(states[1])
            said = hold(scheduler, then, decaying=2)
            changed = [name for name in Rates.__slots__ if getattr(first, name) != getattr(then, name)]
            assert [line.partition(":")[0] for line in said] == [f"model.{name}" for name in changed]
            assert hold(scheduler, then, decaying=2) == []
            decays = [group["weight_decay"] for group in scheduler.optimizer.param_groups]
            assert decays == [then.weight_decay, then.weight_decay, 0.0]
        found.append([group["lr"] for group in scheduler.optimizer.param_groups])
        scheduler.optimizer.step()
        scheduler.step()
    return found


def test_changed_options_hold_from_the_middle_on_and_equal_ones_change_no_bit():
    first = Rates(1e-3, 0.1, 0.5)
    whole = gone_on(20, first)
    assert [rates[1] for rates in whole] == pytest.approx([rates[0] / 2 for rates in whole])
    assert gone_on(20, first, then=first) == whole
    assert gone_on(20, first, then=Rates(1e-3, 0.2, 0.5)) == whole
    for then in (Rates(3e-3, 0.1, 0.5), Rates(1e-3, 0.1, 0.8), Rates(3e-3, 0.3, 1.0)):
        assert gone_on(20, first, then=then) == whole[:10] + gone_on(20, then)[10:]
