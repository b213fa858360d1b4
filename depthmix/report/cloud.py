"""One sample as points in space, label and prediction together: numbers for a script, and a still picture."""

import math
from base64 import b64encode
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, UInt8

from depthmix.errors import DepthmixError
from depthmix.plot.cloud import points_of, thinned
from depthmix.plot.compare import compare
from depthmix.plot.words import label_unit, sample_title
from depthmix.report.collect import RunFacts
from depthmix.report.encode import as_png
from depthmix.report.strips import predicted
from depthmix.sample import DEPTH_KINDS, Intrinsics, Sample

__all__ = ["Cloud", "cloud_of", "find_cloud", "still"]

POINTS: Final = 9000  # of each of the two; 10 bytes a point
DENSE: Final = 0.3
TURN, TILT = 0.45, 0.3  # how the still picture looks at the scene, radians
WIDTH, HEIGHT = 640, 420
LABEL, PREDICTION = (46, 134, 222), (230, 110, 20)  # both stand out from a white and from a black page


@dataclass(frozen=True, slots=True)
class Cloud:
    """Hold points as the script reads them, and what to say about them.

    Args:
        title: of the sample.
        alt: what is to be seen, in words.
        points: base64 of 10 bytes a point: x, y, z in 1/65535 of the box as little-endian uint16, red, green,
            blue, and 0 for the label or 1 for the prediction.
        low: corner of the box, in the unit of the depth.
        high: the opposite corner.
        centre: what the view turns about.
        reach: how far from there nearly all points lie.
        still: the same scene as a picture, as a data URI.
        groups: which of "label" and "prediction" there are.
    """

    title: str
    alt: str
    points: str
    low: list[float]
    high: list[float]
    centre: list[float]
    reach: float
    still: str
    groups: list[str]


def find_cloud(facts: RunFacts) -> Cloud | None:
    """Draw a sample of the evaluation, or else of the training, that has depth and a camera.

    Sets with dense labels come first: sparse ones show little of a scene.
    """
    sets = [one for one in (*facts.evaluation, *facts.training) if one.shards and len(one.shards)]
    kinds = [one for one in sets if one.shards and one.shards.card["kind"] in DEPTH_KINDS]
    for one in sorted(kinds, key=lambda one: one.shards.card["density"] != "dense" if one.shards else True):
        assert one.shards is not None
        try:
            sample = one.shards[len(one.shards) // 2]
        except DepthmixError:
            continue  # it stands among the problems: its strip could not be drawn either
        if sample.intrinsics is not None and sample.valid.any():
            return cloud_of(sample, *_predicted(sample, facts))
    return None


def cloud_of(sample: Sample, depth: Float[np.ndarray, "h w"] | None = None, note: str = "") -> Cloud:
    """Make the cloud of a sample that has depth and a camera.

    Args:
        sample: image, label and camera.
        depth: the prediction in the unit of the label; None leaves it out.
        note: how the prediction came into that unit.
    """
    camera = sample.intrinsics
    assert camera is not None
    farthest = 1.5 * float(np.quantile(sample.target[sample.valid], 0.98))
    parts = [_chosen(sample.target, sample.valid & (sample.target < farthest), camera, sample.image)]
    if depth is not None:
        shown = np.isfinite(depth) & (depth > 0) & (depth < farthest) & ~sample.sky
        parts.append(_chosen(depth, shown, camera, sample.image))
    places = np.concatenate([place for place, _ in parts])
    colours = np.concatenate([colour for _, colour in parts])
    groups = np.repeat(np.arange(len(parts), dtype=np.uint8), [len(place) for place, _ in parts])
    low, high = places.min(0), places.max(0)
    span = np.maximum(high - low, 1e-6)
    packed = np.zeros(len(places), np.dtype([("place", "<u2", 3), ("colour", "u1", 3), ("group", "u1")]))
    packed["place"] = np.rint((places - low) / span * 65535)
    packed["colour"], packed["group"] = colours, groups
    centre = np.median(parts[0][0], axis=0)
    reach = max(float(np.quantile(np.abs(places - centre).max(1), 0.98)), 1e-6)
    names = ["label", "prediction"][: len(parts)]
    unit = label_unit(sample.kind)
    alt = (
        f"{' and '.join(names)} of {sample.name} as points in space, {high[2] - low[2]:.3g} {unit} deep and "
        f"{high[0] - low[0]:.3g} {unit} wide{note}"
    )
    return Cloud(
        title=sample_title(sample),
        alt=alt,
        points=b64encode(packed.tobytes()).decode("ascii"),
        low=low.tolist(),
        high=(low + span).tolist(),
        centre=centre.tolist(),
        reach=reach,
        still=as_png(still(places, _tinted(groups, colours) if len(parts) > 1 else colours, centre, reach)),
        groups=names,
    )


def still(
    places: Float[np.ndarray, "n 3"],
    colours: UInt8[np.ndarray, "n 3"],
    centre: Float[np.ndarray, "3"],
    reach: float,
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw points as the script first shows them: turned a little, seen from behind and above the camera."""
    around = places - centre
    cos, sin = math.cos(TURN), math.sin(TURN)
    x, z = cos * around[:, 0] + sin * around[:, 2], -sin * around[:, 0] + cos * around[:, 2]
    cos, sin = math.cos(TILT), math.sin(TILT)
    y, z = cos * around[:, 1] - sin * z, sin * around[:, 1] + cos * z
    ahead = z + 2 * reach
    columns = np.rint(WIDTH / 2 + 0.8 * WIDTH * x / ahead).astype(np.intp)
    rows = np.rint(HEIGHT / 2 + 0.8 * WIDTH * y / ahead).astype(np.intp)
    picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    seen = (ahead > 0) & (columns >= 0) & (columns < WIDTH - 1) & (rows >= 0) & (rows < HEIGHT - 1)
    order = np.argsort(-ahead[seen], kind="stable")  # what is near is drawn last
    rows, columns, drawn = rows[seen][order], columns[seen][order], colours[seen][order]
    for down in (0, 1):
        for right in (0, 1):
            picture[rows + down, columns + right] = drawn
    return picture


def _predicted(sample: Sample, facts: RunFacts) -> tuple[Float[np.ndarray, "h w"] | None, str]:
    if facts.trained is None:
        return None, ""
    metric, depth = predicted(sample, facts.trained)
    compared = compare(sample, depth, metric=metric)
    note = "; the prediction was fitted by scale and shift of inverse depth" if compared.fitted else ""
    return compared.values, note


def _chosen(
    depth: Float[np.ndarray, "h w"],
    shown: Bool[np.ndarray, "h w"],
    camera: Intrinsics,
    image: UInt8[np.ndarray, "h w 3"],
) -> tuple[Float[np.ndarray, "n 3"], UInt8[np.ndarray, "n 3"]]:
    places, colours = thinned(points_of(depth, camera)[shown], image[shown], POINTS)
    return places.astype(np.float64), colours


def _tinted(groups: UInt8[np.ndarray, " n"], colours: UInt8[np.ndarray, "n 3"]) -> UInt8[np.ndarray, "n 3"]:
    """Give label and prediction a colour each, as bright as the photo is."""
    brightness = 0.55 + 0.75 * colours.mean(1, dtype=np.float64) / 255
    tints = np.array([LABEL, PREDICTION])[groups] * brightness[:, None]
    return np.asarray(np.clip(tints, 0, 255), np.uint8)
