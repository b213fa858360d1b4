"""Which of two points is farther: what a label of ordered pairs can tell about a prediction."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from depthmix.metrics.shapes import Map, Rows, mean_or_nan

__all__ = ["pair_errors", "whdr"]


def whdr(prediction: Map, pairs: Int[Tensor, "b p 5"], equal: float = 0.02) -> Rows:
    """Find the share of pairs whose order the prediction gets wrong; 0 is perfect, 0.5 is a toss.

    Args:
        prediction: depth up to any factor.
        pairs: u1, v1, u2, v2 and the relation: 1 first farther, -1 first nearer, 0 equally far; rows of -1
            throughout fill up.
        equal: points count as equally far within this relative difference.

    Convention: a pair with an order is judged by the order alone, so equal depths are wrong there; a pair
    labelled as equal is wrong where the depths differ by more than a factor 1 + `equal`. All pairs weigh the
    same, as in DIW; NaN for a row without pairs.

    Reference: Chen et al., Single-Image Depth Perception in the Wild (arXiv 1604.03901), WHDR; the tolerance
    for equal points is that of Xian et al. (CVPR 2018).
    """
    wrong, there = pair_errors(prediction, pairs, equal)
    return mean_or_nan(wrong, there)


def pair_errors(
    prediction: Map, pairs: Int[Tensor, "b p 5"], equal: float = 0.02
) -> tuple[Float[Tensor, "b p"], Bool[Tensor, "b p"]]:
    """Say for each pair whether its order is wrong (1) or right (0), and which pairs there are."""
    there = (pairs[..., :4] >= 0).all(-1)
    u1, v1, u2, v2, relation = torch.where(there[..., None], pairs, 0).long().unbind(-1)
    flat, width = prediction.double().flatten(1), prediction.shape[-1]
    first, second = (flat.gather(1, v * width + u) for u, v in ((u1, v1), (u2, v2)))
    away = first.log() - second.log()
    ordered = torch.sign(away) != relation
    wrong = torch.where(relation == 0, away.abs() > math.log1p(equal), ordered)
    return wrong.double(), there
