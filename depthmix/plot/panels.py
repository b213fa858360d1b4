"""The small pictures that figures and reports are made of: each with a title and the scale of its colours."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from depthmix.plot.colour import (
    Scale,
    colour_depth,
    colour_normals,
    colour_planes,
    colour_signed,
    colour_valid,
    fair_range,
    thicken,
)
from depthmix.plot.compare import Comparison, compare
from depthmix.plot.pairs import draw_pairs, wrong_pairs
from depthmix.plot.words import label_unit, short_kind
from depthmix.sample import DEPTH_KINDS, LabelKind, Sample

__all__ = [
    "Panel",
    "label_panel",
    "label_scale",
    "sample_normals",
    "sample_panels",
    "stack_panels",
    "strip_panels",
]

SPARSE = 0.3  # below this share of valid pixels a label is thickened for display


@dataclass(frozen=True, slots=True)
class Panel:
    """Hold one coloured picture, what it shows, and the scale of its colours if it has one."""

    rgb: UInt8[np.ndarray, "h w 3"]
    title: str
    scale: Scale | None = None


def sample_panels(sample: Sample) -> list[Panel]:
    """Make the panels that a sample can bear: image, label, validity, pairs, planes, normals."""
    panels = [Panel(sample.image, "image")]
    if sample.valid.any():
        panels.append(label_panel(sample))
        panels.append(Panel(colour_valid(sample.valid, sample.sky), "valid (green), unknown, sky (blue)"))
    if sample.pairs is not None and len(sample.pairs):
        panels.append(_pairs(sample))
    if (sample.planes > 0).any():
        panels.append(_planes(sample))
    found = sample_normals(sample)
    if found is not None:
        panels.append(Panel(colour_normals(*found), "normals: red right, green up, blue to camera"))
    return panels


def strip_panels(
    sample: Sample, depth: Float32[np.ndarray, "h w"] | None = None, *, metric: bool = False
) -> list[Panel]:
    """Make image and label, with a prediction also prediction and signed error on shared scales, else planes.

    Args:
        sample: image and label.
        depth: predicted depth, everywhere positive; None leaves the two panels out.
        metric: whether `depth` is in metres; if not it is fitted to the label by scale and shift.
    """
    draw = {LabelKind.NONE: _planes, LabelKind.ORDINAL: _pairs}.get(sample.kind, label_panel)
    panels = [Panel(sample.image, "image"), draw(sample)]
    if depth is None:
        more = sample.kind is not LabelKind.NONE and (sample.planes > 0).any()
        return [*panels, _planes(sample)] if more else panels
    if sample.kind is LabelKind.ORDINAL:
        return [*panels, _without_label(1 / np.asarray(depth, np.float64)), _wrong_order(sample, depth)]
    found = compare(sample, depth, metric=metric)
    return [*panels, _prediction(sample, found), _error(found)]


def sample_normals(
    sample: Sample,
) -> tuple[Float[np.ndarray, "3 h w"], Bool[np.ndarray, "h w"]] | None:
    """Return unit normals of the label and where they are valid; None without dense depth and camera."""
    if sample.kind not in DEPTH_KINDS or sample.intrinsics is None or sample.valid.mean() < SPARSE:
        return None
    import torch  # half a second: labels without a camera are drawn without

    from depthmix.geometry import normals

    camera = sample.intrinsics
    row = torch.tensor([[camera.fx, camera.fy, camera.cx, camera.cy]])
    valid = torch.from_numpy(sample.valid[None, None])
    found, good = normals(torch.from_numpy(sample.target[None, None]), row, valid)
    return found[0].numpy(), good[0, 0].numpy()


def label_scale(sample: Sample) -> Scale:
    """Choose the scale of a label: log for depth, linear for inverse depth; near is bright in both."""
    low, high = fair_range(sample.target, sample.valid)
    unit = label_unit(sample.kind)
    if sample.kind in DEPTH_KINDS:
        return Scale(low, high, unit, log=True, colours="magma_r")
    return Scale(low, high, unit, colours="magma")


def stack_panels(panels: list[Panel], gap: int = 2) -> UInt8[np.ndarray, "h w 3"]:
    """Put panels of one height beside each other as one picture, without titles."""
    white = np.full((panels[0].rgb.shape[0], gap, 3), 255, np.uint8)
    parts = [part for panel in panels for part in (white, panel.rgb)]
    return np.concatenate(parts[1:], axis=1)


def label_panel(sample: Sample, scale: Scale | None = None, title: str | None = None) -> Panel:
    """Colour the label of a sample; few points are drawn wider than they are.

    Args:
        sample: a sample with depth or inverse depth.
        scale: of several samples; its own by default.
        title: instead of the kind of the label.
    """
    values, valid, scale = sample.target, sample.valid, scale or label_scale(sample)
    title = title or short_kind(sample.kind)
    if valid.mean() < SPARSE:
        radius = _radius(valid)
        values, valid = thicken(values, valid, radius=radius, near_is_small=sample.kind in DEPTH_KINDS)
        title += f" (points drawn {2 * radius + 1} pixels wide)"
    return Panel(_coloured(values, valid & ~sample.sky, scale, sample.sky), title, scale)


def _planes(sample: Sample) -> Panel:
    count = len(np.unique(sample.planes[sample.planes > 0]))
    return Panel(colour_planes(sample.planes), f"{count} plane{'' if count == 1 else 's'}")


def _pairs(sample: Sample) -> Panel:
    assert sample.pairs is not None
    title = f"{len(sample.pairs)} pairs: orange nearer, purple farther"
    return Panel(draw_pairs(sample.image, sample.pairs), title)


def _wrong_order(sample: Sample, depth: Float32[np.ndarray, "h w"]) -> Panel:
    assert sample.pairs is not None
    wrong, ordered = wrong_pairs(depth, sample.pairs)
    title = f"error: order wrong in {int(wrong.sum())} of {ordered} pairs"
    return Panel(draw_pairs(sample.image, sample.pairs[wrong]), title)


def _prediction(sample: Sample, found: Comparison) -> Panel:
    if sample.kind is LabelKind.NONE:
        return _without_label(found.values)
    scale, everywhere = label_scale(sample), np.ones(found.values.shape, np.bool_)
    words = "scale and shift fitted" if found.fitted else "as predicted"
    return Panel(_coloured(found.values, everywhere, scale), f"prediction, {words}", scale)


def _without_label(inverse: Float[np.ndarray, "h w"]) -> Panel:
    """Colour a prediction that no label gives a scale to."""
    everywhere = np.ones(inverse.shape, np.bool_)
    low, high = fair_range(inverse, everywhere)
    scale = Scale(low, high, "1/z, own scale", colours="magma")
    return Panel(_coloured(inverse, everywhere, scale), "prediction, inverse depth", scale)


def _error(found: Comparison) -> Panel:
    size = np.abs(found.error)
    limit = max(fair_range(size, found.known, share=0.9)[1], 1.0)
    error, known = found.error, found.known
    if known.mean() < SPARSE:
        error, known = thicken(error, known, radius=_radius(known))
    scale = Scale(-limit, limit, found.error_words, colours="PuOr_r")
    return Panel(colour_signed(error, known, limit), "error: orange too far, purple too near", scale)


def _coloured(
    values: Float[np.ndarray, "h w"],
    valid: Bool[np.ndarray, "h w"],
    scale: Scale,
    sky: Bool[np.ndarray, "h w"] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    return colour_depth(values, valid, scale.low, scale.high, scale.log, sky=sky, colours=scale.colours)


def _radius(valid: Bool[np.ndarray, "h w"]) -> int:
    """Choose how far a point may spread: half the usual distance of points, at most 1 % of the width."""
    gap = 1 / np.sqrt(max(float(valid.mean()), 1e-6))
    return int(np.clip(round(gap / 2), 1, max(1, valid.shape[1] // 100)))
