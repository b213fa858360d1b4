"""Where labels fatten: pixels near steps of a label, which a matcher may have put beside the true edge."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Num
from torch import Tensor
from torch.nn.functional import max_pool2d

from depthmix.batch import Batch
from depthmix.errors import ConfigError
from depthmix.losses.base import check_maps
from depthmix.losses.edges import strong_edges
from depthmix.masked import at_least_float32, masked_mad, masked_mean

__all__ = ["EdgeMask", "label_steps", "near_steps", "unmatched_steps"]

Edges = Literal["all", "unmatched"]

SLACK = 1  # pixels by which an edge of the label may miss that of the picture


@dataclass(frozen=True)
class EdgeMask:
    """Say which label pixels near steps of the label a term shall not read.

    Stereo matching compares windows, so near an object's edge the background takes on the depth of the
    object: the object grows fat by a few pixels. The wrong pixels lie beside the step that the label shows,
    so what is left out is a band on either side of it, also of what may be right.

    Args:
        pixels: half the width of the band, counted from the pixels on either side of the step.
        step: smallest step: ratio of two neighbouring depths, less one; where scale and shift of a label are
            unknown, the difference of two inverse depths in mean absolute deviations of the row's label.
        edges: "all" leaves out the band at every step, "unmatched" only where the picture has no edge within
            a pixel of the step: a step that misses the edge of the picture is one that was displaced.
        tiers: qualities whose labels are masked; None for all.
        sources: names of the sources whose labels are masked; None for all.

    Raises:
        ConfigError: an option is out of its range.
    """

    pixels: int = 2
    step: float = 0.1
    edges: Edges = "all"
    tiers: list[str] | None = None
    sources: list[str] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.pixels <= 64:
            raise ConfigError(f"must be in [0, 64], got {self.pixels}", field="edges.pixels")
        if not 0 < self.step < float("inf"):
            raise ConfigError(f"must be positive and finite, got {self.step}", field="edges.step")
        if self.edges not in get_args(Edges):
            raise ConfigError(f'must be "all" or "unmatched", got {self.edges!r}', field="edges.edges")

    @torch.no_grad()
    def mark(self, batch: Batch) -> Bool[Tensor, "b 1 h w"]:
        """Mark the pixels of every row that lie in the band, whatever `tiers` and `sources` say."""
        steps = label_steps(batch.inverse_depth, batch.valid, batch.is_depth, self.step)
        if self.edges == "unmatched":
            steps = unmatched_steps(steps, batch.image)
        return near_steps(steps, self.pixels)


@torch.no_grad()
def label_steps(
    inverse_depth: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    is_depth: Bool[Tensor, " b"],
    step: float,
) -> Bool[Tensor, "b 1 h w"]:
    """Mark the pixels whose window of 3 x 3 holds two valid labels on either side of a step.

    Args:
        inverse_depth: the label.
        valid: where it may be read.
        is_depth: rows whose inverse depth is 1/z up to a factor, so that ratios have a meaning.
        step: see `EdgeMask`.

    Convention: a pixel without a label is marked too where its neighbours differ: half-occluded pixels often
    have none. A hole wider than a pixel hides the step across it. A surface seen at a grazing angle counts as
    steps where its depth changes by `step` within two pixels.
    """
    check_maps(inverse_depth=inverse_depth, valid=valid)
    label = torch.where(valid, at_least_float32(inverse_depth), 0)
    nearest = _largest(torch.where(valid, label, -torch.inf), 1)
    farthest = -_largest(torch.where(valid, -label, -torch.inf), 1)
    spread = masked_mad(label, valid, masked_mean(label, valid))[:, None, None, None]
    unit = torch.where(is_depth[:, None, None, None], farthest, spread)
    # Where no neighbour is valid, the difference is -inf; a label without spread has no step either.
    return (nearest - farthest > step * unit) & (unit > 0)


@torch.no_grad()
def unmatched_steps(steps: Bool[Tensor, "b 1 h w"], image: Num[Tensor, "b 3 h w"]) -> Bool[Tensor, "b 1 h w"]:
    """Keep the steps of a label that have no strong edge of the picture within a pixel.

    Convention: strong edges are the tenth of the picture's pixels with the largest gradient of brightness
    (`strong_edges`). So on a busy texture any step looks matched, and in a plain picture weak edges count.
    """
    check_maps(steps=steps.to(torch.float32), image=image)
    return steps & near_steps(strong_edges(image), SLACK).logical_not()


@torch.no_grad()
def near_steps(steps: Bool[Tensor, "b 1 h w"], pixels: int) -> Bool[Tensor, "b 1 h w"]:
    """Mark what lies within a square of `pixels` around any marked pixel.

    Example:
        >>> near_steps(torch.tensor([[[[False, False, False, True]]]]), 1)
        tensor([[[[False, False,  True,  True]]]])
    """
    return _largest(steps.to(torch.float32), pixels) > 0


def _largest(x: Float[Tensor, "b 1 h w"], pixels: int) -> Float[Tensor, "b 1 h w"]:
    """Take the largest value of a square window; by rows, then by columns, which costs less."""
    side = 2 * pixels + 1
    return max_pool2d(max_pool2d(x, (1, side), 1, (0, pixels)), (side, 1), 1, (pixels, 0))
