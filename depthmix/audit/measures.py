"""What one sample says about the quality of its source, as numbers."""

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt64

from depthmix.audit.edges import edge_scores
from depthmix.audit.pictures import fingerprint
from depthmix.sample import DEPTH_KINDS, Intrinsics, Sample

__all__ = ["BINS", "GRID", "Measures", "field_of_view", "measure", "nearness_downwards", "plane_residuals"]

FEW: Final = 20_000  # pixels that are enough for ranks, counts of distinct values and histograms
GRID: Final = (24, 32)  # rows and columns of the map of where labels lie
# Edges of the histogram: a quarter of an octave each, from 1 cm to 4 km for depth; other labels fill [0, 1].
BINS: Final = 0.01 * 2.0 ** (np.arange(75) / 4)


@dataclass(frozen=True, slots=True)
class Measures:
    """Numbers of one sample; what it does not have is None.

    Args:
        key: name of the sample inside its source.
        size: rows and columns.
        valid: share of pixels with a label.
        coverage: the same in each of `GRID` equal parts of the picture.
        sky: share of pixels known to be sky.
        sky_height: mean row of the sky as a share of the rows, 0 = top.
        planes: number of plane instances.
        plane_share: share of pixels that belong to one.
        pairs: number of ordinal pairs.
        low: smallest label value.
        median: median label value.
        high: largest label value.
        distinct: distinct values among at most 20 000 valid pixels.
        codes: equal steps from 0 to the largest value that would hold all of them; None for a single value.
        at_low: share of the valid pixels that hold the smallest value.
        at_high: share of the valid pixels that hold the largest value.
        downwards: rank correlation of nearness with the row: positive where what is lower is nearer.
        focal: horizontal focal length in pixels of this picture.
        fov: horizontal field of view in degrees.
        aspect: fx / fy.
        off_centre: distance of the principal point from the middle, as a share of the size.
        sigma: median of sigma over the label's own value.
        plane_residual: median over planes of the relative spread of inverse depth about the best plane.
        edge: mean rank of the image's edges at the label's steps (0.5 by chance).
        histogram: counts of label values in `BINS`, depth kinds only.
        scores: `edge` for all offsets.
        stride: pixels of one step of those offsets.
        prints: fingerprints of the picture and of the mirrored picture.
    """

    key: str
    size: tuple[int, int]
    valid: float
    coverage: np.ndarray
    sky: float
    sky_height: float | None
    planes: int
    plane_share: float
    pairs: int
    low: float | None
    median: float | None
    high: float | None
    distinct: int | None
    codes: float | None
    at_low: float | None
    at_high: float | None
    downwards: float | None
    focal: float | None
    fov: float | None
    aspect: float | None
    off_centre: float | None
    sigma: float | None
    plane_residual: float | None
    edge: float | None
    histogram: list[int] | None
    scores: np.ndarray | None
    stride: int | None
    prints: UInt64[np.ndarray, "2 4"]

    def plain(self) -> dict[str, Any]:
        """Return everything that fits into JSON."""
        kept = asdict(self)
        for name in ("scores", "stride", "prints", "histogram", "coverage"):
            del kept[name]
        return kept


def measure(sample: Sample) -> Measures:
    """Measure one sample."""
    values = sample.target[sample.valid]
    edges = edge_scores(sample)
    camera = sample.intrinsics
    rows = np.nonzero(sample.sky)[0]
    middle = edges[0].shape[0] // 2 if edges else 0
    return Measures(
        key=sample.key,
        size=sample.size,
        valid=float(sample.valid.mean()),
        coverage=_coverage(sample.valid),
        sky=float(sample.sky.mean()),
        sky_height=float(rows.mean() / sample.size[0]) if rows.size else None,
        planes=int(np.count_nonzero(np.unique(sample.planes))),
        plane_share=float((sample.planes > 0).mean()),
        pairs=0 if sample.pairs is None else len(sample.pairs),
        **_of_values(values),
        downwards=nearness_downwards(sample),
        focal=camera.fx if camera else None,
        fov=field_of_view(camera, sample.size[1]) if camera else None,
        aspect=camera.fx / camera.fy if camera else None,
        off_centre=_off_centre(camera, sample.size) if camera else None,
        sigma=_relative_sigma(sample),
        plane_residual=_plane_residual(sample),
        edge=float(edges[0][middle, middle]) if edges else None,
        histogram=_histogram(sample),
        scores=edges[0] if edges else None,
        stride=edges[1] if edges else None,
        prints=np.stack([fingerprint(sample.image), fingerprint(sample.image[:, ::-1])]),
    )


