"""Judge a trained network on raw data by the rules of a protocol, image by image at the size of the label."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from depthmix.batch import Batch, collate
from depthmix.canonical import canonical_size
from depthmix.errors import BadSample, BadSource, ConfigError
from depthmix.metrics import METRICS, DepthMetrics, EvaluationSet
from depthmix.metrics.crops import crop_mask, crop_window
from depthmix.metrics.pixels import PIXEL_MEASURES
from depthmix.metrics.protocol import Protocol
from depthmix.predict.look import network_image, network_size
from depthmix.prediction import Prediction
from depthmix.sample import DEPTH_KINDS, Intrinsics, LabelKind, Sample
from depthmix.sources.base import Source
from depthmix.trained import Trained, neutral_camera, predict_batch

__all__ = ["EMPTY", "Outcome", "evaluate", "predicted_depth", "read_by"]

EMPTY: Final = "no label inside crop and cap"

Map = Float[Tensor, "1 1 h w"]
Image = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Hold the figures of an evaluation.

    Args:
        rows: one an alignment, as `DepthMetrics.rows` gives them; measures that the protocol does not report
            are None. Where the protocol averages over pixels, so do the figures without a prefix.
        images: one an image and alignment, as `DepthMetrics.images` gives them, with the number of pixels.
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
        ConfigError: labels of this source cannot be measured so.
        BadSource, BadSample: a sample cannot be read and `on_bad` is "error".
        DepthmixError: the network's map is not finite.
    """
    metrics = DepthMetrics([_set(trained, source, protocol)])
    skipped: dict[str, str] = {}
    pixels: dict[str, int] = {}
    blind = 0
    for number, key in enumerate(keys):
        progress(number, len(keys))
        try:
            sample = source.read(key)
        except (BadSource, BadSample) as error:
            if on_bad == "error":
                raise
            skipped[key] = str(error)
            continue
        valid = read_by(protocol, sample)
        if not valid.any():
            skipped[key] = EMPTY
            continue
        metrics.update(*_measurable(trained, sample, valid, protocol), 0)
        pixels[sample.name] = int(valid.sum())
        blind += sample.intrinsics is None
    progress(len(keys), len(keys))
    return Outcome(
        rows=[_reported(row, protocol) for row in (metrics.rows() if pixels else [])],
        images=[_of_image(row, pixels, protocol) for row in (metrics.images() if pixels else [])],
        measured=len(pixels),
        skipped=skipped,
        notes=_notes(trained, protocol, len(pixels), blind),
    )


def predicted_depth(trained: Trained, image: Image, camera: Intrinsics | None, protocol: Protocol) -> Map:
    """Predict depth at the size of an image, as the protocol has it seen and brought back.

    Returns:
        z in metres where the camera is known and the network has learned metres, else up to one factor.
    """
    size, (rows, columns) = _shown_size(trained, image, camera, protocol), image.shape[:2]
    seen = camera and camera.resized(size[1] / columns, size[0] / rows)
    device = next((parameter.device for parameter in trained.net.parameters()), torch.device("cpu"))
    shown = network_image(image, size)[None].to(device)
    with torch.inference_mode():
        maps = _in_space(trained, shown, seen, protocol.resize)
        if protocol.flip:
            turned = seen and seen.mirrored(size[1])
            maps = (maps + _in_space(trained, shown.flip(-1), turned, protocol.resize).flip(-1)) / 2
        maps = interpolate(maps, (rows, columns), mode="bilinear", align_corners=False)
    return (maps if protocol.resize == "depth" else 1 / maps).cpu()


def read_by(protocol: Protocol, sample: Sample) -> Bool[np.ndarray, "h w"]:
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


