"""What every loss promises; a test class inherits it, names its loss and brings a second implementation."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from depthmix.batch import Batch
from depthmix.losses import DepthLoss
from depthmix.sample import LabelKind
from tests.fake_cuda import fake_cuda
from tests.losses.cases import (
    FOCAL,
    KINDS,
    LABEL_FAULTS,
    PREDICTION_FAULTS,
    make_batch,
    make_log_canonical,
    predict,
)

VIEWS = {
    "view",
    "expand",
    "select",
    "slice",
    "unsqueeze",
    "squeeze",
    "alias",
    "detach",
    "split",
    "t",
    "unbind",
}


# Of the gradient at one pixel. Flat maps are divided by 1e-4 of their size at least, so it ends at some 1e4.
EXPLOSION = 1e5


@dataclass
class Row:
    """One row as float64 numpy arrays, for the naive implementations."""

    y: np.ndarray
    target: np.ndarray
    valid: np.ndarray
    sigma: np.ndarray
    planes: np.ndarray
    camera: np.ndarray
    kind: LabelKind
    image: np.ndarray

    @property
    def inverse_prediction(self) -> np.ndarray:
        return np.exp(-self.y)

    @property
    def inverse_target(self) -> np.ndarray:
        if self.kind is LabelKind.AFFINE_DISPARITY:
            return self.target
        return np.array(
            [
                [1 / z if ok else 0 for z, ok in zip(*r, strict=True)]
                for r in zip(self.target, self.valid, strict=True)
            ]
        )

    @property
    def depth_prediction(self) -> np.ndarray:
        return np.exp(self.y) * np.sqrt(self.camera[0] * self.camera[1]) / FOCAL

    def points(self, depth: np.ndarray) -> np.ndarray:
        fx, fy, cx, cy = self.camera
        out = np.zeros((*depth.shape, 3))
        for v, u in np.ndindex(depth.shape):
            out[v, u] = (u - cx) / fx * depth[v, u], (v - cy) / fy * depth[v, u], depth[v, u]
        return out


def rows_of(batch: Batch, log_canonical: Tensor) -> list[Row]:
    arrays = [log_canonical, batch.target, batch.valid, batch.sigma, batch.planes]
    return [
        Row(
            *(a[i, 0].numpy().astype(bool if a.dtype == torch.bool else np.float64) for a in arrays),
            camera=batch.intrinsics[i].double().numpy(),
            kind=LabelKind(int(batch.kind[i])),
            image=batch.image[i].numpy(),
        )
        for i in range(len(batch))
    ]


class CountOperations(TorchDispatchMode):
    """Count what is launched, views left out."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket.__name__ not in VIEWS
        return func(*args, **(kwargs or {}))


