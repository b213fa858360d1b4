"""Disparity of an image pair by semi-global matching, and the label that an uncalibrated pair can bear."""

import numpy as np
from jaxtyping import Bool, Float32, Int16, UInt8

from depthmix.errors import BadSample

__all__ = ["affine_label", "check_work", "match_pair", "move_rows", "vertical_shift"]

STEPS = 16  # OpenCV counts disparities in sixteenths of a pixel
HALF = 12  # half the side of the patches that find the vertical shift
MAX_WORK = (
    2_500_000_000  # comparisons of a search: about 15 s of one core; 2560 x 1440 with a quarter of the width
)
MIN_SCORE = 0.8  # correlation below which a patch counts as not found


def check_work(height: int, width: int, num_disparities: int) -> None:
    """Refuse a search that would take the matcher minutes: raw files state sizes that nobody checked.

    Raises:
        BadSample: pixels times disparities are too many.
    """
    if height * width * num_disparities > MAX_WORK:
        reason = f"{width} x {height} pixels with {num_disparities} disparities are too much to match"
        raise BadSample(reason, field="disparity", hint="shrink the pictures, or search a narrower range")


def match_pair(
    left: UInt8[np.ndarray, "h w 3"] | UInt8[np.ndarray, "h w"],
    right: UInt8[np.ndarray, "h w 3"] | UInt8[np.ndarray, "h w"],
    *,
    min_disparity: int = 0,
    num_disparities: int = 128,
    block_size: int = 5,
    uniqueness: int = 5,
    tolerance: float = 1.0,
    speckle_size: int = 200,
) -> tuple[Float32[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Match both ways and keep what agrees.

    Args:
        left: the image that the disparity belongs to.
        right: the other view, with the same rows.
        min_disparity: smallest disparity searched; negative where points at infinity may have moved left.
        num_disparities: length of the search, a multiple of 16.
        block_size: odd side of the compared blocks.
        uniqueness: how many percent the best cost must beat the second best.
        tolerance: largest difference in pixels between the match from the left and from the right.
        speckle_size: islands of agreement with fewer pixels are dropped.

    Returns:
        Disparity, 0 where nothing agrees, and where it may be read.

    Convention: disparity d in pixels means left[v, u] shows what right[v, u - d] shows. Zero and negative
    disparities are as good as positive ones: `valid` alone tells what was measured. The result does not
    depend on the number of OpenCV's threads.

    Reference: Hirschmueller, "Stereo Processing by Semiglobal Matching and Mutual Information", PAMI 2008, in
    OpenCV's three-path form. Its result lacks a band at the border as wide as the search; both images are
    padded here so that this band is searched too.
    """
    _check_pair(left, right, block_size, num_disparities)
    options = {"min_disparity": min_disparity, "num_disparities": num_disparities}
    forth = _semi_global(left, right, **options, block_size=block_size, uniqueness=uniqueness)
    back = _semi_global(
        right[:, ::-1], left[:, ::-1], **options, block_size=block_size, uniqueness=uniqueness
    )[:, ::-1]
    missing = (min_disparity - 1) * STEPS
    agreed = left_right_agree(forth, back, missing=missing, tolerance=tolerance)
    valid = without_speckles(forth, agreed, missing=missing, size=speckle_size)
    return np.where(valid, forth.astype(np.float32) / STEPS, np.float32(0)), valid


def left_right_agree(
    forth: Int16[np.ndarray, "h w"], back: Int16[np.ndarray, "h w"], *, missing: int, tolerance: float
) -> Bool[np.ndarray, "h w"]:
    """Tell where the match of the match comes home within `tolerance` pixels; `missing` marks no match."""
    width = forth.shape[1]
    matched = np.arange(width) - np.rint(forth / STEPS).astype(np.intp)
    inside = (matched >= 0) & (matched < width)
    home = np.take_along_axis(back, matched.clip(0, width - 1), axis=1)
    found = (forth > missing) & (home > missing)
    difference = np.abs(forth.astype(np.int32) - home)
    return np.asarray(inside & found & (difference <= tolerance * STEPS))


def without_speckles(
    disparity: Int16[np.ndarray, "h w"], agreed: Bool[np.ndarray, "h w"], *, missing: int, size: int
) -> Bool[np.ndarray, "h w"]:
    """Keep the agreed pixels that lie in islands of at least `size` agreed pixels of like disparity."""
    import cv2

    kept = np.where(agreed, disparity, np.int16(missing))
    cv2.filterSpeckles(kept, missing, size, 2 * STEPS)
    return np.asarray(agreed & (kept > missing))


def affine_label(
    disparity: Float32[np.ndarray, "h w"],
    valid: Bool[np.ndarray, "h w"],
    *,
    low: float = 0.02,
    high: float = 0.98,
    min_spread: float = 1.0,
) -> tuple[Float32[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Turn disparity into a label of kind AFFINE_DISPARITY whose `low` to `high` quantiles span 0 to 1.

    Disparity of a pair with parallel axes is focal length x baseline x inverse depth plus a shift that the
    unknown convergence or cropping leaves behind. So it is inverse depth up to a positive scale and a shift,
    which is all that the kind AFFINE_DISPARITY claims: another positive scale and another shift lose nothing,
    and bring pairs of any size and baseline to one range. Nothing is clipped (values beyond the quantiles
    leave [0, 1]) and nothing is inverted, because both would break that relation.

    Args:
        disparity: in pixels, larger = nearer, any sign.
        valid: where it may be read.
        low: quantile that becomes 0.
        high: quantile that becomes 1.
        min_spread: smallest distance of the two quantiles in pixels; with less the label is matching noise.

    Returns:
        The label, 0 outside `valid`, and `valid` itself.

    Raises:
        BadSample: nothing is valid, or the spread is too small to say what is nearer.
    """
    if not valid.any():
        raise BadSample(f"0 of {valid.size} pixels are valid", field="disparity")
    bottom, top = np.quantile(disparity[valid].astype(np.float64), [low, high])
    if top - bottom < min_spread:
        reason = f"disparities spread over {top - bottom:.2f} px, less than {min_spread:g}: no depth to learn"
        raise BadSample(reason, field="disparity", hint="leave the pair out, or lower min_spread")
    target = ((disparity - bottom) / (top - bottom)).astype(np.float32)
    return np.where(valid, target, np.float32(0)), valid


def vertical_shift(
    left: UInt8[np.ndarray, "h w 3"],
    right: UInt8[np.ndarray, "h w 3"],
    *,
    min_disparity: int,
    num_disparities: int,
    reach: int = 12,
) -> int:
    """Measure by how many rows the right image sits lower than the left one.

    Patches around strong corners are searched in the right image, `reach` rows up and down and over all
    disparities; the answer is the median over the patches that are found, 0 when fewer than eight are.
    One shift per pair: rotation or zoom between the views is not undone.
    """
    import cv2

    left, right = _grey(left), _grey(right)
    distance = max(8, min(left.shape) // 16)
    corners = cv2.goodFeaturesToTrack(left, maxCorners=200, qualityLevel=0.01, minDistance=distance)
    if corners is None:
        return 0
    found = [
        _patch_shift(left, right, int(x), int(y), (min_disparity, min_disparity + num_disparities), reach)
        for x, y in corners[:, 0]
    ]
    shifts = [shift for shift in found if shift is not None]
    return round(float(np.median(shifts))) if len(shifts) >= 8 else 0


def move_rows(
    image: UInt8[np.ndarray, "h w 3"], shift: int
) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, " h"]]:
    """Move an image up by `shift` rows, and tell which rows still show something."""
    rows = np.arange(len(image)) + shift
    inside = (rows >= 0) & (rows < len(image))
    return image[rows.clip(0, len(image) - 1)], inside


def _patch_shift(
    left: np.ndarray, right: np.ndarray, x: int, y: int, disparities: tuple[int, int], reach: int
) -> int | None:
    import cv2

    height, width = left.shape
    first, last = max(HALF, x - disparities[1]), min(width - 1 - HALF, x - disparities[0])
    inside = HALF + reach <= y < height - HALF - reach and HALF <= x < width - HALF
    if not inside or last - first < HALF:
        return None
    patch = left[y - HALF : y + HALF + 1, x - HALF : x + HALF + 1]
    window = right[y - HALF - reach : y + HALF + reach + 1, first - HALF : last + HALF + 1]
    scores = cv2.matchTemplate(window, patch, cv2.TM_CCOEFF_NORMED)
    row = int(np.unravel_index(scores.argmax(), scores.shape)[0])
    # A best score at the rim of the window says only that the true place lies beyond it.
    return row - reach if scores.max() >= MIN_SCORE and 0 < row < 2 * reach else None


def _semi_global(
    left: np.ndarray,
    right: np.ndarray,
    *,
    min_disparity: int,
    num_disparities: int,
    block_size: int,
    uniqueness: int,
) -> Int16[np.ndarray, "h w"]:
    import cv2

    channels = 3 if left.ndim == 3 else 1
    matcher = cv2.StereoSGBM.create(
        minDisparity=min_disparity,
        numDisparities=num_disparities,
        blockSize=block_size,
        # The penalties that OpenCV's documentation recommends for small and large jumps.
        P1=8 * channels * block_size**2,
        P2=32 * channels * block_size**2,
        uniquenessRatio=uniqueness,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )
    before, after = max(min_disparity + num_disparities, 0), max(-min_disparity, 0)
    padded = [
        cv2.copyMakeBorder(np.ascontiguousarray(image), 0, 0, before, after, cv2.BORDER_REPLICATE)
        for image in (left, right)
    ]
    disparity: np.ndarray = matcher.compute(*padded)
    return disparity[:, before : before + left.shape[1]]


def _grey(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    import cv2

    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))


def _check_pair(left: np.ndarray, right: np.ndarray, block_size: int, num_disparities: int) -> None:
    if left.shape != right.shape or left.dtype != np.uint8 or right.dtype != np.uint8:
        found = f"{left.dtype} {left.shape} and {right.dtype} {right.shape}"
        raise ValueError(f"`left` and `right` must be uint8 of one shape, got {found}")
    if num_disparities <= 0 or num_disparities % STEPS:
        raise ValueError(f"`num_disparities` must be a positive multiple of 16, got {num_disparities}")
    if block_size < 1 or block_size % 2 == 0:
        raise ValueError(f"`block_size` must be odd and positive, got {block_size}")
