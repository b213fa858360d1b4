"""Published evaluations once more, in numpy and float64, from what papers and public code say of them.

Nothing of depthmix is used here, and no protocol file is read: windows, ranges and fits are written out.
"""

import math
from collections.abc import Callable

import numpy as np

Window = Callable[[int, int], tuple[int, int, int, int]]


def garg(h: int, w: int) -> tuple[int, int, int, int]:
    return int(0.40810811 * h), int(0.99189189 * h), int(0.03594771 * w), int(0.96405229 * w)


def toolbox(h: int, w: int) -> tuple[int, int, int, int]:
    """45:471, 41:601 in images of 480 x 640, and here of a tenth of it."""
    return (45, 471, 41, 601) if (h, w) == (480, 640) else (5, 47, 5, 60)


def everything(h: int, w: int) -> tuple[int, int, int, int]:
    return 0, h, 0, w


def readable(label: np.ndarray, window: Window, low: float, high: float) -> np.ndarray:
    """Loop over pixels: inside the window, measured, and strictly between the ends of the range."""
    top, bottom, left, right = window(*label.shape)
    mask = np.zeros(label.shape, bool)
    for row in range(top, bottom):
        for column in range(left, right):
            mask[row, column] = low < label[row, column] < high
    return mask


def fitted(p: np.ndarray, g: np.ndarray, alignment: str, low: float, high: float) -> np.ndarray:
    """Fit the prediction of one image to its labels, both as lists of numbers, and clamp it."""
    if alignment == "median":
        p = p * (np.median(g) / np.median(p))
    elif alignment == "affine_depth":
        (scale, shift), *_ = np.linalg.lstsq(np.stack([p, np.ones_like(p)], 1), g, rcond=None)
        assert scale > 0
        p = scale * p + shift
    elif alignment == "affine_inverse_depth":
        (scale, shift), *_ = np.linalg.lstsq(np.stack([1 / p, np.ones_like(p)], 1), 1 / g, rcond=None)
        assert scale > 0
        inverse = scale / p + shift
        farthest = g.max() if math.isinf(high) else high
        inverse[inverse < 1 / farthest] = 1 / farthest
        p = 1 / inverse
    return np.minimum(np.maximum(p, low), high)


def errors(p: np.ndarray, g: np.ndarray) -> dict[str, float]:
    """Compute the usual measures one pixel after the other."""
    pairs = list(zip(p.tolist(), g.tolist(), strict=True))
    logs = [math.log(a) - math.log(b) for a, b in pairs]
    mean = sum(logs) / len(logs)
    found = {
        "abs_rel": sum(abs(a - b) / b for a, b in pairs) / len(pairs),
        "sq_rel": sum((a - b) ** 2 / b for a, b in pairs) / len(pairs),
        "rmse": math.sqrt(sum((a - b) ** 2 for a, b in pairs) / len(pairs)),
        "rmse_log": math.sqrt(sum(x * x for x in logs) / len(logs)),
        "log10": sum(abs(x) for x in logs) / len(logs) / math.log(10),
        "silog": math.sqrt(sum((x - mean) ** 2 for x in logs) / len(logs)),
    }
    for k in (1, 2, 3):
        found[f"delta{k}"] = sum(max(a / b, b / a) < 1.25**k for a, b in pairs) / len(pairs)
    return found


def table(
    images: list[tuple[np.ndarray, np.ndarray]], alignment: str, window: Window, low: float, high: float
) -> dict[str, float]:
    """Average the errors of images, each given as prediction and label of one size."""
    each = []
    for prediction, label in images:
        mask = readable(label, window, low, high)
        p, g = prediction[mask].astype(np.float64), label[mask].astype(np.float64)
        each.append(errors(fitted(p, g, alignment, low, high), g))
    return {name: sum(one[name] for one in each) / len(each) for name in each[0]}


def scans_of_tables(points: np.ndarray, projection: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Draw a scan as tables on KITTI have it: forward distance, pixels from 1, the nearest wins."""
    label = np.full(size, np.nan)
    for x, y, z in points.astype(np.float64).tolist():
        u, v, w = projection @ np.array([x, y, z, 1.0])
        if x < 0 or w <= 0:
            continue
        column, row = round(u / w) - 1, round(v / w) - 1
        if 0 <= row < size[0] and 0 <= column < size[1]:
            label[row, column] = np.fmin(label[row, column], x)
    return label


def bilinear(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize by loops; pixel centres lie in the middle of pixels, and what is beyond the last repeats it."""
    found = np.zeros(size)
    rows, columns = values.shape
    for row in range(size[0]):
        for column in range(size[1]):
            y = min(max((row + 0.5) * rows / size[0] - 0.5, 0), rows - 1)
            x = min(max((column + 0.5) * columns / size[1] - 0.5, 0), columns - 1)
            top, left = min(int(y), rows - 2), min(int(x), columns - 2)
            dy, dx = y - top, x - left
            above = (1 - dx) * values[top, left] + dx * values[top, left + 1]
            below = (1 - dx) * values[top + 1, left] + dx * values[top + 1, left + 1]
            found[row, column] = (1 - dy) * above + dy * below
    return found
