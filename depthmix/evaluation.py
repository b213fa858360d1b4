"""Judge a trained network on raw data by the rules of a protocol, image by image at the size of the label."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import interpolate

from depthmix.canonical import canonical_size
from depthmix.errors import BadSample, BadSource, ConfigError, DepthmixError
from depthmix.metrics.crops import crop_mask, crop_window
from depthmix.metrics.evaluate import METRICS
from depthmix.metrics.measured import ON_MAPS, PIXELWISE, aligned, averaged, on_maps, pixelwise
from depthmix.metrics.protocol import Protocol
from depthmix.predict.look import network_image, network_size
from depthmix.sample import DEPTH_KINDS, Intrinsics, LabelKind, Sample
from depthmix.sources.base import Source
from depthmix.trained import Trained, neutral_camera, predict_batch

__all__ = ["Outcome", "evaluate", "predicted_depth", "readable"]

EMPTY: Final = "no label inside crop and cap"

Map = Float[Tensor, "1 1 h w"]
Image = np.ndarray


@dataclass(frozen=True, slots=True)
class Outcome:
    """Hold the figures of an evaluation.

    Args:
        rows: one a alignment, in the form of `DepthMetrics.rows`.
        images: one an image and alignment: set, alignment, image, pixels and its figures, None where it
            cannot bear a measure or the measure is not finite.
        measured: images that count.
        skipped: reason by key of images that do not.
        notes: what could not be measured, and why.
    """

    rows: list[dict[str, Any]]
    images: list[dict[str, Any]]
    measured: int
    skipped: dict[str, str]
    notes: list[str]


def evaluate(
    trained: Trained,
    source: Source,
    keys: Sequence[str],
    protocol: Protocol,
    *,
    on_bad: Literal["error", "skip"] = "error",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Predict and measure samples of a raw copy.

    Args:
        trained: the network; it computes where its weights are.
        source: reads the raw copy.
        keys: of the samples.
        protocol: the rules.
        on_bad: what a sample that cannot be read does.
        progress: is told how many are done, of how many.

    Raises:
        ConfigError: labels of this source cannot be measured in depth, or the protocol names a measure that
            is not known here.
        BadSource, BadSample: a sample cannot be read and `on_bad` is "error".
        DepthmixError: the network's map is not finite.
    """
    _check(source, protocol)
    images: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    cameras, counted = 0, 0
    for number, key in enumerate(keys):
        progress(number, len(keys))
        try:
            sample = source.read(key)
        except (BadSource, BadSample) as error:
            if on_bad == "error":
                raise
            skipped[key] = str(error)
            continue
        found = _measure(trained, sample, protocol)
        if not found:
            skipped[key] = EMPTY
        counted += bool(found)
        cameras += bool(found) and sample.intrinsics is not None
        images += found
    progress(len(keys), len(keys))
    rows = [_row(images, alignment, source, protocol) for alignment in protocol.alignments]
    notes = _notes(trained, protocol, counted, cameras)
    plain = [
        {name: _plain(x) if isinstance(x, float) else x for name, x in image.items()} for image in images
    ]
    return Outcome([row for row in rows if row["count"]], plain, counted, skipped, notes)


def predicted_depth(trained: Trained, image: Image, camera: Intrinsics | None, protocol: Protocol) -> Map:
    """Predict depth at the size of an image, as the protocol has it seen and brought back.

    Returns:
        z in metres where the camera is known and the network has learned metres, else up to one factor.
    """
    size, rows = _shown_size(trained, image, camera, protocol), image.shape[:2]
    seen = camera and camera.resized(size[1] / rows[1], size[0] / rows[0])
    device = next((parameter.device for parameter in trained.net.parameters()), torch.device("cpu"))
    shown = network_image(image, size)[None].to(device)
    with torch.inference_mode():
        maps = _in_space(trained, shown, seen, protocol.resize)
        if protocol.flip:
            turned = seen and seen.mirrored(size[1])
            maps = (maps + _in_space(trained, shown.flip(-1), turned, protocol.resize).flip(-1)) / 2
        maps = interpolate(maps, rows, mode="bilinear", align_corners=False)
        return maps if protocol.resize == "depth" else 1 / maps


def readable(sample: Sample, protocol: Protocol) -> Bool[np.ndarray, "h w"]:
    """Mark the labels that the protocol reads, in pixels of the cut image."""
    cut = _window(protocol.cut, sample.size)
    valid: Bool[np.ndarray, "h w"] = sample.valid[cut]
    if protocol.crop_of == "cut":
        valid = valid & crop_mask(protocol.crop, (valid.shape[0], valid.shape[1]))
    else:
        valid = valid & crop_mask(protocol.crop, sample.size)[cut]
    if protocol.cap is None:
        return valid
    low, high = protocol.cap
    return valid & (sample.target[cut] > low) & (sample.target[cut] < high)


