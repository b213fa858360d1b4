"""Point clouds to turn with the mouse: label and prediction in one view, by plotly."""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from depthmix.errors import ConfigError
from depthmix.plot.cloud import points_of, thinned
from depthmix.plot.words import kind_words, sample_title
from depthmix.sample import LabelKind, Sample

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

__all__ = ["show_space"]

LABEL, PREDICTED = "rgb(0,114,178)", "rgb(213,94,0)"


def show_space(
    sample: Sample, depth: Float[np.ndarray, "h w"] | None = None, *, points: int = 8_000
) -> "Figure":
    """Draw the label and a prediction as point clouds in one view that can be turned.

    Args:
        sample: image, camera and label.
        depth: predicted depth in metres; None draws the label alone, in the colours of the image.
        points: at most so many points of each are drawn, the same in every call.

    Convention: without a prediction points have the colour of their pixel; with one, the label is blue and
    the prediction orange, each to be hidden by a click on its name. Sky is not drawn. Axes: right, forward,
    up, in metres, equal in length.

    Raises:
        BadSample: the camera is not known, or there is neither metric depth nor a prediction.
        ConfigError: plotly is not installed.
    """
    try:
        from plotly import graph_objects
    except ImportError as error:
        hint = "pip install depthmix[3d], or use show_cloud"
        raise ConfigError("plotly is not installed", field="plotly", hint=hint) from error
    has_label = sample.kind is LabelKind.METRIC_DEPTH
    if depth is None and not has_label:
        reason = f"points in metres need metric depth or a prediction; this is {kind_words(sample.kind)}"
        raise sample.fail("kind", reason)
    if sample.intrinsics is None:
        raise sample.fail("intrinsics", "a point cloud needs the camera, which this sample does not know")
    clouds = []
    if has_label:
        place = points_of(sample.target, sample.intrinsics)
        colour = None if depth is None else LABEL
        clouds.append(_cloud(place, sample.valid, sample.image, "label", colour, points))
    if depth is not None:
        place = points_of(depth, sample.intrinsics)
        shown = np.isfinite(depth) & ~sample.sky
        clouds.append(_cloud(place, shown, sample.image, "prediction", PREDICTED, points))
    figure = graph_objects.Figure([graph_objects.Scatter3d(**cloud) for cloud in clouds])
    axes = {f"{axis}axis": {"title": f"{name}, m"} for axis, name in zip("xyz", _AXES, strict=True)}
    camera = {"eye": {"x": -0.7, "y": -2.3, "z": 1.0}, "center": {"z": -0.15}}
    figure.update_layout(
        title={"text": sample_title(sample), "font": {"size": 13}},
        scene={**axes, "aspectmode": "data", "camera": camera},
        margin={"l": 0, "r": 0, "t": 40, "b": 0},
        legend={"itemsizing": "constant"},
    )
    return figure


_AXES = ("right", "forward", "up")


def _cloud(
    place: Float32[np.ndarray, "h w 3"],
    shown: Bool[np.ndarray, "h w"],
    image: UInt8[np.ndarray, "h w 3"],
    name: str,
    colour: str | None,
    points: int,
) -> dict[str, Any]:
    where, rgb = thinned(place[shown], image[shown], points)
    colours = [f"rgb({r},{g},{b})" for r, g, b in rgb.tolist()] if colour is None else colour
    right, forward, up = where[:, 0], where[:, 2], -where[:, 1]
    marker = {"size": 2, "color": colours}
    return {"x": right, "y": forward, "z": up, "mode": "markers", "marker": marker, "name": name}
