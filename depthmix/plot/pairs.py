"""Pairs of points drawn over their picture: which of the two is nearer, and where a prediction errs."""

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

__all__ = ["draw_pairs", "wrong_pairs"]

# The colours of signed errors: orange and purple stay apart for colour-blind readers.
NEARER, FARTHER, EQUAL, LINE = (253, 140, 40), (160, 110, 220), (255, 255, 255), (190, 190, 190)
MOST = 40  # more pairs hide each other and the picture


def draw_pairs(
    image: UInt8[np.ndarray, "h w 3"], pairs: Int[np.ndarray, "p 5"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw up to 40 pairs, spread over the list, on a darkened picture: orange nearer, purple farther.

    Convention: pairs that are equally far are white.
    """
    import cv2

    canvas = np.ascontiguousarray(image // 2)
    radius = max(1, min(image.shape[:2]) // 60)
    shown = pairs[np.linspace(0, len(pairs) - 1, min(len(pairs), MOST)).round().astype(int)]
    for u1, v1, u2, v2, relation in shown.tolist():
        cv2.line(canvas, (u1, v1), (u2, v2), LINE, 1, cv2.LINE_AA)
        first, second = {1: (FARTHER, NEARER), -1: (NEARER, FARTHER), 0: (EQUAL, EQUAL)}[relation]
        cv2.circle(canvas, (u1, v1), radius, first, -1, cv2.LINE_AA)
        cv2.circle(canvas, (u2, v2), radius, second, -1, cv2.LINE_AA)
    return canvas


def wrong_pairs(
    depth: Float[np.ndarray, "h w"], pairs: Int[np.ndarray, "p 5"]
) -> tuple[Bool[np.ndarray, " p"], int]:
    """Mark the pairs whose predicted order is wrong, and count those that have an order at all."""
    u1, v1, u2, v2, relation = pairs.T
    agreement = np.sign(depth[v1, u1] - depth[v2, u2]) * relation
    ordered = relation != 0
    return ordered & (agreement <= 0), int(ordered.sum())
