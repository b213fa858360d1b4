"""Does the disparity of a label agree with what a matcher finds in the two pictures?"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from depthmix.sources.matching import match_pair
from depthmix.sources.stereo import StereoViews

__all__ = ["PairMeasures", "measure_pair"]

WIDEST: Final = 0.6  # largest disparity ever searched, as a share of the width
LARGEST_WIDTH: Final = 768  # wider pairs are reduced: half a pixel is all that is asked for


@dataclass(frozen=True, slots=True)
class PairMeasures:
    """Numbers of one stereo pair.

    Args:
        consistent: share of the pixels that match both ways.
        bias: median of label minus match, in pixels of the pictures; None without a label of its own.
        spread: median distance of label and match after the bias, in pixels; None without a label.
        slope: median of match over label disparity, 1 where the label's scale is right; None without one.
    """

    consistent: float
    bias: float | None = None
    spread: float | None = None
    slope: float | None = None

    def plain(self) -> dict[str, Any]:
        """Return everything as JSON holds it."""
        return asdict(self)


def measure_pair(views: StereoViews, *, highest: float = 0.3) -> PairMeasures:
    """Match a pair and compare the label's disparity with the match.

    Args:
        views: the pair.
        highest: largest disparity searched, as a share of the width, unless the label itself goes beyond it;
            to the other side it is a twentieth.
    """
    import cv2

    stride = max(1, -(-views.left.shape[1] // LARGEST_WIDTH))
    left, right = (
        np.asarray(cv2.resize(view, None, fx=1 / stride, fy=1 / stride, interpolation=cv2.INTER_AREA))
        for view in (views.left, views.right)
    )
    width = left.shape[1]
    stated = None if views.disparity is None or views.valid is None else views.disparity[views.valid]
    if stated is not None and stated.size:
        # A scale that is wrong by far must not make the search as wide as it says.
        reach = 1.1 * float(np.quantile(stated, 0.98)) / views.left.shape[1]
        highest = min(max(highest, reach), WIDEST)
    start, stop = round(-0.05 * width / 16) * 16, math.ceil(highest * width / 16) * 16
    found, agreed = match_pair(left, right, min_disparity=start, num_disparities=max(16, stop - start))
    consistent = float(agreed.mean())
    if views.disparity is None or views.valid is None:
        return PairMeasures(consistent)
    height = left.shape[0]
    # The centre of each block of the reduced picture.
    rows, columns = (np.arange(count) * stride + stride // 2 for count in (height, width))
    rows, columns = rows.clip(max=len(views.disparity) - 1), columns.clip(max=views.disparity.shape[1] - 1)
    label, valid = views.disparity[np.ix_(rows, columns)], views.valid[np.ix_(rows, columns)]
    both = agreed & valid
    if not both.any():
        return PairMeasures(consistent)
    match = found[both].astype(np.float64) * stride
    difference = label[both] - match
    bias = float(np.median(difference))
    large = np.abs(label[both]) > 2
    slope = float(np.median(match[large] / label[both][large])) if large.any() else None
    return PairMeasures(consistent, bias, float(np.median(np.abs(difference - bias))), slope)
