"""Trust the pixels of a label as its noise model allows, where inverse depth is compared up to its unit."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from depthmix.batch import Batch
from depthmix.losses.base import check_maps
from depthmix.masked import at_least_float32, masked_mad, masked_mean

__all__ = ["inverse_depth_noise", "shape_weight"]


def inverse_depth_noise(batch: Batch) -> Float[Tensor, "b 1 h w"]:
    """Return the standard deviation of `batch.inverse_depth`, to first order; 0 without a noise model.

    Convention: sigma / z^2 for labels of depth, sigma itself where the label is inverse depth; 0 outside
    `batch.valid`. Of a stereo pair, sigma = z^2 sigma_d / (f B), and what is left is sigma_d / (f B): the
    noise of a disparity is the same at every pixel, and so is that of inverse depth.
    """
    sigma, z = at_least_float32(batch.sigma), at_least_float32(batch.target)
    propagated = torch.where(batch.is_depth[:, None, None, None], sigma / z / z, sigma)
    return torch.where(batch.valid & (sigma > 0), propagated, 0)


@torch.no_grad()
def shape_weight(
    noise: Float[Tensor, "b 1 h w"],
    label: Float[Tensor, "b 1 h w"],
    valid: Bool[Tensor, "b 1 h w"],
    tolerance: float,
) -> Float[Tensor, "b 1 h w"]:
    """Return tolerance / (tolerance + noise / spread): how much a pixel counts in a loss on shape.

    Args:
        noise: standard deviation of `label`; 0 where there is no noise model.
        label: inverse depth up to a positive scale and a shift.
        valid: where both may be read.
        tolerance: noise, in spreads of the label, at which a pixel counts half.

    Convention: the spread is the mean absolute deviation over the row's valid pixels, so the weight has no
    unit: scale and shift of a row, which mean nothing, do not change it. 1 without noise, 0 outside `valid`;
    1 on a row without spread, which bears no shape.
    """
    check_maps(noise=noise, label=label, valid=valid)
    label = at_least_float32(label)
    spread = masked_mad(label, valid, masked_mean(label, valid))
    spread = torch.where(spread > 0, spread, torch.inf)[:, None, None, None]
    weight = tolerance / (tolerance + at_least_float32(noise) / spread)
    # Infinite noise over an infinite spread says nothing: such a pixel is left out.
    return torch.where(valid & (noise > 0), weight.nan_to_num(0.0), valid.to(weight.dtype))
