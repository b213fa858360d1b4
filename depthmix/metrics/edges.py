"""How far depth edges of the prediction lie from those of the label, in pixels, as iBims-1 measures it.

Edges of both maps are found by Canny's detector on depth that is scaled to [0, 1] over the row's valid
pixels, with the options of the authors. The label's own edges are found in the same way: the authors'
hand-made ones are of one data set. Convolutions know the mask, and an edge is a pixel whose eight neighbours
are all valid.

Reference: Koch et al., Evaluation of CNN-based Single-Image Depth Estimation Methods (arXiv 1805.01328),
equations 7 and 8; Canny 1986.
"""

import math
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import max_pool2d, pad

from depthmix.metrics.shapes import Map, Mask, Rows, column

__all__ = ["FARTHEST", "depth_edges", "edge_accuracy", "edge_completeness", "edge_errors"]

SIGMA: Final = math.sqrt(2)  # of the Gaussian, in pixels
LOW, HIGH = 0.1, 0.2  # of the gradient by Sobel's filter, whose weights sum up to 8
FARTHEST: Final = 10.0  # pixels; no distance counts more


def edge_accuracy(prediction: Map, target: Map, valid: Mask) -> Rows:
    """Average the distance in pixels from predicted edges to the nearest edge of the label.

    Convention: predicted edges with none of the label within 10 pixels are left out, as the authors do; they
    count in `edge_completeness`. 10 where no predicted edge is left, NaN for a label without edges.
    """
    return edge_errors(depth_edges(prediction, valid), depth_edges(target, valid))[0]


def edge_completeness(prediction: Map, target: Map, valid: Mask) -> Rows:
    """Average, over the edges of both maps, the distance in pixels to the nearest edge of the other map.

    Convention: distances are cut at 10 pixels. 10 where no predicted edge lies near the label's, NaN for a
    label without edges.
    """
    return edge_errors(depth_edges(prediction, valid), depth_edges(target, valid))[1]


def edge_errors(predicted: Mask, labelled: Mask) -> tuple[Rows, Rows]:
    """Return `edge_accuracy` and `edge_completeness` of two edge maps."""
    to_label, to_prediction = _distance(labelled), _distance(predicted)
    near = predicted & (to_label < FARTHEST)
    hits, sums = _count(near), (to_label * near).sum((1, 2, 3))
    both = (to_label * predicted).sum((1, 2, 3)) + (to_prediction * labelled).sum((1, 2, 3))
    some, edges = hits > 0, _count(labelled)
    found = (
        torch.where(some, sums / hits.clamp_min(1), FARTHEST),
        torch.where(some, both / (_count(predicted) + edges).clamp_min(1), FARTHEST),
    )
    accuracy, completeness = (torch.where(edges > 0, value, torch.nan) for value in found)
    return accuracy, completeness


def depth_edges(depth: Map, valid: Mask) -> Mask:
    """Find the edges of each row by Canny's detector on depth scaled to [0, 1] over the valid pixels."""
    z = depth.double()
    low = torch.where(valid, z, torch.inf).amin((1, 2, 3))
    high = torch.where(valid, z, -torch.inf).amax((1, 2, 3))
    steep = high > low
    span = torch.where(steep, high - low, 1)
    scaled = torch.where(valid & column(steep), (z - column(low)) / column(span), 0)
    across, down = _gradient(_smoothed(scaled, valid))
    strength = torch.hypot(across, down)
    inside = -max_pool2d(-pad(valid.float(), (1, 1, 1, 1)), 3, 1) > 0
    ridge = inside & (strength >= LOW) & _is_ridge(strength, across, down)
    return _connected(ridge, ridge & (strength >= HIGH))


def _smoothed(x: Map, valid: Mask) -> Map:
    """Blur by a Gaussian over the valid pixels alone."""
    import cv2

    radius = int(4 * SIGMA + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / SIGMA) ** 2)
    weights /= weights.sum()

    def blurred(maps: Tensor) -> Tensor:
        # A hundred times faster than a convolution of torch in float64.
        rows = [
            cv2.sepFilter2D(one, cv2.CV_64F, weights, weights, borderType=cv2.BORDER_CONSTANT)
            for one in maps[:, 0].cpu().numpy()
        ]
        return torch.from_numpy(np.stack(rows)[:, None]).to(maps.device)

    return blurred(x) / blurred(valid.double()).clamp_min(1e-300)


def _gradient(x: Map) -> tuple[Map, Map]:
    """Return Sobel's derivatives along u and v, the border repeated outwards."""
    padded = pad(x, (1, 1, 1, 1), mode="replicate")
    rows = padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]
    columns = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
    return rows[..., 2:] - rows[..., :-2], columns[..., 2:, :] - columns[..., :-2, :]


def _is_ridge(strength: Map, across: Map, down: Map) -> Mask:
    """Mark pixels not weaker than the two points one step along the gradient, up and down.

    A step ends on the square through the eight neighbours; the strength there is that of the neighbour on the
    nearer axis and of the one on the diagonal, mixed by the angle.
    """
    h, w = strength.shape[-2:]
    padded = pad(strength, (1, 1, 1, 1))

    def at(v: int, u: int) -> Map:
        return padded[..., 1 + v : 1 + v + h, 1 + u : 1 + u + w]

    flat = across.abs() >= down.abs()  # the gradient is nearer to the u axis
    longer, shorter = (torch.where(flat, a, b).abs() for a, b in ((across, down), (down, across)))
    mix = shorter / torch.where(longer > 0, longer, 1)
    same = across * down >= 0  # u and v grow together: the diagonal runs down to the right
    ridge = torch.ones_like(flat)
    for s in (1, -1):
        straight = torch.where(flat, at(0, s), torch.where(same, at(s, 0), at(-s, 0)))
        diagonal = torch.where(same, at(s, s), at(-s, s))
        ridge &= diagonal * mix + straight * (1 - mix) <= strength
    return ridge


def _connected(weak: Mask, strong: Mask) -> Mask:
    """Keep the groups of touching weak pixels that hold a strong one."""
    import cv2

    kept = np.zeros(weak.shape, bool)
    for row, (some, sure) in enumerate(
        zip(weak[:, 0].cpu().numpy(), strong[:, 0].cpu().numpy(), strict=True)
    ):
        count, groups = cv2.connectedComponents(some.astype(np.uint8), connectivity=8)
        holds = np.zeros(count, bool)
        holds[groups[sure]] = True
        holds[0] = False  # what is no edge
        kept[row, 0] = holds[groups]
    return torch.from_numpy(kept).to(weak.device)


def _distance(edges: Mask) -> Float[Tensor, "b 1 h w"]:
    """Return the distance of every pixel to the nearest edge of its row, cut at `FARTHEST`."""
    import cv2

    found = np.full(edges.shape, FARTHEST)
    for row, marked in enumerate(edges[:, 0].cpu().numpy()):
        if marked.any():
            away = cv2.distanceTransform((~marked).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            # It is the root of a whole number; squaring and rounding brings back what float32 lost.
            whole = np.rint(np.square(np.minimum(away, FARTHEST + 1), dtype=np.float64))
            found[row, 0] = np.minimum(np.sqrt(whole), FARTHEST)
    return torch.from_numpy(found).to(edges.device)


def _count(mask: Bool[Tensor, "b 1 h w"]) -> Rows:
    return mask.sum((1, 2, 3)).double()
