"""Point clouds as static pictures."""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Real, UInt8

from depthmix.errors import BadSample
from depthmix.plot.figures import DPI
from depthmix.plot.words import kind_words, label_unit, sample_title
from depthmix.sample import DEPTH_KINDS, Intrinsics, Sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["points_of", "show_cloud", "show_points", "thinned"]


def points_of(depth: Float[np.ndarray, "h w"], intrinsics: Intrinsics) -> Float32[np.ndarray, "h w 3"]:
    """Lift every pixel to its point (X, Y, Z), in the unit of the depth.

    Convention: axes x right, y down, z forward; pixel centres at integers.
    """
    rows, columns = np.indices(depth.shape)
    x = (columns - intrinsics.cx) / intrinsics.fx * depth
    y = (rows - intrinsics.cy) / intrinsics.fy * depth
    return np.stack([x, y, depth], axis=-1).astype(np.float32)


def thinned(
    places: Float32[np.ndarray, "n 3"], colours: Real[np.ndarray, "n 3"], most: int
) -> tuple[Float32[np.ndarray, "m 3"], Real[np.ndarray, "m 3"]]:
    """Keep at most so many points with their colours, the same in every call."""
    if len(places) <= most:
        return places, colours
    # Picks at equal steps would line up in columns.
    drawn = np.random.default_rng(0).choice(len(places), most, replace=False)
    return places[drawn], colours[drawn]


def show_cloud(
    sample: Sample, depth: Float[np.ndarray, "h w"] | None = None, *, points: int = 10_000
) -> "Figure":
    """Draw the label of a sample, or a prediction for its image, as a point cloud in the image's colours.

    Args:
        sample: image, camera and label.
        depth: predicted depth in metres; None draws the label.
        points: at most so many points are drawn.

    Raises:
        BadSample: the camera is not known, or the label is no depth: inverse depth of unknown shift bends
            every surface when it is turned into points.
    """
    if sample.intrinsics is None:
        raise sample.fail("intrinsics", "a point cloud needs the camera, which this sample does not know")
    if depth is None and sample.kind not in DEPTH_KINDS:
        reason = f"a point cloud needs depth; this label is {kind_words(sample.kind)}"
        raise BadSample(reason, sample=sample.name, field="kind", hint="draw a prediction instead")
    if depth is None:
        valid, unit = sample.valid, label_unit(sample.kind)
        cloud = points_of(sample.target, sample.intrinsics)
    else:
        valid, unit = np.isfinite(depth) & ~sample.sky, "m"
        cloud = points_of(depth, sample.intrinsics)
    return show_points(cloud, sample.image, valid, sample_title(sample), unit=unit, points=points)


def show_points(
    cloud: Float32[np.ndarray, "h w 3"],
    image: UInt8[np.ndarray, "h w 3"],
    valid: Bool[np.ndarray, "h w"],
    title: str,
    *,
    unit: str = "m",
    points: int = 10_000,
) -> "Figure":
    """Draw points in the colours of their pixels, seen from behind and above the camera.

    Args:
        cloud: points (X, Y, Z), axes x right, y down, z forward.
        image: colour of each point.
        valid: which points to draw.
        title: one line above the picture.
        unit: unit of the points.
        points: at most so many are drawn, the same in every call.
    """
    from matplotlib.figure import Figure

    place, colour = thinned(cloud[valid], image[valid] / 255, points)
    right, forward, up = place[:, 0], place[:, 2], -place[:, 1]
    figure = Figure(figsize=(6.0, 4.2), dpi=DPI)
    axes: Any = figure.add_axes((0.0, 0.0, 1.0, 0.96), projection="3d")  # the stubs know flat axes only
    axes.scatter(right, forward, up, c=colour, s=5, linewidths=0, depthshade=False)
    axes.set(xlabel=f"right, {unit}", ylabel=f"forward, {unit}", zlabel=f"up, {unit}")
    spans = [max(float(np.ptp(axis)), 1e-6) for axis in (right, forward, up)]
    axes.set_box_aspect(spans, zoom=1.15)
    axes.view_init(elev=22, azim=-110)
    axes.tick_params(labelsize=7)
    figure.suptitle(title.replace("$", r"\$"), fontsize=9)
    return figure
