"""Two processes on a CPU, by DDP or with split weights (FSDP2), train what one process trains."""

import json
import os
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor, distributed

from depthmix.batch import Batch
from depthmix.checkpoints import CheckpointFiles
from depthmix.errors import ConfigError
from depthmix.models import LightDepthNet
from depthmix.sharding import check_strategy, fill, local, whole
from depthmix.stop import StopOnSignal
from depthmix.task import DepthTask, load_trained
from depthmix.trained import read_checkpoint
from tests.small_run import differences, in_child, on_two_ranks
from tests.test_task import task, trainer
from tests.toy_data import ToyData

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*"),
    pytest.mark.filterwarnings("ignore:.*Checkpoint directory .* exists and is not empty"),
]

Work = Callable[[Path, dict[str, Any]], None]


class Shared(ToyData):
    """Batches of four rows, of which each process takes its part, as `MixData` does."""

    def train_batches(self) -> list[Batch]:
        rank, world = (distributed.get_rank(), 2) if distributed.is_initialized() else (0, 1)
        return [batch.select(torch.arange(4)[rank::world]) for batch in super().train_batches()]


class OneBrokenRow(Shared):
    """In the fourth step, one row of the second process has an image that makes the network give NaN."""

    def train_batches(self) -> list[Batch]:
        batches = super().train_batches()
        batches[3].image[[name == "toy/3-3" for name in batches[3].names]] = 255
        return batches


class Fragile(LightDepthNet):
    """Gives NaN for a white image."""

    def forward(self, image: Tensor) -> Tensor:
        white = (image == 1).flatten(1).all(1)[:, None, None, None]
        return torch.where(white, torch.nan, super().forward(image))


def small(kind: type[LightDepthNet] = LightDepthNet) -> LightDepthNet:
    return kind(widths=(8, 16), bottleneck=1)


def split() -> ModelParallelStrategy:
    return ModelParallelStrategy(2, 1, save_distributed_checkpoint=False)


class Damped(Callback):
    """Let AdamW follow small gradients in proportion: it turns rounding into whole steps where they vanish.

    The order of sums changes from one interpreter to the next. Without this, weights that end 1e-7 apart
    in most runs ended 5e-4 apart in one.
    """

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        for optimizer in trainer.optimizers:
            for group in optimizer.param_groups:
                group["eps"] = 1e-4


class GradientNorms(Callback):
    """Write down the norm of the whole gradient of each step: AdamW itself would not feel a factor."""

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        gradients = [whole(p.grad) for p in pl_module.parameters() if p.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(gradients))
        if trainer.is_global_zero:
            with (Path(trainer.default_root_dir) / "norms.txt").open("a") as file:
                file.write(f"{norm}\n")


def norms(folder: Path) -> list[float]:
    return [float(line) for line in (folder / "norms.txt").read_text().splitlines()]


def train(
    folder: Path,
    trainer_options: dict[str, Any],
    module: DepthTask | None = None,
    data: ToyData | None = None,
    resume: Path | None = None,
) -> None:
    """Train, and save at the end as `end.ckpt`; to be called in a child process."""
    seed_everything(3)
    warnings.simplefilter("ignore")  # Lightning's advice
    options = {"plugins": [CheckpointFiles()], "use_distributed_sampler": False, "logger": False}
    callbacks = [Damped(), *trainer_options.get("callbacks", [])]
    run = trainer(folder, **(options | trainer_options | {"callbacks": callbacks}))
    run.fit(module or task(small()), data or Shared(), ckpt_path=resume, weights_only=True)
    run.save_checkpoint(folder / "end.ckpt")


def in_three_ways(folder: Path, work: Work, ways: str = "one ddp split") -> dict[str, dict[str, Any]]:
    """Do the same in one process, in two by DDP and in two with split weights; return the checkpoints."""
    assert "one" not in ways or in_child(lambda: work(folder / "one", {})) == 0
    ddp = {"strategy": "ddp", "devices": 2}
    assert "ddp" not in ways or on_two_ranks(lambda rank: work(folder / "ddp", ddp)) == [0, 0]
    if "split" in ways:
        found = on_two_ranks(lambda rank: work(folder / "split", {"strategy": split(), "devices": 2}))
        assert found == [0, 0]
    return {way: read_checkpoint(folder / way / "end.ckpt") for way in ways.split()}


def assert_alike(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Compare weights; what differs is the order of sums."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():  # a step at the full rate moves a weight by 1e-3
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-5)
    ours, theirs = (torch.cat([x.flatten() for x in one.values()]) for one in (found, expected))
    assert (ours - theirs).norm() <= 1e-5 * theirs.norm()


def with_all_options() -> DepthTask:
    return task(small(), ema=0.6, layer_decay=0.5, frozen_stages=1, checkpoint_gradients=True)


