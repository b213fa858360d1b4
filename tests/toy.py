"""Tiny batches with known labels, cards and losses that several test modules share."""

from collections.abc import Sequence

import torch
from torch import Tensor

from depthmix.batch import Batch
from depthmix.losses.base import DepthLoss
from depthmix.prediction import Prediction
from depthmix.sample import LabelKind, Quality
from depthmix.sources.base import SourceCard

TIERS = {
    LabelKind.NONE: Quality.WEAK,
    LabelKind.AFFINE_DISPARITY: Quality.LOW,
    LabelKind.SCALED_DEPTH: Quality.MIDDLE,
    LabelKind.METRIC_DEPTH: Quality.HIGH,
}


def card(kind: LabelKind, density: str | None = None) -> SourceCard:
    density = density or ("none" if kind is LabelKind.NONE else "dense")
    return SourceCard("synthetic", TIERS[kind], kind, "", density, "", "CC0", "")


def random_batch(
    kinds: Sequence[LabelKind], seed: int = 0, size: tuple[int, int] = (32, 40), sources: Sequence[int] = ()
) -> Batch:
    """Rows of smooth random scenes with two planes each, a box and some invalid pixels."""
    draw = torch.Generator().manual_seed(seed)
    b, (h, w) = len(kinds), size
    u, v = torch.linspace(-1, 1, w), torch.linspace(-1, 1, h)[:, None]
    slopes = torch.rand(b, 3, 1, 1, 1, generator=draw) * 0.1
    inverse = 0.3 + slopes[:, 0] * u + slopes[:, 1] * v + slopes[:, 2] * torch.sin(5 * u * v)
    inverse[..., 4 : h // 2 - 4, w // 2 + 4 : -4] += 0.2  # a box with sharp edges
    kind = torch.tensor([int(k) for k in kinds])
    is_none = (kind == int(LabelKind.NONE))[:, None, None, None]
    valid = (torch.rand(b, 1, h, w, generator=draw) < 0.9) & ~is_none
    affine = (kind == int(LabelKind.AFFINE_DISPARITY))[:, None, None, None]
    target = torch.where(affine, 7 * inverse - 1, 1 / inverse)
    planes = torch.zeros(b, 1, h, w, dtype=torch.int32)
    planes[..., : h // 2, : w // 2], planes[..., h // 2 :, w // 2 :] = 1, 2
    return Batch(
        image=(torch.rand(b, 3, h, w, generator=draw) * 255).to(torch.uint8),
        target=torch.where(valid, target, 0),
        valid=valid,
        sky=torch.zeros_like(valid),
        planes=planes,
        sigma=torch.zeros(b, 1, h, w),
        intrinsics=torch.tensor([[40.0, 40.0, (w - 1) / 2, (h - 1) / 2]]).repeat(b, 1),
        camera_known=~affine[:, 0, 0, 0],
        quality=torch.tensor([int(TIERS[k]) for k in kinds]),
        kind=kind,
        source=torch.tensor(list(sources) or [sorted(set(kinds)).index(k) for k in kinds]),
        pairs=torch.zeros(b, 0, 5, dtype=torch.int32),
        names=tuple(f"toy/{seed}-{i}" for i in range(b)),
    )


class MeanDepthLoss(DepthLoss):
    """The mean of y over valid pixels times a factor: a gradient that is known by heart."""

    accepts = frozenset({LabelKind.METRIC_DEPTH, LabelKind.SCALED_DEPTH})

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Tensor:
        y = torch.where(batch.valid, prediction.log_canonical, 0).flatten(1).sum(1)
        return self.factor * y / batch.valid.flatten(1).sum(1).clamp_min(1)
