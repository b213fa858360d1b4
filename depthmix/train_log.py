"""Figures of training per term and per source, equal on all ranks, and when they are written."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from lightning.pytorch import Callback, Trainer
from torch import Tensor
from torchmetrics import Metric

from depthmix.objective import ObjectiveValue

__all__ = ["FigureWriter", "TrainingFigures"]


class TrainingFigures(Metric):
    """Average the terms over the rows that carried them since the last reset, for each source.

    One metric with vector states: a mixed batch makes ranks see different sources, and a logged figure per
    source would then pair up different keys (https://github.com/Lightning-AI/pytorch-lightning/issues/21409).

    Args:
        terms: names of the terms.
        sources: names of the sources in the order of `Batch.source`.
        adaptive: whether the weights of the terms change by themselves, so that they are worth a column.
    """

    full_state_update = False
    higher_is_better = None
    is_differentiable = False
    sums: Float[Tensor, "k s"]
    counts: Float[Tensor, "k s"]
    gradients: Float[Tensor, " k"]
    weights: Float[Tensor, " k"]
    felt: Float[Tensor, " k"]
    losses: Float[Tensor, "2"]
    pulls: Float[Tensor, " s"]

    def __init__(self, terms: Sequence[str], sources: Sequence[str], adaptive: bool = False) -> None:
        super().__init__()
        self.terms, self.sources, self.adaptive = list(terms), list(sources), adaptive
        shapes: dict[str, tuple[int, ...]] = {"losses": (2,), "pulls": (len(sources),)}
        shapes |= dict.fromkeys(("sums", "counts"), (len(terms), len(sources)))
        for name, shape in (shapes | dict.fromkeys(("gradients", "weights", "felt"), (len(terms),))).items():
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, value: ObjectiveValue, source: Int[Tensor, " b"]) -> None:
        """Add one step; nothing of one that is not finite."""
        index, sound = source.expand(len(self.terms), -1), value.finite
        self.sums.scatter_add_(1, index, torch.where(sound, value.per_row.double(), 0))
        self.counts.scatter_add_(1, index, torch.where(sound, value.carried.double(), 0))
        if value.pulls is not None:
            self.pulls.scatter_add_(0, source, torch.where(sound, value.pulls.double(), 0))
        # These are global already; every rank adds the same, and the ratio below stays right.
        felt = (value.gradients > 0) & sound
        self.gradients += torch.where(felt, value.gradients, 0)
        self.weights += torch.where(felt, value.weights, 0)
        self.felt += felt
        self.losses[0] += torch.where(sound, value.loss.detach().double(), 0)
        self.losses[1] += sound

    def compute(self) -> dict[str, Tensor]:
        """Return averages as vectors; NaN where nothing was carried.

        `pulls` is the part of each source in the sum of the gradient norms of all rows, at the prediction and
        with all weights: what the source really weighs in the training, whatever its share of samples is.
        """
        return {
            "loss": self.losses[0] / self.losses[1],
            "terms": self.sums.sum(1) / self.counts.sum(1),
            "sources": self.sums / self.counts,
            "gradients": self.gradients / self.felt,
            "weights": self.weights / self.felt,
            "pulls": self.pulls / self.pulls.sum(),
        }

    def figures(self) -> dict[str, float]:
        """Name every average as the columns of the log, without those of which nothing was seen."""
        # torchmetrics makes a number of a vector with one entry.
        vectors = dict.fromkeys(("terms", "gradients", "weights", "pulls"), (-1,))
        shapes = {"loss": (), "sources": (len(self.terms), -1), **vectors}
        found: dict[str, Any] = {
            name: value.reshape(shapes[name]).tolist() for name, value in self.compute().items()
        }
        named = {"train/loss": found["loss"]}
        for k, term in enumerate(self.terms):
            named[f"train/terms/{term}"] = found["terms"][k]
            named[f"train/gradients/{term}"] = found["gradients"][k]
            if self.adaptive:
                named[f"train/weights/{term}"] = found["weights"][k]
            for s, source in enumerate(self.sources):
                named[f"train/sources/{term}/{source}"] = found["sources"][k][s]
        for s, source in enumerate(self.sources):
            named[f"train/pulls/{source}"] = found["pulls"][s]
        return {name: value for name, value in named.items() if value == value}

    def whole(self) -> dict[str, Tensor]:
        """Return the sums of all ranks, to go on from; every rank must ask."""
        with self.sync_context():
            return {name: getattr(self, name).clone() for name in self._defaults}

    def go_on(self, sums: Mapping[str, Tensor]) -> None:
        """Add to what `whole` gave, unless it is of other terms or sources; on one rank only."""
        if all(getattr(self, name).shape == value.shape for name, value in sums.items()):
            self._update_count = 1  # so that `update_called` is true
            for name, value in sums.items():
                getattr(self, name).copy_(value)


class FigureWriter(Callback):
    """Write the figures every few steps and at the end of an epoch.

    Callbacks come before those that save checkpoints: what a checkpoint lies behind is in the log.
    """

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the figures of the last steps into the log."""
        every: int = getattr(trainer, "log_every_n_steps", 0)
        # Behind the last step of an epoch too, so that a checkpoint of it does not carry its figures on.
        if every and ((batch_idx + 1) % every == 0 or trainer.is_last_batch):
            pl_module.write_figures()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Write what is left of an epoch that was cut short."""
        pl_module.write_figures()
