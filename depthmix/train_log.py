"""Figures of training per term and per source, equal on all ranks."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import Metric

from depthmix.objective import ObjectiveValue

__all__ = ["TrainingFigures"]


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

    def __init__(self, terms: Sequence[str], sources: Sequence[str], adaptive: bool = False) -> None:
        super().__init__()
        self.terms, self.sources, self.adaptive = list(terms), list(sources), adaptive
        shapes = {"sums": (len(terms), len(sources)), "counts": (len(terms), len(sources)), "losses": (2,)}
        for name, shape in (shapes | dict.fromkeys(("gradients", "weights", "felt"), (len(terms),))).items():
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, value: ObjectiveValue, source: Int[Tensor, " b"]) -> None:
        """Add one step."""
        index = source.expand(len(self.terms), -1)
        self.sums.scatter_add_(1, index, value.per_row.double())
        self.counts.scatter_add_(1, index, value.carried.double())
        # These are global already; every rank adds the same, and the ratio below stays right.
        self.gradients += value.gradients
        self.weights += torch.where(value.gradients > 0, value.weights, 0)
        self.felt += value.gradients > 0
        self.losses += torch.stack([value.loss.detach().double(), torch.ones_like(self.losses[0])])

    def compute(self) -> dict[str, Tensor]:
        """Return averages as vectors; NaN where nothing was carried."""
        return {
            "loss": self.losses[0] / self.losses[1],
            "terms": self.sums.sum(1) / self.counts.sum(1),
            "sources": self.sums / self.counts,
            "gradients": self.gradients / self.felt,
            "weights": self.weights / self.felt,
        }

    def figures(self) -> dict[str, float]:
        """Name every average as the columns of the log, without those of which nothing was seen."""
        # torchmetrics makes a number of a vector with one entry.
        vectors = dict.fromkeys(("terms", "gradients", "weights"), (-1,))
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
        return {name: value for name, value in named.items() if value == value}
