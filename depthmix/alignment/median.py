"""Scale and shift by medians, per row: what a few outliers do not move."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from depthmix.alignment.least_squares import raise_and_detach
from depthmix.alignment.normalised import CONTRAST_FLOOR, median_mad
from depthmix.masked import masked_mean, masked_median

__all__ = ["align_median", "align_median_mad"]


def align_median(
    prediction: Float[Tensor, "b *shape"],
    target: Float[Tensor, "b *shape"],
    valid: Bool[Tensor, "b *shape"],
    *,
    detach: bool = False,
) -> Float[Tensor, " b"]:
    """Fit one factor per row: the median of the target over the median of the prediction.

    Convention: 1 where either median is not positive, which includes a row without valid pixels.
    """
    p, g, _ = raise_and_detach(prediction, target, None, detach)
    above, below = masked_median(g, valid), masked_median(p, valid)
    usable = (above > 0) & (below > 0)
    return torch.where(usable, above / torch.where(usable, below, 1), 1)


def align_median_mad(
    prediction: Float[Tensor, "b *shape"],
    target: Float[Tensor, "b *shape"],
    valid: Bool[Tensor, "b *shape"],
    *,
    detach: bool = False,
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Fit scale and shift so that medians and mean absolute deviations agree; the scale is never negative.

    Convention: a flat prediction (deviation below `CONTRAST_FLOOR` of its mean magnitude) gets scale 0 and
    the median of the target, a row without valid pixels scale 1 and shift 0.

    Reference: Ranftl et al., MiDaS (arXiv 1907.01341), equation 5, solved for the prediction.
    """
    p, g, _ = raise_and_detach(prediction, target, None, detach)
    (middle_p, spread_p), (middle_g, spread_g) = median_mad(p, valid), median_mad(g, valid)
    steep = spread_p > CONTRAST_FLOOR * masked_mean(p.detach().abs(), valid)
    scale = torch.where(steep, spread_g / torch.where(steep, spread_p, 1), 0)
    some = valid.flatten(1).any(1)
    return torch.where(some, scale, 1), torch.where(some, middle_g - scale * middle_p, 0)
