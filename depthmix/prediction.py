"""The network's one map and the three views of it that losses and metrics read."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from depthmix.geometry import unproject

__all__ = ["LOG_DEPTH_LIMIT", "Prediction"]

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

    Convention: `depth` is metres for rows whose camera is known; for others it is metres only up to the
    unknown ratio f / f_c. `inverse_depth` is not scaled by the focal length: its readers fit a scale.

    Reference: canonical camera space, Yin et al., Metric3D (arXiv 2307.10984), label form.
    """

    log_canonical: Float[Tensor, "b 1 h w"]
    intrinsics: Float[Tensor, "b 4"]
    focal_canonical: float
    log_uncertainty: Float[Tensor, "b 1 h w"] | None = None
    sky_logit: Float[Tensor, "b 1 h w"] | None = None

    @property
    def log_depth(self) -> Float[Tensor, "b 1 h w"]:
        """Logarithm of z in metres: y + log(f / f_c), in float32, limited to a range that exp survives."""
        focal = (self.intrinsics[:, 0] * self.intrinsics[:, 1]).sqrt()
        offset = (focal / self.focal_canonical).log()[:, None, None, None]
        return self._limited + offset

    @property
    def depth(self) -> Float[Tensor, "b 1 h w"]:
        """The depth z in metres."""
        return self.log_depth.exp()

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
        return self.log_canonical.to(torch.float32).clamp(-LOG_DEPTH_LIMIT, LOG_DEPTH_LIMIT)
