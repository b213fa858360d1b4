"""How well depth steps between neighbours, with their direction, meet those of the label."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from depthmix.metrics.shapes import Map, Mask, Rows, neighbours

__all__ = ["boundary_f1", "edge_agreement"]

Pairs = Float[Tensor, "b n"]


def boundary_f1(prediction: Map, target: Map, valid: Mask) -> Rows:
    """Score how well depth edges of the prediction meet those of the label; 1 is perfect.

    An edge is a pair of neighbours whose depths differ by more than a factor t, with its direction (which
    side is in front). For ten t from 1.05 to 1.25 precision is the part of predicted edges that the label
    has, recall the part of labelled edges that the prediction has; their harmonic means are averaged
    with weights proportional to t. A t without an edge in either map takes no part.

    Reference: Bochkovskii et al., Depth Pro (arXiv 2410.02073), section 3.3, without thinning and with the
    four directions pooled.
    """
    ours, theirs = (neighbours(_logs(x, valid), torch.sub) for x in (prediction, target))
    # NaN never exceeds a threshold. A step of either sign is an edge; one of the same sign matches it.
    sizes = ours.abs(), theirs.abs()
    both = torch.where(ours * theirs > 0, torch.minimum(*sizes), 0)
    score, total = (torch.zeros(len(valid), dtype=torch.float64, device=valid.device) for _ in range(2))
    for t in torch.linspace(1.05, 1.25, 10, dtype=torch.float64).tolist():
        predicted, labelled, matched = (_larger(x, math.log(t)) for x in (*sizes, both))
        edges = predicted + labelled
        # 2 m / (p + l) is the harmonic mean of the precision m / p and the recall m / l.
        f1, found = 2 * matched / edges.clamp_min(1), (edges > 0).double()
        score, total = score + t * f1, total + t * found
    return torch.where(total > 0, score / total.clamp_min(1), torch.nan)


def _larger(x: Pairs, step: float) -> Rows:
    return (x > step).sum(1, dtype=torch.int32).double()


def edge_agreement(prediction: Map, target: Map, valid: Mask, step: float = 0.1) -> Rows:
    """Say how surely the prediction's own steps tell the label's edges from all other pixels.

    A pixel's drop is the largest log(depth of a neighbour / its own depth): how far the ground falls away
    behind it. Pixels whose drop in the label exceeds log(1 + step) are edges, on their nearer side. The value
    is the chance that the predicted drop of an edge is larger than that of a pixel that is none, equal drops
    counting half (the area under the ROC curve): 1 perfect, 0.5 for a flat map, below it for steps of the
    wrong sign.

    Args:
        prediction: predicted depth; only ratios of neighbours count, so any positive factor will do.
        target: labelled depth.
        valid: where both may be read; a pixel and at least one of its neighbours must be valid.
        step: relative step that makes an edge of the label.

    Convention: no threshold applies to the prediction, so a soft edge in the right place counts here, where
    `boundary_f1` may see none. NaN for a label without edges, or with nothing but edges.
    """
    ours, theirs = (_drop(x, valid).flatten(1) for x in (prediction, target))
    good = valid.flatten(1) & theirs.isfinite()
    edge = good & (theirs > math.log1p(step))
    order = torch.where(good, ours, torch.inf).sort(1)
    # What is not good comes last and is neither edge nor other.
    positive, negative = (mask.gather(1, order.indices).double() for mask in (edge, good & ~edge))
    below = negative.cumsum(1) - negative
    first, last = _ties(order.values)
    # Others that are smaller, and half of those that are equal.
    wins = (below.gather(1, first) + (below + negative).gather(1, last)) / 2
    pairs = positive.sum(1) * negative.sum(1)
    return torch.where(pairs > 0, (positive * wins).sum(1) / pairs.clamp_min(1), torch.nan)


def _drop(depth: Map, valid: Mask) -> Map:
    """Return the largest log ratio of a valid neighbour to the pixel; -inf where there is none."""
    logs = _logs(depth, valid)
    padded = pad(torch.where(valid, logs, -torch.inf), (1, 1, 1, 1), value=-torch.inf)
    beside = torch.maximum(padded[..., 1:-1, 2:], padded[..., 1:-1, :-2])
    farthest = torch.maximum(torch.maximum(padded[..., 2:, 1:-1], padded[..., :-2, 1:-1]), beside)
    return torch.where(valid, farthest - torch.where(valid, logs, 0), -torch.inf)


def _ties(ordered: Pairs) -> tuple[Tensor, Tensor]:
    """Return the first and the last place that hold the same value as each place of a sorted row."""
    n = ordered.shape[1]
    place = torch.arange(n, device=ordered.device).expand_as(ordered)
    new = pad(ordered[:, 1:] != ordered[:, :-1], (1, 0), value=True)
    first = torch.where(new, place, 0).cummax(1).values
    ends = pad(new[:, 1:], (0, 1), value=True)
    last = torch.where(ends, place, n - 1).flip(1).cummin(1).values.flip(1)
    return first, last


def _logs(depth: Map, valid: Mask) -> Map:
    usable = valid & (depth > 0)
    return torch.where(usable, torch.where(usable, depth, 1).double().log(), torch.nan)
