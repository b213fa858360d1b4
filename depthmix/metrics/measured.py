"""Align one predicted map to its label, measure it there, and average figures over images or pixels."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from depthmix.alignment import align_median, align_scale, align_scale_shift, align_scale_shift_l1
from depthmix.geometry import unproject
from depthmix.metrics import functional as f

__all__ = ["ON_MAPS", "PIXELWISE", "aligned", "averaged", "on_maps", "pixelwise"]

Map = Float[Tensor, "1 1 h w"]
Mask = Bool[Tensor, "1 1 h w"]
Figures = dict[str, float]

# How figures of images make that of all their pixels: as they are, or squared under the root.
_MEANS: Final = ("abs_rel", "sq_rel", "log10", "delta1", "delta2", "delta3", "log_bias")
_ROOTS: Final = ("rmse", "rmse_log")
PIXELWISE: Final = (*_MEANS[:-1], *_ROOTS, "silog")
ON_MAPS: Final = ("normal_angle", "boundary_f1", "planarity_rms", "planarity_angle")


def aligned(
    depth: Map, target: Map, valid: Mask, alignment: str, cap: tuple[float, float] | None = None
) -> Map:
    """Return predicted depth after the alignment, clamped into the cap.

    Args:
        depth: positive predicted depth, in metres for "none", up to one factor for the others.
        target: labelled depth.
        valid: where both may be read; the fit reads nothing else.
        alignment: as in `Protocol.alignments`.
        cap: smallest and largest depth.

    Convention: no fit flips the sign. Aligned inverse depth is kept at or above that of the cap, without a
    cap at or above that of the farthest valid label.
    """
    p, g = depth[valid][None].double(), target[valid][None].double()
    everywhere = torch.ones_like(p, dtype=torch.bool)
    found = depth.double()
    if alignment == "median":
        found = found * align_median(p, g, everywhere)
    elif alignment == "scale":
        found = found * align_scale(p, g, everywhere)
    elif alignment == "affine_depth":
        scale, shift = align_scale_shift(p, g, everywhere)
        found = found * scale + shift
    elif alignment in ("affine_inverse_depth", "robust_inverse_depth"):
        fit = align_scale_shift if alignment == "affine_inverse_depth" else align_scale_shift_l1
        scale, shift = fit(1 / p, 1 / g, everywhere)
        lowest = (1 / g).min() if cap is None else torch.tensor(1 / cap[1], dtype=found.dtype)
        found = 1 / torch.maximum(scale / found + shift, lowest)
    elif alignment != "none":
        raise ValueError(f"no alignment is called {alignment!r}")
    return found if cap is None else found.clamp(*cap)


def pixelwise(depth: Map, target: Map, valid: Mask) -> Figures:
    """Measure every pixel of its own, and the mean logarithm of prediction over label as `log_bias`."""
    # Few of the pixels of a laser label are valid: picking them first spares most of the work.
    p, g = (x[valid].double()[None, None, None] for x in (depth, target))
    label = (p, g, torch.ones_like(p, dtype=torch.bool))
    found = {name: getattr(f, name)(*label) for name in PIXELWISE if not name.startswith("delta")}
    found |= {f"delta{k}": f.delta(*label, threshold=1.25**k) for k in (1, 2, 3)}
    found["log_bias"] = (p.clamp_min(0).log() - g.log()).mean()
    return {name: float(value) for name, value in found.items()}


def on_maps(
    name: str,
    depth: Map,
    target: Map,
    valid: Mask,
    planes: Int[Tensor, "1 1 h w"],
    camera: Float[Tensor, "1 4"],
) -> float:
    """Measure one of `ON_MAPS`, for which a pixel has neighbours; NaN where the label cannot bear it.

    Args:
        name: which one.
        depth: aligned prediction.
        target: labelled depth.
        valid: where the label may be read.
        planes: plane instances, 0 = none.
        camera: fx, fy, cx, cy in pixels of these maps.
    """
    if name == "boundary_f1":
        return float(f.boundary_f1(depth, target, valid))
    if name == "normal_angle":
        return float(f.normal_angle(depth, target, valid, camera))
    instances = torch.where(valid, planes, 0)
    points = unproject(depth.double(), camera.double())
    if name == "planarity_rms":
        return float(f.planarity_rms(points, instances))
    return float(f.planarity_angle(points, unproject(target.double(), camera.double()), instances))


def averaged(images: Sequence[Mapping[str, float]], pixels: Sequence[int], pooled: bool) -> Figures:
    """Average the figures of images, each counted once, or each of their pixels counted once.

    Args:
        images: one mapping of figures an image, as `pixelwise` and `on_maps` give them.
        pixels: how many pixels of each image were read.
        pooled: whether pixels count, not images. Figures of maps have no pooled form and are left out.
    """
    names = list(dict.fromkeys(name for image in images for name in image))
    if not pooled:
        return {name: _mean(image[name] for image in images if name in image) for name in names}
    total = sum(pixels)

    def over_pixels(name: str, power: int) -> float:
        return sum(image[name] ** power * n for image, n in zip(images, pixels, strict=True)) / total

    found = {name: over_pixels(name, 1) for name in _MEANS}
    found |= {name: math.sqrt(over_pixels(name, 2)) for name in _ROOTS}
    spread = over_pixels("rmse_log", 2) - found["log_bias"] ** 2
    found["silog"] = math.sqrt(max(spread, 0.0)) if math.isfinite(found["rmse_log"]) else math.inf
    return found


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