def _measurable(
    trained: Trained, sample: Sample, valid: Bool[np.ndarray, "h w"], protocol: Protocol
) -> tuple[Prediction, Batch]:
    """Return what `DepthMetrics` takes: the prediction at the size of the label, and the label."""
    cut = _window(protocol.cut, sample.size)
    maps = {name: getattr(sample, name)[cut].copy() for name in ("image", "target", "sky", "planes")}
    camera = sample.intrinsics and sample.intrinsics.cropped(cut[1].start, cut[0].start)
    part = sample.replaced(**maps, valid=valid, sigma=None, pairs=None, intrinsics=camera)
    depth = predicted_depth(trained, part.image, camera, protocol)
    batch = collate([part], [0])
    neutral = neutral_camera(*part.size, trained.focal_canonical)
    cameras = batch.camera_or(neutral)
    as_seen = Prediction(torch.zeros_like(batch.target), cameras, trained.focal_canonical)
    prediction = replace(as_seen, log_canonical=(depth.log() - as_seen.focal_ratio.log()).float())
    # What one pixel cannot bear alone needs the maps; for all else the pixels that are read will do, which
    # are a few in a hundred of a laser's.
    return (prediction, batch) if set(protocol.metrics) - set(PIXEL_MEASURES) else _picked(prediction, batch)


def _picked(prediction: Prediction, batch: Batch) -> tuple[Prediction, Batch]:
    """Line up the valid pixels, and twice as many that are not, so that none are taken for neighbours."""
    chosen = batch.valid.flatten().nonzero().flatten().repeat(3)
    size = (1, 1, 1, len(chosen))
    valid = torch.arange(len(chosen)).reshape(size) < len(chosen) // 3
    nothing = torch.zeros(size)
    picked = replace(
        batch,
        image=torch.zeros((1, 3, 1, len(chosen)), dtype=torch.uint8),
        target=torch.where(valid, batch.target.flatten()[chosen].reshape(size), 0),
        valid=valid,
        sky=nothing.bool(),
        planes=nothing.int(),
        sigma=nothing,
    )
    return replace(prediction, log_canonical=prediction.log_canonical.flatten()[chosen].reshape(size)), picked


def _set(trained: Trained, source: Source, protocol: Protocol) -> EvaluationSet:
    card, kind = source.card, type(source).__name__
    if card.kind not in DEPTH_KINDS:
        reason = f"{kind} gives labels of kind {card.kind.name}, which is no depth"
        raise ConfigError(reason, field="source")
    if card.kind is not LabelKind.METRIC_DEPTH and "none" in protocol.alignments:
        reason = f"none needs metres, but {kind} gives {card.kind.name}"
        raise ConfigError(reason, field="alignments")
    wanted = [one for one in protocol.alignments if one != "none" or trained.metric]
    if not wanted:
        hint = "add another alignment, or train with a metric loss"
        raise ConfigError(
            "none needs metres, which the network has not learned", field="alignments", hint=hint
        )
    cap = None if protocol.cap is None else (protocol.cap[0], protocol.cap[1])
    tier = card.quality.name.lower()
    return EvaluationSet(protocol.name, card.family, tier, card.kind.name, tuple(wanted), cap)


def _reported(row: dict[str, Any], protocol: Protocol) -> dict[str, Any]:
    """Keep the measures that the protocol reports, averaged as it says."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        plain = name.removeprefix("pooled_")
        if plain not in METRICS:
            found[name] = value
        elif name == plain:
            average = f"pooled_{name}" if protocol.average == "pixel" else name
            found[name] = row.get(average) if name in protocol.metrics else None
        elif plain in protocol.metrics:
            found[name] = value
    return found


def _of_image(row: dict[str, Any], pixels: dict[str, int], protocol: Protocol) -> dict[str, Any]:
    kept = {name: x for name, x in row.items() if name not in METRICS or name in protocol.metrics}
    return kept | {"pixels": pixels[row["image"]]}


def _notes(trained: Trained, protocol: Protocol, measured: int, blind: int) -> list[str]:
    if "none" not in protocol.alignments:
        return []
    if not trained.metric:
        return ["no row without alignment: the network has not learned metres"]
    if blind:
        known = measured - blind
        return [f"without alignment {known} of {measured} images: the camera of the others is not known"]
    return []


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
