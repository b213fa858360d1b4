"""Running means that know how much they have seen."""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["running_share"]


def running_share(
    count: Float[Tensor, "*n"], seen: Float[Tensor, "*n"], memory: float
) -> Float[Tensor, "*n"]:
    """Return how much the mean of new values counts beside what a running mean holds.

    Args:
        count: new values; none gives a share of 0.
        seen: values before them.
        memory: what is left of the old mean after each further value.

    Convention: at first all values count alike, and the mean is the plain one; later the old ones fade.
    """
    return torch.maximum(1 - memory**count, count / (seen + count).clamp_min(1))
