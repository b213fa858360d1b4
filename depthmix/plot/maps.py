"""Pictures of one question each: how uncertain is the label, where are its edges, what was predicted."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, UInt8

from depthmix.errors import BadSample
from depthmix.plot.colour import Scale, colour_depth, fair_range
from depthmix.plot.figures import draw_panels
from depthmix.plot.panels import Panel, label_panel, label_scale
from depthmix.plot.words import label_unit, sample_title
from depthmix.sample import DEPTH_KINDS, LabelKind, Sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["label_edges", "shared_scale", "show_edges", "show_labels", "show_map", "show_sigma"]

EDGE = (255, 60, 170)  # found in no photograph and in neither colour map


def shared_scale(samples: Sequence[Sample]) -> Scale:
    """Return one robust scale for labels of one kind, so that equal colours mean equal numbers.

    Raises:
        ValueError: the labels differ in kind, or there is none with a depth.
    """
    kinds = {sample.kind for sample in samples}
    if len(kinds) != 1 or not any(sample.valid.any() for sample in samples):
        found = ", ".join(sorted(kind.name for kind in kinds)) or "none"
        raise ValueError(f"`samples` must have depth labels of one kind, got {found}")
    ends = [label_scale(sample) for sample in samples if sample.valid.any()]
    first, low, high = ends[0], min(one.low for one in ends), max(one.high for one in ends)
    return Scale(low, high, first.unit, log=first.log, colours=first.colours)


def show_labels(samples: Sequence[Sample]) -> "Figure":
    """Draw the labels of several samples of one size and kind beside each other on one scale."""
    scale = shared_scale(samples)
    title = f"{len(samples)} labels on one scale"
    return draw_panels([label_panel(sample, scale, sample.name) for sample in samples], title)


def show_map(
    values: Float[np.ndarray, "h w"],
    *,
    unit: str = "m",
    valid: Bool[np.ndarray, "h w"] | None = None,
    scale: Scale | None = None,
    log: bool = True,
    image: UInt8[np.ndarray, "h w 3"] | None = None,
    title: str = "prediction",
) -> "Figure":
    """Draw a predicted map: depth in metres, or inverse depth with `log=False` and its own unit.

    Args:
        values: the map; near is bright.
        unit: unit of the numbers, written at the colour bar.
        valid: where it may be read; wherever it is finite by default.
        scale: such as that of a label; the middle 98 % of the map by default.
        log: equal ratios get equal steps of colour; for depth.
        image: drawn beside it, if given.
        title: one line above all.
    """
    known = np.isfinite(values) if valid is None else valid
    if scale is None:
        low, high = fair_range(values, known)
        scale = Scale(low, high, unit, log=log and low > 0, colours="magma_r" if log else "magma")
    rgb = colour_depth(values, known, scale.low, scale.high, scale.log, colours=scale.colours)
    panels = [] if image is None else [Panel(image, "image")]
    return draw_panels([*panels, Panel(rgb, "prediction", scale)], title)


def show_sigma(sample: Sample) -> "Figure":
    """Draw the standard deviation of a label, in its unit and as a part of it.

    Raises:
        BadSample: its source has no noise model.
    """
    if sample.sigma is None:
        hint = "draw a source whose card states a noise model"
        raise BadSample("no noise model, so no sigma", sample=sample.name, field="sigma", hint=hint)
    share = 100 * sample.sigma / np.where(sample.valid, np.abs(sample.target), 1).clip(1e-12)
    panels = [
        Panel(sample.image, "image"),
        _sigma_panel(sample, sample.sigma, f"sigma, {label_unit(sample.kind)}", "one standard deviation"),
        _sigma_panel(sample, share, "sigma, % of the label", "relative to the label"),
    ]
    return draw_panels(panels, sample_title(sample))


def _sigma_panel(sample: Sample, values: Float[np.ndarray, "h w"], unit: str, title: str) -> Panel:
    low, high = fair_range(values, sample.valid)
    scale = Scale(low, high, unit, colours="viridis")
    rgb = colour_depth(values, sample.valid, low, high, False, sky=sample.sky, colours="viridis")
    return Panel(rgb, title, scale)


def label_edges(sample: Sample, step: float = 0.1) -> Bool[np.ndarray, "h w"]:
    """Mark valid pixels beside a jump of the label.

    Args:
        sample: the label.
        step: smallest jump: ratio of two neighbouring depths, less one; of inverse depth up to scale and
            shift, the part of its range that the middle 98 % of the label spans.

    Raises:
        ValueError: the label has no depth.
    """
    if sample.kind not in DEPTH_KINDS and sample.kind is not LabelKind.AFFINE_DISPARITY:
        raise ValueError(f"`sample` must have a label with depth, got {sample.kind.name}")
    if sample.kind in DEPTH_KINDS:
        values, jump = np.log(np.where(sample.valid, sample.target, 1)), np.log1p(step)
    else:
        low, high = fair_range(sample.target, sample.valid)
        values, jump = np.asarray(sample.target, np.float64), step * (high - low)
    marked = np.zeros(sample.valid.shape, np.bool_)
    for near, far in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1])):
        both = sample.valid[near] & sample.valid[far] & (np.abs(values[near] - values[far]) > jump)
        marked[near] |= both
        marked[far] |= both
    return marked


def show_edges(sample: Sample, step: float = 0.1) -> "Figure":
    """Draw the jumps of a label over the darkened image: they should lie on the edges of things.

    Args:
        sample: image and dense label.
        step: see `label_edges`.
    """
    marked = label_edges(sample, step)
    over = np.where(marked[..., None], np.array(EDGE), sample.image // 2).astype(np.uint8)
    panels = [Panel(sample.image, "image"), label_panel(sample), Panel(over, f"jumps above {step:.0%}")]
    return draw_panels(panels, sample_title(sample))
