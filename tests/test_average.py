"""The average of the weights is judged and kept, and training goes on from the weights themselves."""

import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from torch import Tensor, nn

from depthmix.checkpoints import CheckpointFiles
from depthmix.errors import ConfigError
from depthmix.stop import StopOnSignal
from depthmix.task import load_trained
from depthmix.trained import read_checkpoint
from tests.small_run import (
    Signal,
    differences,
    in_child,
    mixed,
    small_task,
    state_of,
    train,
    write_sets,
)
from tests.test_task import Broken, fit, log_of, small_net, task, trainer
from tests.toy_data import ToyData

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*"),
    pytest.mark.filterwarnings("ignore:.*Checkpoint directory .* exists and is not empty"),
]

Weights = dict[str, Tensor]


class Watch(Callback):
    """Keep the weights behind each step, and those that a validation saw."""

    def __init__(self) -> None:
        self.steps: list[Weights] = []
        self.judged: list[Weights] = []

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.steps = [copied(pl_module.net)]

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        self.steps.append(copied(pl_module.net))

    def on_validation_batch_start(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        if not trainer.sanity_checking:
            self.judged.append(copied(pl_module.net))

    on_test_batch_start = on_validation_batch_start


def copied(net: nn.Module) -> Weights:
    return {name: value.detach().clone() for name, value in net.state_dict().items()}


def mean_of(steps: list[Weights], decay: float) -> Weights:
    """Average by hand, in float64; steps that changed nothing are the skipped ones."""
    found, count = {name: value.double() for name, value in steps[0].items()}, 0
    for before, now in pairwise(steps):
        if differences(before, now):
            d = min(decay, (1 + count) / (10 + count))
            found = {name: d * found[name] + (1 - d) * value.double() for name, value in now.items()}
            count += 1
    return found


def assert_close(found: Weights, expected: Weights) -> None:
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value.double(), expected[name].double(), rtol=1e-5, atol=1e-6)


def averaged(folder: Path, net: nn.Module | None = None, **options: Any) -> tuple[Any, Watch, Trainer]:
    seed_everything(3)
    watch, module = Watch(), task(net or small_net(), ema=0.6)
    run = trainer(folder, callbacks=[watch], plugins=[CheckpointFiles()], **options)
    run.fit(module, ToyData())
    return module, watch, run


def test_validation_sees_the_average_and_training_does_not(tmp_path: Path):
    module, watch, run = averaged(tmp_path)
    expected = mean_of(watch.steps, 0.6)
    for found in watch.judged:
        assert_close(found, expected)
    assert differences(expected, {name: value.double() for name, value in watch.steps[-1].items()})
    assert not differences(copied(module.net), watch.steps[-1])
    run.test(module, ToyData(), verbose=False)
    assert not differences(copied(module.net), watch.steps[-1])
    plain = fit(tmp_path / "plain")
    assert not differences(copied(module.net), copied(plain.net))  # the average changes no step
    with_average, without = (log_of(folder)[-1] for folder in (tmp_path, tmp_path / "plain"))
    assert float(with_average["val/rooms/abs_rel"]) != float(without["val/rooms/abs_rel"])


def test_skipped_steps_do_not_count_and_accumulated_batches_are_one_step(tmp_path: Path):
    module, watch, run = averaged(tmp_path / "skipped", Broken({3, 4}))
    assert module.guard.skipped == 2
    assert module._average.updates == 8
    assert_close(watch.judged[-1], mean_of(watch.steps, 0.6))
    module, watch, run = averaged(tmp_path / "more", accumulate_grad_batches=2)
    assert module._average.updates == run.global_step == 5
    assert_close(watch.judged[-1], mean_of(watch.steps, 0.6))


def test_a_checkpoint_gives_the_average_and_keeps_the_weights_to_go_on_from(tmp_path: Path):
    module, watch, run = averaged(tmp_path)
    run.save_checkpoint(tmp_path / "last.ckpt")
    run.save_checkpoint(tmp_path / "light.ckpt", weights_only=True)
    expected = mean_of(watch.steps, 0.6)
    for name in ("last", "light"):
        assert_close(copied(load_trained(tmp_path / f"{name}.ckpt").net), expected)
    kept = read_checkpoint(tmp_path / "last.ckpt")["average"]
    assert not differences(kept["trained"], watch.steps[-1])
    # An evaluation, in this process or in another, takes the average of the file and not one in memory.
    with torch.no_grad():
        module._average._means[0].fill_(9.0)
    others = (trainer(tmp_path, logger=False), trainer(tmp_path, logger=False))
    for evaluation, one in ((run, module), (others[0], task(ema=0.6)), (others[1], task())):
        evaluation.callbacks.append(seen := Watch())
        evaluation.test(one, ToyData(), ckpt_path=tmp_path / "last.ckpt", verbose=False, weights_only=True)
        assert_close(seen.judged[-1], expected)
        assert_close(copied(one.net), expected)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sets(tmp_path_factory.mktemp("sets"))


