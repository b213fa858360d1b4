"""The learning rate warms up and falls."""

import copy

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from depthmix.schedule import hold, schedule


def test_the_rate_warms_up_and_falls_to_a_hundredth():
    rate = schedule(1000, 100)
    assert rate(0) == pytest.approx(1 / 101)
    assert rate(100) == 1
    assert rate(1000) == pytest.approx(0.01)
    assert all(rate(step) >= rate(step + 1) for step in range(100, 1000))
    assert schedule(float("inf"), 10)(10**6) == 1
    assert schedule(20, 100)(2) == 1  # warm-up is cut to a tenth


def gone_on(steps: int, rate: float, decay: float, *, then: tuple[float, float] | None = None) -> list[float]:
    """Return the rates of a training; with `then` it goes on from its middle with these options."""
    weight = torch.nn.Parameter(torch.ones(2, 2))
    optimizer = torch.optim.AdamW([{"params": [weight], "weight_decay": decay}], lr=rate)
    scheduler, rates = LambdaLR(optimizer, schedule(steps, 2)), []
    for step in range(steps):
        if then and step == steps // 2:
            states = copy.deepcopy((optimizer.state_dict(), scheduler.state_dict()))
            optimizer = torch.optim.AdamW([{"params": [weight], "weight_decay": then[1]}], lr=then[0])
            scheduler = LambdaLR(optimizer, schedule(steps, 2))
            optimizer.load_state_dict(states[0])
            scheduler.load_state_dict(states[1])
            assert len(hold(scheduler, *then)) == (then[0] != rate) + (then[1] != decay)
            assert hold(scheduler, *then) == []
            assert optimizer.param_groups[0]["weight_decay"] == then[1]
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_changed_options_hold_from_the_middle_on_and_equal_ones_change_no_bit():
    whole, higher = gone_on(20, 1e-3, 0.1), gone_on(20, 3e-3, 0.1)
    assert gone_on(20, 1e-3, 0.1, then=(1e-3, 0.1)) == whole
    assert gone_on(20, 1e-3, 0.1, then=(1e-3, 0.2)) == whole
    assert gone_on(20, 1e-3, 0.1, then=(3e-3, 0.1)) == whole[:10] + higher[10:]
