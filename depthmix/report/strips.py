"""Choose samples, predict them, and encode the pictures so that the whole page stays small."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from jaxtyping import Float32, UInt8

from depthmix.errors import DepthmixError
from depthmix.plot.colour import Scale, colour_table
from depthmix.plot.figures import format_number
from depthmix.plot.panels import Panel, strip_panels
from depthmix.plot.words import sample_title
from depthmix.report.collect import RunFacts, SetFacts
from depthmix.report.encode import as_jpeg, as_png
from depthmix.sample import LabelKind, Sample

if TYPE_CHECKING:
    from depthmix.trained import Trained

__all__ = ["Picture", "Strip", "encode_strips", "make_strips", "predicted", "sample_facts", "strip_of"]

SAMPLES: Final = 3
WIDTHS: Final = (320, 240, 180, 128, 96, 64)  # tried in turn until the pictures fit the budget


@dataclass(frozen=True, slots=True)
class Strip:
    """Hold the panels of one sample: image, label, and with a network prediction and error."""

    title: str
    facts: str
    panels: list[Panel]


@dataclass(frozen=True, slots=True)
class Picture:
    """Hold one picture as the page shows it.

    Args:
        uri: the file itself, as a data URI.
        alt: what it shows, for those who do not see it.
        caption: what stands under it.
        gradient: CSS colours of its bar, empty without one.
        ticks: numbers along the bar.
        unit: unit of the numbers.
        coarse: whether the browser should keep the pixels visible.
    """

    uri: str
    alt: str
    caption: str
    gradient: str
    ticks: list[str]
    unit: str
    coarse: bool


def make_strips(facts: RunFacts, chosen: SetFacts) -> list[Strip]:
    """Make up to three strips of a set, from its begin, middle and end.

    A sample that can not be read becomes a problem of the run, not an error.
    """
    shards = chosen.shards
    if shards is None or not len(shards):
        return []
    strips = []
    for index in sorted({round(i) for i in np.linspace(0, len(shards) - 1, SAMPLES)}):
        try:
            strips.append(strip_of(shards[index], facts.trained))
        except DepthmixError as error:
            facts.problems.append(str(error))
    return strips


def encode_strips(strips: Sequence[Strip], budget: int = 2_900_000) -> list[list[Picture]]:
    """Encode all pictures of the page at the largest size at which they keep to `budget` bytes together."""
    encoded: list[list[Picture]] = []
    for width in WIDTHS:
        encoded = [[_picture(strip, panel, width) for panel in strip.panels] for strip in strips]
        if sum(len(picture.uri) for pictures in encoded for picture in pictures) <= budget:
            break
    return encoded


def strip_of(sample: Sample, trained: "Trained | None" = None) -> Strip:
    """Draw one sample, with prediction and error where there is a network."""
    metric, depth = False, None
    if trained is not None:
        metric, depth = predicted(sample, trained)
    return Strip(sample_title(sample), sample_facts(sample), strip_panels(sample, depth, metric=metric))


def predicted(sample: Sample, trained: "Trained") -> tuple[bool, Float32[np.ndarray, "h w"]]:
    """Return whether the prediction is in metres, and predicted depth."""
    from depthmix.predict import predict_image

    found = predict_image(trained, sample.image, sample.intrinsics)
    return found.metric, found.values if found.metric else 1 / found.values


def sample_facts(sample: Sample) -> str:
    """Say size, range and camera of a sample in one line."""
    height, width = sample.size
    parts = [f"{width} x {height} pixels"]
    if sample.valid.any():
        low, high = (format_number(float(end(sample.target[sample.valid]))) for end in (np.min, np.max))
        unit = " m" if sample.kind is LabelKind.METRIC_DEPTH else ""
        parts.append(f"label from {low} to {high}{unit}")
    if sample.pairs is not None:
        parts.append(f"{len(sample.pairs)} pairs of points")
    camera = sample.intrinsics
    parts.append("camera not known" if camera is None else f"focal length {camera.fx:.1f} px")
    return ", ".join(parts)


def _picture(strip: Strip, panel: Panel, width: int) -> Picture:
    photo = panel.title == "image"
    rgb = _reduced(panel.rgb, width, photo)
    unit = panel.scale.unit if panel.scale else ""
    return Picture(
        uri=as_jpeg(rgb) if photo else as_png(rgb),
        alt=f"{panel.title} of {strip.title}",
        caption=panel.title,
        gradient=_gradient(panel.scale) if panel.scale else "",
        ticks=[format_number(tick) for tick in panel.scale.ticks()] if panel.scale else [],
        unit=unit,
        coarse=not photo,
    )


def _gradient(scale: Scale) -> str:
    stops = colour_table(scale.colours)[np.linspace(0, 255, 12).astype(int)]
    return ", ".join("#{:02x}{:02x}{:02x}".format(*stop.tolist()) for stop in stops)


def _reduced(rgb: UInt8[np.ndarray, "h w 3"], width: int, photo: bool) -> UInt8[np.ndarray, "h w 3"]:
    """Shrink to `width`; colours of a map are picked, never mixed, so none appears that is not in the map."""
    from PIL import Image

    if rgb.shape[1] <= width:
        return rgb
    size = (width, max(1, math.ceil(rgb.shape[0] * width / rgb.shape[1])))
    how: Any = Image.Resampling.BOX if photo else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(rgb).resize(size, how))
