"""The learning rate warms up and falls."""

import pytest

from depthmix.schedule import schedule


def test_the_rate_warms_up_and_falls_to_a_hundredth():
    rate = schedule(1000, 100)
    assert rate(0) == pytest.approx(1 / 101)
    assert rate(100) == 1
    assert rate(1000) == pytest.approx(0.01)
    assert all(rate(step) >= rate(step + 1) for step in range(100, 1000))
    assert schedule(float("inf"), 10)(10**6) == 1
    assert schedule(20, 100)(2) == 1  # warm-up is cut to a tenth