def _measure(trained: Trained, sample: Sample, protocol: Protocol) -> list[dict[str, Any]]:
    cut = _window(protocol.cut, sample.size)
    valid = readable(sample, protocol)
    if not valid.any():
        return []
    camera = sample.intrinsics and sample.intrinsics.cropped(cut[1].start, cut[0].start)
    depth = predicted_depth(trained, np.ascontiguousarray(sample.image[cut]), camera, protocol).cpu()
    if not depth.isfinite().all():
        hint = "the checkpoint is damaged or its training diverged"
        raise DepthmixError("the network's map is not finite", sample=sample.name, hint=hint)
    target, mask, planes = (
        torch.from_numpy(x.copy())[None, None] for x in (sample.target[cut], valid, sample.planes[cut])
    )
    numbers = None if camera is None else torch.tensor([[camera.fx, camera.fy, camera.cx, camera.cy]])
    cap = None if protocol.cap is None else (protocol.cap[0], protocol.cap[1])
    found = []
    for alignment in protocol.alignments:
        if alignment == "none" and (camera is None or not trained.metric):
            continue
        fitted = aligned(depth, target, mask, alignment, cap)
        figures = pixelwise(fitted, target, mask)
        for name in protocol.metrics:
            if name in ON_MAPS and (numbers is not None or name == "boundary_f1"):
                where = numbers if numbers is not None else torch.ones(1, 4)
                figures[name] = on_maps(name, fitted, target, mask, planes, where)
        facts = {"set": protocol.name, "alignment": alignment, "image": sample.name}
        found.append({**facts, "pixels": int(valid.sum()), **figures})
    return found


def _row(
    images: Sequence[Mapping[str, Any]], alignment: str, source: Source, protocol: Protocol
) -> dict[str, Any]:
    some = [image for image in images if image["alignment"] == alignment]
    figures = [{name: x for name, x in image.items() if isinstance(x, float)} for image in some]
    pooled = protocol.average == "pixel"
    found = averaged(figures, [image["pixels"] for image in some], pooled) if some else {}
    reported = {name: found.get(name, math.nan) for name in METRICS if name in protocol.metrics}
    card = source.card
    return {
        "set": protocol.name,
        "family": card.family,
        "tier": card.quality.name.lower(),
        "kind": card.kind.name,
        "count": len(some),
        "alignment": alignment,
        **{name: _plain(reported.get(name, math.nan)) for name in METRICS},
    }


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _notes(trained: Trained, protocol: Protocol, counted: int, cameras: int) -> list[str]:
    if "none" not in protocol.alignments or not counted:
        return []
    if not trained.metric:
        return ["no row without alignment: the network has not learned metres"]
    if cameras < counted:
        return [f"without alignment {cameras} of {counted} images: the camera of the others is not known"]
    return []


def _check(source: Source, protocol: Protocol) -> None:
    if source.card.kind not in DEPTH_KINDS:
        reason = f"{type(source).__name__} gives labels of kind {source.card.kind.name}, which is no depth"
        raise ConfigError(reason, field="source")
    if source.card.kind is not LabelKind.METRIC_DEPTH and "none" in protocol.alignments:
        reason = f"none needs metres, but {type(source).__name__} gives {source.card.kind.name}"
        raise ConfigError(reason, field="alignments")
    for name in protocol.metrics:
        if name not in METRICS or name not in (*PIXELWISE, *ON_MAPS):
            known = ", ".join((*PIXELWISE, *ON_MAPS))
            raise ConfigError(f"no measure is called {name!r}; known are {known}", field="metrics")


def _shown_size(
    trained: Trained, image: Image, camera: Intrinsics | None, protocol: Protocol
) -> tuple[int, int]:
    size = (image.shape[0], image.shape[1])
    if isinstance(protocol.size, list):
        return protocol.size[0], protocol.size[1]
    if protocol.size == "native":
        return size
    if trained.form == "image" and trained.metric and camera is not None:
        focal = math.sqrt(camera.fx * camera.fy)
        return canonical_size(size, focal, trained.focal_canonical, trained.height * trained.width)
    return network_size(size, trained.height, trained.width)


def _in_space(trained: Trained, image: Tensor, camera: Intrinsics | None, space: str) -> Map:
    """Predict depth or inverse depth at the size that the network sees, in float64."""
    height, width = image.shape[-2:]
    numbers = neutral_camera(height, width, trained.focal_canonical)
    if camera is not None:
        numbers = torch.tensor([camera.fx, camera.fy, camera.cx, camera.cy])
    log_depth = predict_batch(trained, image, numbers[None].to(image)).log_depth.double()
    return (log_depth if space == "depth" else -log_depth).exp()


def _window(name: str, size: tuple[int, int]) -> tuple[slice, slice]:
    top, bottom, left, right = crop_window(name, size)
    return slice(top, bottom), slice(left, right)
