"""Where to compare pixels: across the edges of the picture, across the borders of planes, anywhere.

All of it is drawn from counters (`draws`), a row at a time in parallel: no loop, no list of edge pixels,
no shape that depends on the picture.
"""

import torch
from jaxtyping import Bool, Float, Int, Num
from torch import Tensor
from torch.nn.functional import normalize, pad

from depthmix.losses.draws import pick
from depthmix.masked import at_least_float32

__all__ = ["edge_anchors", "edge_quadruples", "image_edges", "plane_anchors", "quadruples"]

# Pixels whose gradient exceeds this part of their image's largest one are edges.
EDGE_SHARE = 0.1
# Points lie 2 to 30 pixels from their edge in an image whose shorter side is 384, in others accordingly.
NEAREST, FARTHEST = 2 / 384, 30 / 384

# Rec. 601 in 256ths: exact in float32 for 8-bit colours, so that no rounding draws edges on flat areas.
RED, GREEN, BLUE = 77 / 256, 150 / 256, 29 / 256

Map = Float[Tensor, "b 1 h w"]
# Pixels as flat indices, and the direction (du, dv) to go from each, of any length.
Anchors = tuple[Int[Tensor, "b m"], Num[Tensor, "b 2 m"]]


def image_edges(image: Num[Tensor, "b 3 h w"]) -> tuple[Map, Map, Map]:
    """Return the gradient of the picture's luminance by Sobel's filter.

    Returns:
        Magnitude, and its parts along u and v with their signs: from dark to bright.

    Convention: the border is repeated outwards, so it is no edge; a flat picture gives exactly 0.
    """
    red, green, blue = image.unbind(1)
    grey = RED * at_least_float32(red[:, None])
    grey = grey.add(green[:, None], alpha=GREEN).add(blue[:, None], alpha=BLUE)
    padded = pad(grey, (1, 1, 1, 1), mode="replicate")
    column = padded[..., :-2, :] + padded[..., 2:, :]
    column = column.add(padded[..., 1:-1, :], alpha=2)
    row = padded[..., :-2] + padded[..., 2:]
    row = row.add(padded[..., 1:-1], alpha=2)
    du, dv = column[..., 2:] - column[..., :-2], row[..., 2:, :] - row[..., :-2, :]
    return torch.hypot(du, dv), du, dv


def edge_quadruples(image: Num[Tensor, "b 3 h w"], draws: Int[Tensor, "5 m"]) -> Int[Tensor, "b 4 m"]:
    """Draw four points on a line across each of `m` edges of the picture, as flat pixel indices.

    The first two lie on the dark side, far and near, the other two on the bright side, near and far.

    Args:
        image: in any unit; its luminance alone counts.
        draws: random integers in [0, 2^32): the edge pixel, then the distance of each point.

    Convention: see `quadruples`. A flat picture has no edge: there all four points are one pixel.

    Reference: edge-guided sampling of Xian et al., Structure-Guided Ranking Loss (CVPR 2020).
    The threshold is per image. The authors' code finds the column of an edge pixel by true division, which
    on today's torch puts all points into the left margin of the image.
    """
    return quadruples(*edge_anchors(image, draws[0]), draws[1:], (image.shape[-2], image.shape[-1]))


@torch.no_grad()
def edge_anchors(image: Num[Tensor, "b 3 h w"], draws: Int[Tensor, " m"]) -> Anchors:
    """Turn each draw into an edge pixel of the picture, uniformly, and its direction from dark to bright."""
    magnitude, du, dv = image_edges(image)
    edges = magnitude > EDGE_SHARE * magnitude.amax((1, 2, 3), keepdim=True)
    return _anchors(edges, du, dv, draws)


@torch.no_grad()
def plane_anchors(planes: Int[Tensor, "b 1 h w"], draws: Int[Tensor, " m"]) -> Anchors:
    """Turn each draw into a pixel whose right or lower neighbour is on another plane, and the way there.

    Convention: pixels without a plane (id 0) count as one more plane.

    Reference: instance-guided sampling of Xian et al. (CVPR 2020), described there, missing in their code.
    """
    right = pad(planes[..., 1:] != planes[..., :-1], (0, 1))
    below = pad(planes[..., 1:, :] != planes[..., :-1, :], (0, 0, 0, 1))
    return _anchors(right | below, right, below, draws)


@torch.no_grad()
def quadruples(
    anchors: Int[Tensor, "b m"],
    direction: Num[Tensor, "b 2 m"],
    draws: Int[Tensor, "4 m"],
    size: tuple[int, int],
) -> Int[Tensor, "b 4 m"]:
    """Go from each anchor backward (far, near) and forward (near, far) and return the four pixels.

    Args:
        anchors: flat pixel indices.
        direction: (du, dv) of any length; only the way counts.
        draws: random integers in [0, 2^32), one per point.
        size: height and width of the image.

    Convention: a point beyond the image is moved to its border. With direction (0, 0) all four are the
    anchor itself; a pair of one pixel with itself is no pair.
    """
    height, width = size
    start = torch.stack([anchors % width, anchors // width], 1)
    way = normalize(direction.float(), dim=1)
    points = start[:, :, None] + _distances(draws, min(size)) * way[:, :, None]
    u, v = points.round().long().unbind(1)
    return u.clamp(0, width - 1).add(v.clamp(0, height - 1), alpha=width)


def _distances(draws: Int[Tensor, "4 m"], side: int) -> Float[Tensor, "4 m"]:
    """Spread the points over four equal ranges with gaps between: far and near on either side of 0."""
    near = max(NEAREST * side, 1.0)
    far = max(FARTHEST * side, 5 * near)
    # Ranges of this length around -1.5, -0.5, 0.5 and 1.5 spacings reach from `near` to `far`.
    spacing = (near + far) / 2
    length = spacing - 2 * near
    start = torch.arange(4, device=draws.device) * spacing - (1.5 * spacing + length / 2)
    return start[:, None] + draws * (length / 2**32)


def _anchors(mask: Bool[Tensor, "b 1 h w"], du: Tensor, dv: Tensor, draws: Int[Tensor, " m"]) -> Anchors:
    place = pick(mask.flatten(1), draws)
    return place, torch.stack([du.flatten(1).gather(1, place), dv.flatten(1).gather(1, place)], 1)
