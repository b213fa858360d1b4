"""Do the steps of a label lie on the edges of its image, and if not, how far away do they lie?"""

from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float32

from depthmix.sample import LabelKind, Sample

__all__ = ["REACH", "edge_scores", "image_edges", "label_steps"]

REACH: Final = 4  # offsets tried to each side, in pixels of the reduced image
LARGEST_SIDE: Final = 640
FEWEST: Final = 100
MOST: Final = 5000
STEP: Final = 0.1  # relative step of depth, or share of the label's range, that counts as an edge


def edge_scores(sample: Sample) -> tuple[Float[np.ndarray, "r r"], int] | None:
    """Say how strong the image's edges are at the label's steps, for offsets around the true place.

    Returns:
        The mean rank (0 weakest, 1 strongest pixel of the image; 0.5 by chance) of the image's edges at the
        label's steps, moved by (row - REACH, column - REACH) pixels, and the stride by which image and label
        were reduced; None where the label has too few steps, as sparse ones have.
    """
    stride = max(1, -(-max(sample.size) // LARGEST_SIDE))
    steps = label_steps(sample, stride)
    inner = np.zeros_like(steps)
    inner[REACH:-REACH, REACH:-REACH] = steps[REACH:-REACH, REACH:-REACH]
    rows, columns = np.nonzero(inner)
    if len(rows) < FEWEST:
        return None
    chosen = np.random.default_rng(0).permutation(len(rows))[:MOST]
    ranks = _ranks(image_edges(sample, stride))
    offsets = range(-REACH, REACH + 1)
    scores = [[ranks[rows[chosen] + y, columns[chosen] + x].mean() for x in offsets] for y in offsets]
    return np.array(scores, np.float64), stride


def label_steps(sample: Sample, stride: int = 1) -> Bool[np.ndarray, "h w"]:
    """Mark the nearer pixel of each pair of valid neighbours between which the label jumps."""
    valid = sample.valid[::stride, ::stride]
    values = sample.target[::stride, ::stride].astype(np.float64)
    if sample.kind is LabelKind.AFFINE_DISPARITY:
        known = values[valid]
        span = float(np.subtract(*np.quantile(known, [0.95, 0.05]))) if known.size else 0.0
        nearness, limit = values, STEP * span or np.inf
    else:
        nearness, limit = -np.log(np.where(valid, values, 1)), float(np.log1p(STEP))
    steps = np.zeros_like(valid)
    for axis in (0, 1):
        ahead, behind = (_shifted(axis, last) for last in (True, False))
        jump = nearness[ahead] - nearness[behind]
        both = valid[ahead] & valid[behind]
        steps[ahead] |= both & (jump > limit)
        steps[behind] |= both & (-jump > limit)
    return steps


def image_edges(sample: Sample, stride: int = 1) -> Float32[np.ndarray, "h w"]:
    """Return the length of the brightness gradient, on the reduced grid of `label_steps`."""
    import cv2

    grey = sample.image.astype(np.float32).mean(2)
    height, width = sample.valid[::stride, ::stride].shape
    if stride > 1:
        # The mean over the block around each kept pixel, so that the grids stay on each other.
        grey = cv2.blur(grey, (stride, stride))[::stride, ::stride][:height, :width]
    across, down = (cv2.Sobel(grey, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    return np.asarray(np.hypot(across, down), np.float32)


def _ranks(values: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    order = np.sort(values, axis=None)
    # The middle of equal values: a picture without any edge scores 0.5 everywhere.
    below, up_to = (np.searchsorted(order, values, side) for side in ("left", "right"))
    return ((below + up_to) / (2 * order.size)).astype(np.float32)


def _shifted(axis: int, last: bool) -> tuple[slice, slice]:
    part = slice(1, None) if last else slice(None, -1)
    return (part, slice(None)) if axis == 0 else (slice(None), part)