def nearness_downwards(sample: Sample) -> float | None:
    """Correlate the ranks of row and nearness over the valid pixels; None for fewer than 100 or one value.

    People hold cameras upright and stand on the ground, so what is lower in a picture is nearer on average.
    A source with a negative mean is upside down, or has taken depth for inverse depth.
    """
    rows, columns = _some(*np.nonzero(sample.valid))
    values = sample.target[rows, columns]
    if len(values) < 100 or np.ptp(values) == 0 or np.ptp(rows) == 0:
        return None
    nearness = -values if sample.kind in DEPTH_KINDS else values
    return float(np.corrcoef(_average_ranks(rows), _average_ranks(nearness))[0, 1])


def field_of_view(camera: Intrinsics, width: int) -> float:
    """Return the horizontal field of view in degrees, from outer edge to outer edge."""
    left, right = camera.cx + 0.5, width - 0.5 - camera.cx
    return float(np.rad2deg(np.arctan(left / camera.fx) + np.arctan(right / camera.fx)))


def plane_residuals(sample: Sample, fewest: int = 50) -> Float64[np.ndarray, " n"]:
    """Return, per plane with a depth, the relative spread of inverse depth about its best plane.

    On a plane, 1/z is affine in the pixel coordinates, so the fit is linear and needs no camera. The spread
    is the standard deviation of the residual over the mean inverse depth, 0 for a perfect mask and label.
    """
    inverse = np.zeros(sample.size)
    np.divide(1, sample.target, out=inverse, where=sample.valid)
    found = []
    for plane in np.unique(sample.planes[sample.valid]):
        rows, columns = np.nonzero(sample.valid & (sample.planes == plane))
        if plane == 0 or len(rows) < fewest:
            continue
        rows, columns = _some(rows, columns)
        design = np.stack([rows - rows.mean(), columns - columns.mean(), np.ones(len(rows))], 1)
        values = inverse[rows, columns]
        fitted = design @ np.linalg.lstsq(design, values, rcond=None)[0]
        found.append(float(np.std(values - fitted) / values.mean()))
    return np.array(found)


def _coverage(valid: Bool[np.ndarray, "h w"]) -> Float32[np.ndarray, "r c"]:
    import cv2

    # The mean over each part; pictures smaller than the grid are repeated.
    rows, columns = GRID
    found = cv2.resize(valid.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(found, np.float32)


def _of_values(values: np.ndarray) -> dict[str, Any]:
    names = ("low", "median", "high", "distinct", "codes", "at_low", "at_high")
    if not values.size:
        return dict.fromkeys(names)
    low, high = values.min(), values.max()
    few = np.unique(values[:: max(1, len(values) // FEW)])
    shares = float((values == low).mean()), float((values == high).mean())
    numbers = (float(low), float(np.median(values)), float(high), len(few), _codes(few), *shares)
    return dict(zip(names, numbers, strict=True))


def _codes(few: np.ndarray) -> float | None:
    """Count the equal steps from 0 that hold all of the ascending values."""
    return float(few[-1] / np.diff(few).min()) if len(few) > 1 else None


def _relative_sigma(sample: Sample) -> float | None:
    if sample.sigma is None or not sample.valid.any():
        return None
    return float(np.median(sample.sigma[sample.valid] / np.abs(sample.target[sample.valid])))


def _plane_residual(sample: Sample) -> float | None:
    found = plane_residuals(sample) if sample.kind in DEPTH_KINDS else np.zeros(0)
    return float(np.median(found)) if found.size else None


def _off_centre(camera: Intrinsics, size: tuple[int, int]) -> float:
    height, width = size
    return max(abs((camera.cx + 0.5) / width - 0.5), abs((camera.cy + 0.5) / height - 0.5))


def _histogram(sample: Sample) -> list[int] | None:
    if sample.kind not in DEPTH_KINDS:
        return None
    counts, _ = np.histogram(sample.target[sample.valid], BINS)
    return [int(count) for count in counts]


def _some(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    step = max(1, len(rows) // FEW)
    return rows[::step], columns[::step]


def _average_ranks(values: np.ndarray) -> np.ndarray:
    order = np.sort(values)
    return np.searchsorted(order, values, "left") + np.searchsorted(order, values, "right")
