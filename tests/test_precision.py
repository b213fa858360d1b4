"""In bfloat16 the network computes coarsely; labels, losses, weights and predictions do not."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from torch import Tensor

from depthmix.errors import ConfigError
from depthmix.models import LightDepthNet
from depthmix.task import DepthTask, load_trained
from tests.test_task import log_of, task, trainer
from tests.toy_data import ToyData

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*"),
    pytest.mark.filterwarnings("ignore:.*Checkpoint directory .* exists and is not empty"),
]


class Seen(Callback):
    """Keep the loss of every step, and the types inside the network and behind it."""

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.inside: set[torch.dtype] = set()
        self.outside: set[torch.dtype] = set()

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        pl_module.net.stem.register_forward_hook(lambda module, x, y: self.inside.add(y.dtype))
        pl_module.net.register_forward_hook(lambda module, x, y: self.outside.add(y.dtype))

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, *_: Any) -> None:
        self.losses.append(outputs["loss"])


def trained(folder: Path, **options: Any) -> tuple[DepthTask, Seen]:
    seed_everything(3)
    module, seen = task(LightDepthNet(widths=(8, 16), bottleneck=1)), Seen()
    run = trainer(folder, callbacks=[seen], **options)
    run.fit(module, ToyData())
    run.save_checkpoint(folder / "last.ckpt")
    return module, seen


def test_mixed_precision_trains_like_float32_with_losses_in_float32(tmp_path: Path):
    (plain, exact), (half, coarse) = (
        trained(tmp_path / "32"),
        trained(tmp_path / "16", precision="bf16-mixed"),
    )
    assert (exact.inside, coarse.inside) == ({torch.float32}, {torch.bfloat16})
    assert exact.outside == coarse.outside == {torch.float32}
    assert {loss.dtype for loss in coarse.losses} == {loss.dtype for loss in exact.losses} == {torch.float64}
    torch.testing.assert_close(torch.stack(coarse.losses), torch.stack(exact.losses), rtol=2e-2, atol=1e-2)
    found, expected = (float(log_of(tmp_path / name)[-1]["val/rooms/abs_rel"]) for name in ("16", "32"))
    assert found == pytest.approx(expected, rel=0.02)
    assert {value.dtype for value in half.net.parameters()} == {torch.float32}
    moved = torch.cat([p.flatten() for p in plain.net.parameters()])
    assert (torch.cat([p.flatten() for p in half.net.parameters()]) - moved).norm() < 0.02 * moved.norm()
    image = torch.rand(1, 3, 32, 40)
    half.eval()
    assert torch.equal(load_trained(tmp_path / "16" / "last.ckpt").net(image), half.net(image))


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_labels_and_weights_in_half_precision_are_refused(tmp_path: Path, precision: Any):
    with pytest.raises(
        ConfigError, match=rf"trainer.precision: {precision} rounds .* `precision: bf16-mixed`"
    ):
        trained(tmp_path, precision=precision)