def test_two_processes_train_what_one_trains_and_their_checkpoints_are_alike(tmp_path: Path):
    def work(folder: Path, options: dict[str, Any]) -> None:
        folder.mkdir(exist_ok=True)
        train(folder, options | {"callbacks": [GradientNorms()]}, with_all_options())

    found = in_three_ways(tmp_path, work)
    one, expected = found["one"], norms(tmp_path / "one")
    assert len(expected) == 10
    for way in ("ddp", "split"):
        assert norms(tmp_path / way) == pytest.approx(expected, rel=1e-3)
        assert_alike(found[way]["state_dict"], one["state_dict"])
        assert_alike(found[way]["average"]["trained"], one["average"]["trained"])
        assert found[way].keys() == one.keys()
        groups, ours = (kept["optimizer_states"][0]["param_groups"] for kept in (one, found[way]))
        assert [group["lr"] for group in groups] == [group["lr"] for group in ours]
        trained = load_trained(tmp_path / way / "end.ckpt")
        assert_alike(trained.net.state_dict(), load_trained(tmp_path / "one" / "end.ckpt").net.state_dict())


@pytest.mark.slow
def test_a_row_that_breaks_the_network_skips_the_step_however_weights_are_kept(tmp_path: Path):
    def work(folder: Path, options: dict[str, Any]) -> None:
        torch.manual_seed(0)
        train(folder, options, task(small(Fragile)), OneBrokenRow())

    found = in_three_ways(tmp_path, work)
    for way, content in found.items():
        assert content["depthmix"]["skipped"] == [1, 0]
        assert_alike(content["state_dict"], found["one"]["state_dict"])
        (line,) = (tmp_path / way / "skipped.jsonl").read_text().splitlines()
        assert json.loads(line)["step"] == 3


class StopAfterFirstEpoch(Callback):
    """End a training early, so that its schedule is that of a longer one."""

    def on_train_epoch_end(self, trainer: Trainer, *_: Any) -> None:
        trainer.should_stop = True


@pytest.mark.slow
@pytest.mark.parametrize("balance", ["gradient", "uncertainty"])
def test_split_weights_go_on_from_any_checkpoint_and_any_goes_on_from_theirs(tmp_path: Path, balance: str):
    def module() -> DepthTask:
        return task(small(), ema=0.6, layer_decay=0.5, balance=balance)

    def whole_run(folder: Path, options: dict[str, Any]) -> None:
        train(folder, {"max_epochs": 2} | options, module())

    def first_half(folder: Path, options: dict[str, Any]) -> None:
        whole_run(folder, {"callbacks": [StopAfterFirstEpoch()]} | options)

    expected = in_three_ways(tmp_path / "whole", whole_run, "one split")
    in_three_ways(tmp_path / "half", first_half, "one split")
    for begun in ("one", "split"):
        half = tmp_path / "half" / begun / "end.ckpt"
        found = in_three_ways(
            tmp_path / f"from {begun}",
            lambda folder, options: train(folder, {"max_epochs": 2} | options, module(), resume=half),  # noqa: B023
            "one split",
        )
        for way, content in found.items():
            assert content["global_step"] == 20
            assert_alike(content["state_dict"], expected["one"]["state_dict"])
            assert_alike(content["average"]["trained"], expected["one"]["average"]["trained"])
            if way == begun:  # then to the bit
                for key in ("state_dict", "average", "optimizer_states", "lr_schedulers"):
                    assert not differences(content[key], expected[way][key])


class SignalOnRankOne(Callback):
    """Send SIGTERM to the second process only."""

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == 4 and trainer.global_rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.slow
def test_split_weights_are_saved_when_the_cluster_asks_one_process_to_stop(tmp_path: Path):
    def work(rank: int) -> None:
        callbacks = [SignalOnRankOne(), StopOnSignal(tmp_path / "last.ckpt")]
        options = {"strategy": split(), "devices": 2, "enable_checkpointing": True, "callbacks": callbacks}
        train(tmp_path, options, task(small(), ema=0.6))

    assert on_two_ranks(work) == [143, 143]
    assert read_checkpoint(tmp_path / "last.ckpt")["global_step"] == 5
    assert load_trained(tmp_path / "last.ckpt").metric


def test_checkpoints_in_many_files_and_split_layers_are_refused():
    with pytest.raises(ConfigError, match=r"trainer.strategy: .* set `save_distributed_checkpoint: false`"):
        check_strategy(ModelParallelStrategy())
    mesh = {"tensor_parallel": SimpleNamespace(size=lambda: 2)}
    strategy = SimpleNamespace(_save_distributed_checkpoint=False, _device_mesh=mesh)
    with pytest.raises(ConfigError, match=r"splits layers over 2 ranks.*`tensor_parallel_size: 1`"):
        check_strategy(strategy)
    mesh["tensor_parallel"] = SimpleNamespace(size=lambda: 1)
    check_strategy(strategy)


def test_whole_tensors_are_passed_through():
    x = torch.rand(3)
    assert local(x) is whole(x) is x
    fill(x, torch.ones(3))
    assert torch.equal(x, torch.ones(3))
