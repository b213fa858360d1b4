"""The one interface of all losses: a value per row, and what a row must bring to get one."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from depthmix.batch import Batch
from depthmix.masked import count_valid
from depthmix.prediction import Prediction
from depthmix.sample import LabelKind

__all__ = ["DepthLoss", "Need"]

Need = Literal["camera", "planes", "dense", "pairs", "uncertainty", "sky"]


class DepthLoss(nn.Module, ABC):
    """Hold the options of a loss; the formula itself is a plain function beside the class.

    `accepts` names the label kinds that can bear the loss, `needs` what else a row must have (camera,
    planes, dense labels, pairs) or the network must predict (uncertainty, sky). A row that lacks them gets 0
    from the loss itself, and the Objective leaves it out of its means.

    Convention: formulas run in float32 at least, also under autocast: inputs are raised to it, and no
    operation that autocast lowers (a matrix product) is used.
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

    def bears(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows have a label kind that the loss accepts, and a camera if it needs one."""
        kinds = torch.stack([batch.kind == int(kind) for kind in sorted(self.accepts)]).any(0)
        return kinds & batch.camera_known if "camera" in self.needs else kinds

    def usable(self, batch: Batch) -> Bool[Tensor, "b 1 h w"]:
        """Mark the valid pixels of the rows that the loss bears; it reads no other label."""
        return batch.valid & self.bears(batch)[:, None, None, None]

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows carry supervision: at least two usable pixels, unless overridden."""
        return count_valid(self.usable(batch)) >= 2
