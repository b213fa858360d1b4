"""The checks that every loss shares: tensors that do not belong together, and heads that are not there."""

import re

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from depthmix.losses import DepthLoss, check_maps
from depthmix.prediction import Prediction
from tests.fake_cuda import fake_cuda
from tests.losses.cases import make_batch, make_log_canonical, predict

FITTING = {
    "prediction": torch.zeros(2, 1, 4, 5),
    "target": torch.zeros(2, 1, 4, 5, dtype=torch.float64),
    "valid": torch.zeros(2, 1, 4, 5, dtype=torch.bool),
    "sky": torch.zeros(2, 1, 4, 5, dtype=torch.bool),
    "planes": torch.zeros(2, 1, 4, 5, dtype=torch.int32),
    "image": torch.zeros(2, 3, 4, 5, dtype=torch.uint8),
    "points": torch.zeros(2, 3, 4, 5, dtype=torch.float16),
    "normals": torch.zeros(2, 3, 4, 5),
    "intrinsics": torch.zeros(2, 4),
    "pairs": torch.zeros(2, 0, 5, dtype=torch.int32),
}

WRONG = {
    "a map without its channel axis": (
        {"target": torch.zeros(2, 4, 5)},
        "`target` must have shape [2, 1, 4, 5] to go with `prediction`, got [2, 4, 5]",
    ),
    "one label for all rows": (
        {"target": torch.zeros(1, 1, 4, 5)},
        "`target` must have shape [2, 1, 4, 5] to go with `prediction`, got [1, 1, 4, 5]",
    ),
    "another size": (
        {"valid": torch.zeros(2, 1, 5, 4, dtype=torch.bool)},
        "`valid` must have shape [2, 1, 4, 5] to go with `prediction`, got [2, 1, 5, 4]",
    ),
    "a first map of two channels": (
        {"prediction": torch.zeros(2, 2, 4, 5)},
        "`prediction` must have shape [b 1 h w], got [2, 2, 4, 5]",
    ),
    "a grey image": (
        {"image": torch.zeros(2, 1, 4, 5)},
        "`image` must have shape [2, 3, 4, 5] to go with `prediction`, got [2, 1, 4, 5]",
    ),
    "a camera matrix": (
        {"intrinsics": torch.zeros(2, 3, 3)},
        "`intrinsics` must have shape [2, 4] to go with `prediction`, got [2, 3, 3]",
    ),
    "pairs without relation": (
        {"pairs": torch.zeros(2, 7, 4, dtype=torch.int32)},
        "`pairs` must have shape [2, 7, 5] to go with `prediction`, got [2, 7, 4]",
    ),
    "pairs in one list": (
        {"pairs": torch.zeros(7, dtype=torch.int32)},
        "`pairs` must have shape [2, 1, 5] to go with `prediction`, got [7]",
    ),
    "a mask of bytes": (
        {"valid": torch.zeros(2, 1, 4, 5, dtype=torch.uint8)},
        "`valid` must be bool, got torch.uint8",
    ),
    "a label in millimetres": (
        {"target": torch.zeros(2, 1, 4, 5, dtype=torch.int16)},
        "`target` must be floating point, got torch.int16",
    ),
    "a complex map": (
        {"prediction": torch.zeros(2, 1, 4, 5, dtype=torch.complex64)},
        "`prediction` must be floating point, got torch.complex64",
    ),
    "plane ids as numbers": (
        {"planes": torch.zeros(2, 1, 4, 5)},
        "`planes` must be integer, got torch.float32",
    ),
    "a label on another device": (
        {"target": torch.zeros(2, 1, 4, 5, device="meta")},
        "`target` must be on cpu like `prediction`, got meta",
    ),
}


def test_tensors_that_belong_together_pass():
    check_maps(**FITTING)


@pytest.mark.parametrize("case", WRONG)
def test_tensors_that_do_not_are_refused_with_name_rule_and_value(case: str):
    change, text = WRONG[case]
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        check_maps(**{**FITTING, **change})


def test_checking_reads_no_value_so_it_works_where_there_is_none():
    check_maps(**{name: tensor.to("meta") for name, tensor in FITTING.items()})
    with fake_cuda():
        there = torch.empty(2, 1, 4, 5, device="cuda:0")
        check_maps(prediction=there, target=there)
        with pytest.raises(ValueError, match="`target` must be on cuda:0 like `prediction`, got cpu"):
            check_maps(prediction=there, target=torch.empty(2, 1, 4, 5))


def test_checking_leaves_no_trace_in_compiled_code():
    def checked(x: Tensor, valid: Tensor) -> Tensor:
        check_maps(x=x, valid=valid)
        return x + 1

    torch._dynamo.reset()
    explained = torch._dynamo.explain(checked)(FITTING["prediction"], FITTING["valid"])
    assert (explained.graph_break_count, explained.op_count) == (0, 1)


class HeadReader(DepthLoss):
    """Sum a head, whichever is asked for."""

    accepts = frozenset()

    def __init__(self, need):
        super().__init__()
        self.need = need

    def forward(self, prediction, batch, *, step: int = 0) -> Float[Tensor, " b"]:
        return self.head(prediction, self.need).sum((1, 2, 3))


@pytest.mark.parametrize(("need", "channel"), [("uncertainty", "log_uncertainty"), ("sky", "sky_logit")])
def test_a_head_that_the_network_lacks_is_named_with_the_next_step(need: str, channel: str):
    batch = make_batch()
    y = make_log_canonical(batch)
    assert HeadReader(need)(predict(y, batch), batch).shape == (len(batch),)
    reason = (
        f"`prediction.{channel}` must be a map for HeadReader, got None; give the network a head for {need}"
    )
    with pytest.raises(ValueError, match=reason):
        HeadReader(need)(Prediction(y, batch.intrinsics, 30.0), batch)
