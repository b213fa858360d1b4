"""Matplotlib figures of samples and predictions; every function returns the figure and keeps no state."""

from typing import TYPE_CHECKING, Final

import numpy as np
from jaxtyping import Float32

from depthmix.plot.colour import Scale, colour_table
from depthmix.plot.panels import Panel, sample_panels, strip_panels
from depthmix.plot.words import sample_title
from depthmix.sample import Sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_panels", "format_number", "show_sample", "show_strip"]

DPI: Final = 85  # a notebook full of pictures stays below a megabyte


def show_sample(sample: Sample) -> "Figure":
    """Draw image, label, validity, planes and normals of a sample, as far as it has them."""
    return draw_panels(sample_panels(sample), sample_title(sample))


def show_strip(
    sample: Sample, depth: Float32[np.ndarray, "h w"] | None = None, *, metric: bool = False
) -> "Figure":
    """Draw image | label | prediction | signed error.

    Args:
        sample: image and label.
        depth: predicted depth, everywhere positive; None draws image and label alone.
        metric: whether `depth` is in metres; if not it is fitted to the label by scale and shift.
    """
    return draw_panels(strip_panels(sample, depth, metric=metric), sample_title(sample))


def draw_panels(panels: list[Panel], title: str, *, width: float = 2.7) -> "Figure":
    """Draw panels side by side under one title, each with the colour bar of its scale.

    Args:
        panels: the pictures; equal in size.
        title: one line above all.
        width: width of one panel in inches.
    """
    from matplotlib.figure import Figure

    rows, columns = panels[0].rgb.shape[:2]
    height = width * min(rows / columns, 2.0)
    figure = Figure(figsize=(width * len(panels), height + 1.0), dpi=DPI, layout="constrained")
    figure.suptitle(_plain(title), fontsize=10)
    # The bars have a row of their own, so that all pictures are of one size whether they have a bar or not.
    grid = figure.subplots(2, len(panels), squeeze=False, height_ratios=[height, 0.12])
    for picture, bar, panel in zip(grid[0], grid[1], panels, strict=True):
        _draw(picture, panel)
        _colour_bar(bar, panel.scale)
    return figure


def format_number(value: float) -> str:
    """Write a number short enough for a colour bar: three digits."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _draw(axes: "Axes", panel: Panel) -> None:
    axes.imshow(panel.rgb, interpolation="nearest" if panel.rgb.shape[1] < 400 else "antialiased")
    axes.set_title(_plain(panel.title), fontsize=8)
    axes.set_xticks([])
    axes.set_yticks([])


def _colour_bar(axes: "Axes", scale: Scale | None) -> None:
    if scale is None:
        axes.set_axis_off()
        return
    # 256 equal steps of the position, not of the number: right for log scales too.
    axes.imshow(colour_table(scale.colours)[None], aspect="auto", extent=(0, 1, 0, 1))
    ticks = scale.ticks()
    axes.set_xticks(np.linspace(0, 1, len(ticks)), [format_number(tick) for tick in ticks], fontsize=7)
    first, *_, last = axes.get_xticklabels()
    first.set_horizontalalignment("left")  # else they run into those of the next panel
    last.set_horizontalalignment("right")
    axes.set_yticks([])
    axes.set_xlabel(_plain(scale.unit), fontsize=7, labelpad=1)


def _plain(text: str) -> str:
    """Keep matplotlib from reading dollar signs in file names as formulas."""
    return text.replace("$", r"\$")
