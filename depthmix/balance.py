"""Weights of loss terms from their values and their gradients at the prediction: plain formulas."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = [
    "LARGEST_LOG_VARIANCE",
    "MOST_TERMS",
    "min_norm_orthogonal",
    "min_norm_weights",
    "share_weights",
    "uncertainty_slopes",
    "uncertainty_weights",
]

SMALLEST_NORM = 1e-12  # below it a term is at its optimum and gets no say instead of amplified rounding
LARGEST_LOG_VARIANCE = 7.0  # learned weights stay within a factor of 1100 of 1
MOST_TERMS = 10  # 1023 small systems; one more term doubles them

# Beside a diagonal of ones, in float64: parallel gradients become solvable, others hardly change.
RIDGE = 1e-11


def share_weights(norms: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    """Return the weights that give every gradient the norm 1; 0 for a gradient that is 0."""
    felt = norms > SMALLEST_NORM
    return torch.where(felt, 1 / torch.where(felt, norms, 1), 0)


def uncertainty_weights(log_variances: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
    """Return exp(-s), the weights of terms under their learned logarithms of variance.

    Reference: Kendall, Gal and Cipolla (arXiv 1705.07115), equations 7 and 10. The sum that is minimised is
    that of exp(-s) L + s: twice theirs, so that training starts, at s = 0, with the given weights. At the
    optimum exp(-s) = 1 / L: what a term counts is its relative change.
    """
    return (-log_variances.clamp(-LARGEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)).exp()


def uncertainty_slopes(
    log_variances: Float[Tensor, " k"], values: Float[Tensor, " k"]
) -> Float[Tensor, " k"]:
    """Return the derivative 1 - exp(-s) L of `exp(-s) L + s`, without what leads out of the limits.

    A loss that is negative, as a log likelihood may be, or exactly 0 has no optimum in s: its s falls to
    the limit and stays there.
    """
    slopes = 1 - uncertainty_weights(log_variances) * values
    outwards = (log_variances.abs() >= LARGEST_LOG_VARIANCE) & (slopes * log_variances < 0)
    return torch.where(outwards, 0, slopes)


def min_norm_weights(
    products: Float[Tensor, "k k"], takes_part: Bool[Tensor, " k"] | None = None
) -> Float[Tensor, " k"]:
    """Return the weights of the shortest vector in the convex hull of k gradients: not negative, sum 1.

    That vector has a product of at least its squared length with every gradient, so a step along it
    lowers all losses at once; it is 0 where no such step exists. Every subset of the gradients is tried as
    the set with positive weights, all of them as one batch of small systems. What comes out is brought
    back onto the simplex before the lengths are compared: the right subset stays as it is and no other can
    be shorter, so no tolerance decides. Nothing waits for the device.

    Args:
        products: inner products of the gradients with each other, float64.
        takes_part: which gradients to combine. Gradients of norm 0 never take part: they would make the
            shortest vector 0, though a loss without rows or at its optimum objects to no step.

    Convention: all weights are 0 where no gradient takes part.

    Raises:
        ValueError: more than `MOST_TERMS` gradients.

    Reference: Sener and Koltun (arXiv 1810.04650), equation 3, who approach it by Frank-Wolfe steps; MiDaS
    (arXiv 1907.01341), equation 12. Both on the host, here exact for all k.
    """
    k = len(products)
    if k > MOST_TERMS:
        raise ValueError(f"`products` must be of at most {MOST_TERMS} gradients, got {k}")
    norms, taken = _norms(products.diagonal(), takes_part)
    inside = _subsets(k, products.device) & taken
    # Gradients of length 1 are solved for: norms of loss families differ by a factor of 300.
    cosines = products / norms / norms[:, None]
    system = torch.where(inside[:, :, None] & inside[:, None, :], cosines, 0)
    system = system + torch.where(inside, RIDGE, 1).to(system).diag_embed()
    solved = torch.linalg.solve_ex(system, torch.where(inside, norms.amin() / norms, 0)).result
    candidates = _on_simplex(torch.where(inside, solved / norms, 0))
    squares = ((candidates @ products) * candidates).sum(1)
    squares = torch.where(candidates.sum(1) > 0, squares, torch.inf)
    return candidates.index_select(0, squares.argmin()[None])[0]


def min_norm_orthogonal(
    squares: Float[Tensor, " k"], takes_part: Bool[Tensor, " k"] | None = None
) -> Float[Tensor, " k"]:
    """Return `min_norm_weights` of gradients that are orthogonal: in proportion to 1 over squared length.

    Args:
        squares: squared lengths of the gradients.
        takes_part: which gradients to combine.
    """
    norms, taken = _norms(squares, takes_part)
    return _on_simplex(torch.where(taken, (norms.amin() / norms).square(), 0))


def _norms(
    squares: Float[Tensor, " k"], takes_part: Bool[Tensor, " k"] | None
) -> tuple[Float[Tensor, " k"], Bool[Tensor, " k"]]:
    """Return the norms of gradients, infinite for those that do not take part, and which take part."""
    norms = squares.clamp_min(0).sqrt()
    taken = norms > SMALLEST_NORM
    if takes_part is not None:
        taken = taken & takes_part
    return torch.where(taken, norms, torch.inf), taken


def _subsets(k: int, device: torch.device) -> Bool[Tensor, "s k"]:
    """List all subsets of k things but the empty one."""
    numbers = torch.arange(1, 2**k, device=device)[:, None]
    return (numbers >> torch.arange(k, device=device) & 1).bool()


def _on_simplex(weights: Float[Tensor, "*s k"]) -> Float[Tensor, "*s k"]:
    """Drop negative weights and divide by the sum; 0 where nothing is left."""
    weights = weights.clamp_min(0)
    total = weights.sum(-1, keepdim=True)
    return weights / torch.where(total > 0, total, 1)
