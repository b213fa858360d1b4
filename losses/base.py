"""The one interface of all losses: a value per row, and what a row must bring to get one."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from depthmix.batch import Batch
from depthmix.masked import count_valid
from depthmix.prediction import HEADS, Head, Prediction
from depthmix.sample import LabelKind

__all__ = ["DepthLoss", "LearningLoss", "Need", "check_maps"]

Need = Literal["camera", "planes", "dense", "pairs", "uncertainty", "sky", "focal"]


_DTYPES = {"valid": "bool", "sky": "bool", "planes": "integer", "pairs": "integer", "image": "any"}


def check_maps(**tensors: Tensor) -> None:
    """Refuse tensors that do not belong to the same rows and pixels; call it where a public formula begins.

    Args:
        tensors: the arguments of the formula under their own names, a map [b 1 h w] first: it sets b, h, w
            and the device for the others. `valid` and `sky` must be bool, `planes` integer, `image`,
            `points` and `normals` have three channels, `intrinsics` is [b 4] and `pairs` [b p 5]; any other
            name is one more map of floating point numbers, of whatever precision.

    Convention: only shapes, dtypes and devices are looked at, never a value, so nothing waits for a GPU and
    compiled code keeps no trace of it. Broadcasting is refused on purpose: [b h w] against [b 1 h w] would
    compare every row with every other.

    Example:
        >>> maps = torch.rand(2, 2, 1, 4, 5)
        >>> check_maps(prediction=maps[0], target=maps[1], valid=maps[1] > 0)

    Raises:
        ValueError: names the argument, the rule and what was found.
    """
    (first, reference), *others = tensors.items()
    _check_dtype(first, reference)
    if reference.dim() != 4 or reference.shape[1] != 1:
        raise ValueError(f"`{first}` must have shape [b 1 h w], got {list(reference.shape)}")
    for name, tensor in others:
        _check_dtype(name, tensor)
        wanted = _expected_shape(name, tensor, reference)
        if tensor.shape != wanted:
            found = list(tensor.shape)
            raise ValueError(f"`{name}` must have shape {list(wanted)} to go with `{first}`, got {found}")
        if tensor.device != reference.device:
            raise ValueError(f"`{name}` must be on {reference.device} like `{first}`, got {tensor.device}")


def _check_dtype(name: str, tensor: Tensor) -> None:
    wanted = _DTYPES.get(name, "floating point")
    if wanted not in ("any", _family(tensor.dtype)):
        raise ValueError(f"`{name}` must be {wanted}, got {tensor.dtype}")


def _family(dtype: torch.dtype) -> str:
    if dtype == torch.bool:
        return "bool"
    if dtype.is_floating_point:
        return "floating point"
    return "complex" if dtype.is_complex else "integer"


def _expected_shape(name: str, tensor: Tensor, reference: Tensor) -> tuple[int, ...]:
    b, _, h, w = reference.shape
    if name == "intrinsics":
        return b, 4
    if name == "pairs":
        return b, tensor.shape[1] if tensor.dim() == 3 else 1, 5
    return b, 3 if name in ("image", "points", "normals") else 1, h, w


class DepthLoss(nn.Module, ABC):
    """Hold the options of a loss; the formula itself is a plain function beside the class.

    `accepts` names the label kinds that can bear the loss, `needs` what else a row must have (camera,
    planes, dense labels, pairs) or the network must predict (uncertainty, sky, focal). A row that lacks them
    gets 0 from the loss itself, and the Objective leaves it out of its means.

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
        kinds = batch.is_kind(self.accepts)
        return kinds & batch.camera_known if "camera" in self.needs else kinds

    def usable(self, batch: Batch) -> Bool[Tensor, "b 1 h w"]:
        """Mark the valid pixels of the rows that the loss bears; it reads no other label."""
        # Written out: on a CPU, "and" of a map with one bool a row takes ten times as long, and what inductor
        # makes of the same on bytes does not compile for vectors of 256 bits.
        rows = self.bears(batch)[:, None, None, None].expand_as(batch.valid)
        return batch.valid & rows.clone(memory_format=torch.contiguous_format)

    def supervised(self, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows carry supervision: at least two usable pixels, unless overridden."""
        return count_valid(self.usable(batch)) >= 2

    def head(self, prediction: Prediction, need: Head) -> Float[Tensor, "b 1 h w"]:
        """Return the map of a further head of the network, for losses that name it in `needs`.

        Raises:
            ValueError: the network that made the prediction has no such head.
        """
        name = HEADS[need]
        channel: Tensor | None = getattr(prediction, name)
        if channel is None:
            reason = f"`prediction.{name}` must be a map for {type(self).__name__}, got None"
            raise ValueError(f"{reason}; give the network a head for {need}, or leave this loss out")
        return channel


class LearningLoss(DepthLoss):
    """Base of losses that estimate something of the labels while training goes on.

    What is estimated lies in buffers, not in parameters. The Objective calls `begin` once, and in each step
    `learn` with what `observe` gave, added over all ranks: so all ranks know the same.
    """

    @abstractmethod
    def begin(self, sources: int) -> None:
        """Start anew, for so many sources; `Batch.source` counts them."""

    @abstractmethod
    def observe(self, prediction: Prediction, batch: Batch, rows: Bool[Tensor, " b"]) -> Tensor:
        """Return sums over the given rows, of a shape that depends on nothing in the batch."""

    @abstractmethod
    def learn(self, sums: Tensor) -> None:
        """Take the sums of all ranks into the estimates."""

    @abstractmethod
    def figures(self, sources: Sequence[str]) -> dict[str, float]:
        """Return a number for each source that was seen, for the log; this waits for the device."""
