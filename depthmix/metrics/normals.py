"""How far surface normals of the prediction are turned away from those of the label.

Convention: normals are central differences of points, so both maps need the camera. They are compared where
the pixel and its four neighbours are valid and the label has no depth edge: across an edge, such differences
describe no surface. A row without such a pixel gives NaN.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from depthmix.geometry import normals
from depthmix.masked import count_valid, masked_median
from depthmix.metrics.shapes import Map, Mask, Rows, degrees_between, mean_or_nan

__all__ = ["edge_free", "normal_11_25", "normal_angle", "normal_errors", "normal_median"]


def normal_angle(prediction: Map, target: Map, valid: Mask, intrinsics: Float[Tensor, "b 4"]) -> Rows:
    """Average the angle in degrees between the surface normals of prediction and label, away from edges."""
    return mean_or_nan(*normal_errors(prediction, target, valid, intrinsics))


def normal_median(prediction: Map, target: Map, valid: Mask, intrinsics: Float[Tensor, "b 4"]) -> Rows:
    """Take the median of the angles in degrees that `normal_angle` averages."""
    angle, good = normal_errors(prediction, target, valid, intrinsics)
    return torch.where(count_valid(good) > 0, masked_median(angle, good), torch.nan)


def normal_11_25(prediction: Map, target: Map, valid: Mask, intrinsics: Float[Tensor, "b 4"]) -> Rows:
    """Find the share of pixels whose normals differ by less than 11.25 degrees.

    Reference: Fouhey et al., Data-Driven 3D Primitives (ICCV 2013).
    """
    angle, good = normal_errors(prediction, target, valid, intrinsics)
    return mean_or_nan((angle < 11.25).double(), good)


def normal_errors(
    prediction: Map, target: Map, valid: Mask, intrinsics: Float[Tensor, "b 4"]
) -> tuple[Map, Mask]:
    """Find the angle in degrees between the normals of both maps, and the pixels where it may be read."""
    # Where a neighbour is not valid nothing is compared, so whatever the prediction holds there is not read.
    ours, _ = normals(prediction.double(), intrinsics, valid)
    theirs, good = normals(target.double(), intrinsics, valid)
    return degrees_between(ours, theirs, 1)[:, None], good & edge_free(target, valid)


def edge_free(target: Map, valid: Mask, bend: float = 0.05) -> Mask:
    """Mark pixels where the label's inverse depth is nearly straight along rows and columns.

    Inverse depth of a plane is affine in the pixel, however steep the plane, so a large second difference
    marks a depth step or a sharp crease, and never a slanted floor.

    Args:
        target: labelled depth.
        valid: where it may be read; neighbours must be valid too.
        bend: largest second difference, as a part of the inverse depth itself.
    """
    inverse = torch.where(valid, 1 / torch.where(valid, target.double(), 1), torch.nan)
    padded = pad(inverse, (1, 1, 1, 1), value=torch.nan)
    across = padded[..., 1:-1, 2:] + padded[..., 1:-1, :-2] - 2 * inverse
    down = padded[..., 2:, 1:-1] + padded[..., :-2, 1:-1] - 2 * inverse
    return torch.maximum(across.abs(), down.abs()) < bend * inverse  # NaN compares as False
