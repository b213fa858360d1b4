import pytest

from depthmix.report.collect import collect
from depthmix.report.curves import Curve
from depthmix.report.mix import expected_shares, gradient_shares, trained_steps


def shares(run, data_root, **data):
    training = collect(run, data_root).training
    return expected_shares({"batch_size": 10, **data}, training, 100)


def test_shares_of_samples_follow_weights_temperature_least_and_curriculum(run, data_root):
    assert shares(run, data_root) == pytest.approx({"kitti": 0.4, "planes": 0.2, "web": 0.4})
    assert shares(run, data_root, least={"WEAK": 5})["planes"] == pytest.approx(0.5, abs=0.01)
    later = [{"step": 50, "weights": {"web": 0.0, "planes": 0.0}}]
    assert shares(run, data_root, curriculum=later)["kitti"] == pytest.approx(0.7, abs=0.01)
    assert shares(run, data_root, temperature=1.0) == pytest.approx(shares(run, data_root))  # equal sizes


@pytest.mark.parametrize(
    "broken",
    [
        {"batch_size": "x"}, {"batch_size": 10**12}, {"least": {"WEAK": 99}}, {"least": 3},
        {"curriculum": [{"step": 1}]}, {"curriculum": 5}, {"temperature": "hot"}, {"temperature": [1]},
    ],
)  # fmt: skip
def test_a_mix_that_nobody_could_train_has_no_planned_shares(run, data_root, broken):
    assert shares(run, data_root, **broken) is None


def test_shares_of_the_gradient_are_those_of_the_whole_log():
    curves = {
        "train/pulls/a": Curve([1, 2], [0.75, 0.25]),
        "train/pulls/b": Curve([1, 2], [0.25, None]),
        "train/loss": Curve([1, 20], [1.0, 1.0]),
    }
    assert gradient_shares(curves) == {"a": 0.8, "b": 0.2}
    assert gradient_shares({}) == {}
    assert trained_steps(curves) == 20
    assert trained_steps({}) == 1