class LossContract:
    """Inherit, and define `make`, `reference` and `plain`."""

    reads_prediction_outside_mask = False
    knows_order = True  # whether the loss reads from the label which of two pixels is nearer
    tolerance = 1e-4  # float32 against float64 over an image with logs and exponentials

    def make(self) -> DepthLoss:
        raise NotImplementedError

    def reference(self, row: Row) -> float:
        """Compute the loss of one row with loops in float64."""
        raise NotImplementedError

    def plain(self) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        """Give the formula as a function of its prediction alone, and a float64 input for it."""
        raise NotImplementedError

    def run(self, batch: Batch, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values and the gradient of their sum."""
        leaf = y.detach().clone().requires_grad_()
        values = self.make()(predict(leaf, batch), batch)
        values.sum().backward()
        assert leaf.grad is not None
        return values.detach(), leaf.grad

    def run_default(self) -> tuple[Batch, Tensor, Tensor, Tensor]:
        batch = make_batch()
        y = make_log_canonical(batch)
        return batch, y, *self.run(batch, y)

    def test_one_float32_value_a_row(self):
        batch, _, values, _ = self.run_default()
        assert values.shape == (len(batch),)
        assert values.dtype == torch.float32

    def test_rows_with_supervision_are_exactly_those_with_a_value(self):
        batch, _, values, gradient = self.run_default()
        supervised = self.make().supervised(batch)
        assert supervised.any()
        assert torch.equal(values > 0, supervised)
        assert torch.equal(gradient.flatten(1).abs().sum(1) > 0, supervised)

    def test_supervision_needs_an_accepted_kind(self):
        accepted = [kind in self.make().accepts for kind in KINDS]
        assert self.make().supervised(make_batch()).tolist() == accepted

    def test_supervision_needs_a_camera_only_where_the_loss_does(self):
        batch, blind = make_batch(), LABEL_FAULTS["no camera"](make_batch())
        expected = self.make().supervised(batch) & ("camera" not in self.make().needs)
        assert torch.equal(self.make().supervised(blind), expected)

    def test_agrees_with_a_naive_float64_implementation(self):
        batch, y, values, _ = self.run_default()
        rows, supervised = rows_of(batch, y), self.make().supervised(batch)
        expected = [self.reference(row) if own else 0.0 for row, own in zip(rows, supervised, strict=True)]
        np.testing.assert_allclose(values, expected, rtol=self.tolerance, atol=1e-6)

    def test_garbage_under_the_mask_changes_no_bit(self):
        batch, y, values, gradient = self.run_default()
        for rubbish in (torch.nan, torch.inf, -1e30):
            dirty = replace(
                batch,
                target=torch.where(batch.valid, batch.target, rubbish),
                sigma=torch.where(batch.valid, batch.sigma, rubbish),
            )
            if not self.reads_prediction_outside_mask:
                y = torch.where(batch.valid, y, rubbish)
            again, gradient_again = self.run(dirty, y)
            assert torch.equal(values, again)
            assert torch.equal(gradient, gradient_again)

    def test_an_inverted_prediction_costs_more_than_a_perfect_one(self):
        if not self.knows_order:
            pytest.skip("reads no order from the label")
        batch = make_batch()
        affine = (batch.kind == int(LabelKind.AFFINE_DISPARITY))[:, None, None, None]
        label = torch.where(affine, (batch.target + 1) / 3, batch.inverse_depth)
        inverse = torch.where(batch.valid, label, 0.5)
        inverted = inverse.amax((2, 3), keepdim=True) + inverse.amin((2, 3), keepdim=True) - inverse
        offset = (FOCAL / batch.intrinsics[:, :2].prod(1).sqrt()).log()[:, None, None, None]
        perfect, wrong = (self.run(batch, offset - x.log())[0] for x in (inverse, inverted))
        rows = self.make().supervised(batch) & (batch.kind >= int(LabelKind.AFFINE_DISPARITY))
        assert rows.any()
        assert (wrong[rows] > perfect[rows] + 0.01).all()

    def test_rows_do_not_see_each_other(self):
        batch, y, values, gradient = self.run_default()
        for order in ([2, 0, 3, 1], [0], [3, 1]):
            rows = torch.tensor(order)
            some, some_gradient = self.run(batch.select(rows), y[rows])
            torch.testing.assert_close(some, values[rows], rtol=1e-5, atol=1e-7)
            torch.testing.assert_close(some_gradient, gradient[rows], rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("fault", LABEL_FAULTS)
    def test_any_label_gives_a_finite_value_and_gradient(self, fault: str):
        batch = LABEL_FAULTS[fault](make_batch())
        self.assert_sound_in_all_precisions(batch, make_log_canonical(batch))

    @pytest.mark.parametrize("fault", PREDICTION_FAULTS)
    def test_any_prediction_gives_a_finite_value_and_gradient(self, fault: str):
        batch = make_batch()
        self.assert_sound_in_all_precisions(batch, PREDICTION_FAULTS[fault](make_log_canonical(batch)))

    def assert_sound_in_all_precisions(self, batch: Batch, y: Tensor) -> None:
        self.assert_sound(batch, y)
        for dtype in (torch.bfloat16, torch.float16):
            with torch.autocast("cpu", dtype=dtype):
                self.assert_sound(batch, y.to(dtype))

    def assert_sound(self, batch: Batch, y: Tensor) -> None:
        values, gradient = self.run(batch, y)
        assert values.isfinite().all()
        assert (values >= 0).all()
        assert gradient.isfinite().all()
        assert gradient.abs().max() < EXPLOSION
        alone = ~self.make().supervised(batch)
        assert torch.equal(values[alone], torch.zeros_like(values[alone]))
        assert torch.equal(gradient[alone], torch.zeros_like(gradient[alone]))

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_autocast_changes_no_bit_and_half_input_stays_finite(self, dtype: torch.dtype):
        batch, y, values, gradient = self.run_default()
        with torch.autocast("cpu", dtype=dtype):
            lowered, lowered_gradient = self.run(batch, y)
            self.assert_sound(batch, y.to(dtype))
        assert torch.equal(values, lowered)
        assert torch.equal(gradient, lowered_gradient)

    def test_float64_stays_float64_and_the_gradient_is_right(self):
        function, value = self.plain()
        assert function(value).dtype == torch.float64
        assert torch.autograd.gradcheck(function, value.requires_grad_())

    def test_operation_count_depends_on_neither_rows_nor_mask_nor_planes(self):
        counts = []
        for kinds, fault in ((KINDS[:1], "no planes"), (KINDS, "200 planes"), (KINDS[1:], "one valid pixel")):
            batch = LABEL_FAULTS[fault](make_batch(kinds))
            y = make_log_canonical(batch).requires_grad_()
            prediction = predict(y, batch)
            with CountOperations() as counter:
                self.make()(prediction, batch).sum().backward()
            counts.append(counter.count)
        assert len(set(counts)) == 1

    def test_runs_on_the_meta_device(self):
        batch = make_batch().to("meta")
        y = torch.empty(make_batch().target.shape, device="meta", requires_grad=True)
        values = self.make()(predict(y, batch), batch)
        values.sum().backward()
        assert values.is_meta
        assert self.make().supervised(batch).is_meta

    def test_runs_on_one_cuda_device_without_waiting_for_it(self):
        real = make_batch()
        with fake_cuda():
            batch = real._mapped(lambda t: torch.empty(t.shape, dtype=t.dtype, device="cuda:0"))
            y = torch.empty(real.target.shape, device="cuda:0")
            assert self.make()(predict(y, batch), batch).device.type == "cuda"
            assert self.make().supervised(batch).device.type == "cuda"

    @pytest.mark.slow
    # Dynamo asks the heads of the prediction, which are no leaves, for a `grad`, and makes an instance of
    # every torch.autograd.Function that it meets.
    @pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
    @pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
    def test_compiles_without_a_graph_break(self):
        batch, y, values, gradient = self.run_default()
        torch._dynamo.reset()
        compiled = torch.compile(self.make(), fullgraph=True, backend="aot_eager")
        leaf = y.clone().requires_grad_()
        again = compiled(predict(leaf, batch), batch)
        again.sum().backward()
        torch.testing.assert_close(again.detach(), values)
        torch.testing.assert_close(leaf.grad, gradient)
