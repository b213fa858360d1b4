"""The one interface of all losses: a value per row, and what a row must bring to get one."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from jaxtyping import Bool, Float
from torch import Tensor, nn

from depthmix.batch import Batch
from depthmix.prediction import Prediction
from depthmix.sample import LabelKind

__all__ = ["DepthLoss", "Need"]

Need = Literal["camera", "planes", "dense"]


class DepthLoss(nn.Module, ABC):
    """Hold the options of a loss; the formula itself is a plain function beside the class.

    `accepts` names the label kinds that can bear the loss, `needs` what else a row must have. The
    Objective reads both and never hands over the value of a row that lacks them.
    """

    accepts: ClassVar[frozenset[LabelKind]]
    needs: ClassVar[frozenset[Need]] = frozenset()

    @abstractmethod
    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Float[Tensor, " b"]:
        """Return one value per row: 0 with zero gradient where the row has no supervision, always finite.

        Args:
            prediction: the network's map for the rows of `batch`.
            batch: images and labels.
            step: a loss that samples draws from (its seed, step) alone, so that a resumed run repeats it.
        """

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows carry supervision for this loss: at least two valid pixels, unless overridden."""
        return batch.valid.flatten(1).sum(1) >= 2
