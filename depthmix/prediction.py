"""What the network predicts for a batch, and the three views of its depth that losses and metrics read."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from depthmix.geometry import unproject

__all__ = ["HEADS", "LOG_DEPTH_LIMIT", "Head", "Prediction", "log_focal_of"]

Head = Literal["uncertainty", "sky", "focal"]

# The heads, and the fields that they fill.
HEADS: dict[Head, str] = {"uncertainty": "log_uncertainty", "sky": "sky_logit", "focal": "log_focal"}

# exp(+-12) spans 6 micrometres to 163 km: beyond any scene, and float32 still squares it safely.
LOG_DEPTH_LIMIT = 12.0


@dataclass(frozen=True)
class Prediction:
    """Hold y = log(z f_c / f), the logarithm of canonical depth, with the cameras it was seen through.

    Args:
        log_canonical: y as the network gives it.
        intrinsics: fx, fy, cx, cy in pixels of this map; rows without a camera hold (f_c, f_c, centre).
        focal_canonical: f_c in pixels, one constant of the model.
        log_uncertainty: logarithm of the error that the network expects in log depth (the scale of a
            Laplace distribution), of networks with an uncertainty head.
        sky_logit: logit of the probability that a pixel is sky, of networks with a sky head.
        log_focal: a map whose mean is the logarithm of focal length over diagonal, of networks with a focal
            head; see `log_focal_of`.

    Convention: `depth` is metres for rows whose camera is known; for others it is metres only up to the
    unknown ratio f / f_c. `inverse_depth` is not scaled by the focal length: its readers fit a scale.

    Reference: canonical camera space, Yin et al., Metric3D (arXiv 2307.10984), label form.
    """

    log_canonical: Float[Tensor, "b 1 h w"]
    intrinsics: Float[Tensor, "b 4"]
    focal_canonical: float
    log_uncertainty: Float[Tensor, "b 1 h w"] | None = None
    sky_logit: Float[Tensor, "b 1 h w"] | None = None
    log_focal: Float[Tensor, "b 1 h w"] | None = None

    @classmethod
    def from_maps(
        cls,
        maps: Float[Tensor, "b c h w"],
        intrinsics: Float[Tensor, "b 4"],
        focal_canonical: float,
        heads: Sequence[Head] = (),
    ) -> Self:
        """Name the channels of a network's output: log canonical depth, then the heads in their order."""
        if not heads:
            return cls(maps, intrinsics, focal_canonical)
        depth, *others = maps.chunk(maps.shape[1], dim=1)
        named = {HEADS[head]: channel for head, channel in zip(heads, others, strict=True)}
        return cls(depth, intrinsics, focal_canonical, **named)

    @property
    def heads(self) -> tuple[Head, ...]:
        """The heads that the network has, in the order of `HEADS`."""
        return tuple(head for head, field in HEADS.items() if getattr(self, field) is not None)

    @property
    def maps(self) -> Float[Tensor, "b c h w"]:
        """All channels in one tensor: log canonical depth, then `heads`."""
        heads = [getattr(self, HEADS[head]) for head in self.heads]
        return torch.cat([self.log_canonical, *heads], 1) if heads else self.log_canonical

    def select(self, rows: Int[Tensor, " n"]) -> Self:
        """Keep the given rows, in the given order."""
        return self.from_maps(self.maps[rows], self.intrinsics[rows], self.focal_canonical, self.heads)

    @property
    def focal_ratio(self) -> Float[Tensor, "b 1 1 1"]:
        """Metres a canonical metre, f / f_c, f being the geometric mean of fx and fy."""
        focal = (self.intrinsics[:, 0] * self.intrinsics[:, 1]).sqrt()
        return (focal / self.focal_canonical)[:, None, None, None]

    @property
    def log_depth(self) -> Float[Tensor, "b 1 h w"]:
        """Logarithm of z in metres: y + log(f / f_c), in float32, limited to a range that exp survives."""
        return self._limited + self.focal_ratio.log()

    @property
    def depth(self) -> Float[Tensor, "b 1 h w"]:
        """The depth z in metres."""
        return self.log_depth.exp()

    @property
    def canonical_depth(self) -> Float[Tensor, "b 1 h w"]:
        """Canonical depth exp(y): z up to one positive factor per row, for readers that need no unit."""
        return self._limited.exp()

    @property
    def inverse_depth(self) -> Float[Tensor, "b 1 h w"]:
        """Inverse canonical depth exp(-y): 1/z up to one positive factor per row."""
        return (-self._limited).exp()

    @property
    def points(self) -> Float[Tensor, "b 3 h w"]:
        """Points (X, Y, Z) in metres, OpenCV axes."""
        return unproject(self.depth, self.intrinsics)

    @property
    def _limited(self) -> Float[Tensor, "b 1 h w"]:
        limited: Tensor = _Limit.apply(self.log_canonical.to(torch.float32))  # type: ignore[no-untyped-call]
        return limited


def log_focal_of(intrinsics: Float[Tensor, "b 4"], height: int, width: int) -> Float[Tensor, " b"]:
    """Return the logarithm of focal length over diagonal, for images of one size.

    Convention: f is the geometric mean of fx and fy, and all is measured in pixels of the image as the
    network sees it. So the number follows a crop, which looks like a photo of a longer lens, and does not
    change when the image is resized, mirrored or turned by a quarter. It is 0 for the normal lens of
    photography (43 mm on film of 36 x 24 mm), -0.6 for a wide one of 24 mm, 0.8 for 100 mm: a network
    starts out near the middle of what there is. Over the width, it would jump between landscape and portrait.
    """
    return (intrinsics[:, 0] * intrinsics[:, 1]).log() / 2 - math.log(math.hypot(height, width))


class _Limit(torch.autograd.Function):
    """Clamp to +-LOG_DEPTH_LIMIT as `clamp` does, in half the operations on the way back.

    The gradient is 0 where the value was cut or is NaN, whatever arrives there.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        limited = x.clamp(-LOG_DEPTH_LIMIT, LOG_DEPTH_LIMIT)
        ctx.save_for_backward(limited == x)
        return limited

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (inside,) = ctx.saved_tensors
        return torch.where(inside, gradient, 0)
