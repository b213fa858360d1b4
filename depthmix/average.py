"""Average the weights over the steps of a training: what is judged and kept, beside what is trained."""

from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from depthmix.errors import ConfigError
from depthmix.sharding import fill, local, whole

__all__ = ["AverageWeights"]

KEY = "average"  # in a checkpoint: the weights that training goes on from, and how many steps were averaged


class AverageWeights(Callback):
    """Keep an exponential moving average of the weights of `net`, and use it for all but training.

    Validation and test judge the average. In a checkpoint it stands where weights are looked for, so that
    `load_trained`, `depthmix test` and `depthmix export` find it; the weights that are trained stand beside
    it, and a training that goes on takes both up. Skipped steps do not count. After `n` steps the decay is
    at most (1 + n) / (10 + n): a short training would else remember its random start.

    Lightning's `WeightAveraging` is not used: it counts skipped steps, swaps the two in a checkpoint that is
    saved during a validation, loses the trained weights at the end, and cannot split them over ranks.

    Convention: floating-point buffers, such as the statistics of batch normalisation, are averaged like
    weights; frozen weights stay what they are.

    Args:
        decay: of the average in each step; None for no average.
    """

    def __init__(self, decay: float | None) -> None:
        self.decay, self.updates = decay, 0
        self._means: list[Tensor] = []  # in the order of `_averaged`; the trained weights while judging
        self._judging = False
        self._step = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start from the weights as they are, unless a checkpoint has brought an average."""
        self._start(_net(pl_module))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count steps from here; a checkpoint may have been loaded since the start."""
        self._start(_net(pl_module))
        self._step = trainer.global_step

    @torch.no_grad()
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take up the weights behind a step that changed them."""
        done, self._step = trainer.global_step > self._step, trainer.global_step
        guard: Any = pl_module.guard
        if not (done and self._means) or guard.in_a_row:
            return
        assert self.decay is not None
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        news = [local(tensor.detach()) for tensor in _averaged(_net(pl_module))]
        torch._foreach_lerp_([local(mean) for mean in self._means], news, 1 - decay)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge the average."""
        self._swap(_net(pl_module))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with the weights that are trained."""
        self._swap(_net(pl_module))

    on_test_start, on_test_end = on_validation_start, on_validation_end

    def forget(self) -> None:
        """Drop the average: other weights are loaded."""
        self._means, self.updates, self._judging = [], 0, False

    def save(self, net: nn.Module, checkpoint: dict[str, Any]) -> None:
        """Put the average where weights are looked for, and the trained weights beside it; on all ranks."""
        if not self._means:
            return
        places = {id(tensor): k for k, tensor in enumerate(_averaged(net))}
        trained = {}
        for name, tensor in net.state_dict(keep_vars=True).items():
            if (k := places.get(id(tensor))) is not None:
                now, other = whole(tensor.detach()), whole(self._means[k])
                trained[name] = other if self._judging else now
                checkpoint["state_dict"][f"net.{name}"] = now if self._judging else other
        checkpoint[KEY] = {"updates": self.updates, "trained": trained}

    @torch.no_grad()
    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on with the trained weights of a checkpoint; the network holds their average.

        Raises:
            ConfigError: they are of another network.
        """
        net, kept = _net(pl_module), checkpoint.get(KEY)
        if trainer.state.fn is not TrainerFn.FITTING or kept is None:
            return
        if self.decay is not None:
            self._means = [tensor.detach().clone() for tensor in _averaged(net)]
            self.updates = kept["updates"]
        for name, tensor in net.state_dict(keep_vars=True).items():
            if name in kept["trained"]:
                if kept["trained"][name].shape != tensor.shape:
                    raise ConfigError(f"weights do not fit: {name} has another shape", field=KEY)
                fill(tensor.detach(), kept["trained"][name])

    def _start(self, net: nn.Module) -> None:
        tensors = list(_averaged(net))
        if self.decay is not None and not self._means:
            self._means, self.updates = [tensor.detach().clone() for tensor in tensors], 0
        pairs = zip(self._means, tensors, strict=bool(self._means))
        self._means = [mean.to(tensor.device) for mean, tensor in pairs]

    @torch.no_grad()
    def _swap(self, net: nn.Module) -> None:
        if not self._means:
            return
        for tensor, mean in zip(_averaged(net), self._means, strict=True):
            ours, theirs = local(tensor.detach()), local(mean)
            kept = ours.clone()
            ours.copy_(theirs)
            theirs.copy_(kept)
        self._judging = not self._judging


def _net(module: LightningModule) -> nn.Module:
    net = module.net
    assert isinstance(net, nn.Module)
    return net


def _averaged(net: nn.Module) -> Iterator[Tensor]:
    """Yield the weights that learn and the floating-point buffers, each once."""
    yield from (parameter for parameter in net.parameters() if parameter.requires_grad)
    yield from (buffer for buffer in net.buffers() if buffer.is_floating_point())