def killed_and_gone_on(folder: Path, root: Path, *killers: Signal, every: int = 1) -> dict[str, Any]:
    """Train for two epochs in as many processes as it takes, and return what is left."""
    for number in range(len(killers) + 1):
        killer = killers[number : number + 1]
        options: dict[str, Any] = {"every": every, "epochs": 2, "task": small_task(ema=0.6)}
        code = in_child(lambda: train(folder, mixed(root), *killer, **options))  # noqa: B023
        assert code == (-signal.SIGKILL if killer else 0)
    return state_of(folder)


def test_a_training_that_goes_on_ends_in_the_bits_of_one_that_nothing_stopped(tmp_path: Path, root: Path):
    whole = killed_and_gone_on(tmp_path / "whole", root)
    skipped = whole["depthmix"]["skipped"][0]
    assert skipped >= 1
    assert whole["average"]["updates"] == whole["global_step"] - skipped
    killers = (Signal(7, signal.SIGKILL), Signal(13, signal.SIGKILL))
    assert not differences(whole, killed_and_gone_on(tmp_path / "killed", root, *killers))


def stopped_in_validation(folder: Path) -> None:
    seed_everything(3)
    callbacks = [Signal(10, signal.SIGTERM, validating=True), StopOnSignal(folder / "last.ckpt")]
    options: dict[str, Any] = {"callbacks": callbacks, "plugins": [CheckpointFiles()], "logger": False}
    trainer(folder, enable_checkpointing=True, **options).fit(task(ema=0.6), ToyData())


def test_a_checkpoint_that_is_saved_during_a_validation_holds_them_the_right_way_round(tmp_path: Path):
    _, watch, _ = averaged(tmp_path / "whole")
    assert in_child(lambda: stopped_in_validation(tmp_path)) == 143
    for name in ("last.previous.ckpt", "last.ckpt"):  # saved during the validation, and again behind it
        assert_close(copied(load_trained(tmp_path / name).net), mean_of(watch.steps, 0.6))
        kept = read_checkpoint(tmp_path / name)["average"]
        assert not differences(kept["trained"], watch.steps[-1])


def test_an_average_can_begin_and_end_with_a_resumed_training(tmp_path: Path):
    _, watch, run = averaged(tmp_path)
    run.save_checkpoint(tmp_path / "with.ckpt")
    ended, watch_ended = task(), Watch()
    again = trainer(tmp_path / "ended", max_epochs=2, callbacks=[watch_ended])
    again.fit(ended, ToyData(), ckpt_path=tmp_path / "with.ckpt", weights_only=True)
    assert not differences(watch_ended.steps[0], watch.steps[-1])
    again.save_checkpoint(tmp_path / "without.ckpt")
    assert "average" not in read_checkpoint(tmp_path / "without.ckpt")
    begun, watch_begun = task(ema=0.6), Watch()
    third = trainer(tmp_path / "begun", max_epochs=3, callbacks=[watch_begun])
    third.fit(begun, ToyData(), ckpt_path=tmp_path / "without.ckpt", weights_only=True)
    assert_close(watch_begun.judged[-1], mean_of(watch_begun.steps, 0.6))


class Statistics(nn.Module):
    """A network with running statistics, tied weights and a part that does not learn."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.still = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1).requires_grad_(False)
        self.first, self.last = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 1, 3, padding=1)
        self.tied = self.first

    def forward(self, image: Tensor) -> Tensor:
        maps: Tensor = self.last(self.tied(self.first(self.still(self.norm(image)))))
        return maps


def test_running_statistics_are_averaged_and_tied_weights_stay_tied(tmp_path: Path):
    _, watch, run = averaged(tmp_path, Statistics())
    for weights in watch.steps:
        del weights["norm.num_batches_tracked"]
    expected = mean_of(watch.steps, 0.6)
    judged = watch.judged[-1]
    del judged["norm.num_batches_tracked"]
    assert_close(judged, expected)
    run.save_checkpoint(tmp_path / "last.ckpt")
    content = read_checkpoint(tmp_path / "last.ckpt")
    kept = {name: value for name, value in content["state_dict"].items() if name.startswith("net.")}
    del kept["net.norm.num_batches_tracked"]
    assert_close({name[4:]: value for name, value in kept.items()}, expected)
    assert "still.weight" not in content["average"]["trained"]


@pytest.mark.parametrize("decay", [0.0, 1.0, -0.5])
def test_a_decay_out_of_its_range_is_named(decay: float):
    with pytest.raises(ConfigError, match=r"model.ema: must be between 0 and 1"):
        task(ema=decay)


def test_trained_weights_of_another_shape_are_refused(tmp_path: Path):
    _, _, run = averaged(tmp_path)
    run.save_checkpoint(tmp_path / "last.ckpt")
    content = read_checkpoint(tmp_path / "last.ckpt")
    content["average"]["trained"]["stem.bias"] = torch.zeros(1)
    torch.save(content, tmp_path / "changed.ckpt")
    with pytest.raises(ConfigError, match=r"average: weights do not fit: stem.bias has another shape"):
        trainer(tmp_path, max_epochs=2, logger=False).fit(
            task(ema=0.6), ToyData(), ckpt_path=tmp_path / "changed.ckpt", weights_only=True
        )
