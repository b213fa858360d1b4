"""From images of any size to maps of numbers whose kind and unit are stated."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from jaxtyping import Float32, UInt8

from depthmix.canonical import canonical_size
from depthmix.errors import ConfigError
from depthmix.predict.look import look, network_size, with_detail
from depthmix.predict.photo import ESTIMATED, Focal, camera_of
from depthmix.sample import Intrinsics

if TYPE_CHECKING:
    from torch import Tensor

    from depthmix.trained import Trained

__all__ = ["METRIC", "RELATIVE", "PredictedDepth", "predict_image", "predict_images"]

METRIC: Final = "metric depth"
RELATIVE: Final = "relative inverse depth, unknown scale and shift"
GIVEN: Final = "as given"
LONGEST: Final = 5.0  # log of focal length over diagonal beyond which, either way, there is no lens


@dataclass(frozen=True, slots=True)
class PredictedDepth:
    """Hold one predicted map and what its numbers mean.

    Args:
        values: z in metres if `metric`, else inverse depth of unknown scale and shift; always positive.
        metric: whether `values` are metres.
        focal_used: focal length in pixels (geometric mean of fx and fy) behind the metres, else None.
        focal_origin: where that focal length comes from, in words.
    """

    values: Float32[np.ndarray, "h w"]
    metric: bool
    focal_used: float | None
    focal_origin: str | None = None

    @property
    def kind(self) -> str:
        """What the numbers are, in words."""
        return METRIC if self.metric else RELATIVE

    @property
    def unit(self) -> str:
        """Unit of the numbers; a relative map has none."""
        return "m" if self.metric else "none"

    @property
    def facts(self) -> dict[str, str | float | None]:
        """What every file of this map states: kind, unit, focal_used and focal_origin."""
        names = ("kind", "unit", "focal_used", "focal_origin")
        return {name: getattr(self, name) for name in names}

    @property
    def texts(self) -> dict[str, str]:
        """The same for files that hold nothing but texts; what is not known is left out."""
        known = {name: fact for name, fact in self.facts.items() if fact is not None}
        return {name: fact if isinstance(fact, str) else repr(fact) for name, fact in known.items()}


def predict_image(
    trained: "Trained",
    image: UInt8[np.ndarray, "h w 3"],
    intrinsics: Intrinsics | None = None,
    *,
    flip: bool = False,
    tiles: int = 1,
) -> PredictedDepth:
    """Predict the depth of an image of any size; see `predict_images`."""
    return predict_images(trained, [image], [intrinsics], flip=flip, tiles=tiles)[0]


def predict_images(
    trained: "Trained",
    images: Sequence[UInt8[np.ndarray, "h w 3"]],
    cameras: Sequence[Intrinsics | None],
    *,
    flip: bool = False,
    tiles: int = 1,
    batch: int = 1,
) -> list[PredictedDepth]:
    """Predict the depth of images of any size.

    The network sees an image at the area it was trained on, with its aspect ratio kept and the camera
    following, or if it was trained in the image form of canonical camera space at the canonical focal length;
    its answer is interpolated back in log depth, where steps of equal ratio are equal. With tiles it looks
    again at parts, each at the area it was trained on: their detail is brought to the level of the whole by
    one factor a tile, the median of all ratios, and blended where tiles overlap.

    Args:
        trained: network and what its checkpoint says about it; it computes where its weights are.
        images: RGB.
        cameras: the camera of each image, or None where it is not known; then a network with a focal head
            estimates the focal length, of an image that was not cropped.
        flip: also predict the mirrored image, and take the geometric mean of both; twice the work.
        tiles: of each side, overlapping by half: n * n further looks at (n + 1) / 2 times the resolution.
        batch: images or tiles of equal size that the network sees at once.

    Returns:
        Metres only if the network learned metres and the focal length is known or estimated; relative inverse
        depth otherwise.

    Raises:
        ConfigError: the network answers with numbers that are not finite or a focal length that no lens has,
            the GPU has no room, or no number of tiles or images.
    """
    import torch

    for name, number in {"tiles": tiles, "batch": batch}.items():
        if number < 1:
            raise ConfigError(f"must be at least 1, got {number}", field=name)
    known = list(cameras) if trained.metric else [None] * len(images)
    with torch.inference_mode(), _room(batch):
        maps, known = _whole(trained, images, known, flip, batch)
        if tiles > 1:
            maps = [
                with_detail(trained, image, camera, log_depth, tiles, flip, batch)
                for image, camera, log_depth in zip(images, known, maps, strict=True)
            ]
    return [
        _named(log_depth, camera, GIVEN if given else ESTIMATED)
        for log_depth, camera, given in zip(maps, known, cameras, strict=True)
    ]


@contextmanager
def _room(batch: int) -> Iterator[None]:
    import torch

    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        hint = "lower --batch, or predict with --device cpu"
        raise ConfigError(f"a GPU has no room for {batch} at once", field="batch", hint=hint) from error


def _named(log_depth: "Tensor", camera: Intrinsics | None, origin: str) -> PredictedDepth:
    values = (log_depth if camera else -log_depth).exp()[0].numpy().astype(np.float32)
    broken = int((~np.isfinite(values)).sum())
    if broken:
        reason = f"the network gives {broken} of {values.size} values that are not finite"
        raise ConfigError(
            reason, field="checkpoint", hint="its training has diverged: use another checkpoint"
        )
    if camera is None:
        return PredictedDepth(values, False, None)
    return PredictedDepth(values, True, _focal(camera), origin)


def _whole(
    trained: "Trained",
    images: Sequence[UInt8[np.ndarray, "h w 3"]],
    cameras: Sequence[Intrinsics | None],
    flip: bool,
    batch: int,
) -> tuple[list["Tensor"], list[Intrinsics | None]]:
    """Return log depth of each image as a whole, and the camera behind its metres."""
    sizes = [_size(trained, image, camera) for image, camera in zip(images, cameras, strict=True)]
    seen = look(trained, images, cameras, sizes, flip, batch)
    maps, known = [one.log_depth for one in seen], list(cameras)
    blind = [number for number, camera in enumerate(cameras) if camera is None]
    if not (trained.metric and blind and "focal" in trained.heads):
        return maps, known
    for number in blind:
        known[number] = camera = _estimated(images[number], seen[number].log_focal, sizes[number])
        # The look saw through the canonical camera; all else would have come out the same.
        scale = math.sqrt(math.prod(sizes[number]) / math.prod(images[number].shape[:2]))
        maps[number] = maps[number] + math.log(_focal(camera) * scale / trained.focal_canonical)
    return maps, known


def _size(
    trained: "Trained", image: UInt8[np.ndarray, "h w 3"], camera: Intrinsics | None
) -> tuple[int, int]:
    """Return the size at which the network sees a whole image."""
    size = (image.shape[0], image.shape[1])
    if trained.form == "label" or camera is None:
        return network_size(size, trained.height, trained.width)
    return canonical_size(size, _focal(camera), trained.focal_canonical, trained.height * trained.width)


def _estimated(
    image: UInt8[np.ndarray, "h w 3"], log_focal: float | None, seen: tuple[int, int]
) -> Intrinsics:
    """Return the camera of an image that was seen at a size where its focal head stated `log_focal`."""
    if log_focal is None or not abs(log_focal) <= LONGEST:
        reason = f"the focal head states a focal length of exp({log_focal}) diagonals, which no lens has"
        hint = "give --focal-px or --fov-degrees, or use another checkpoint"
        raise ConfigError(reason, field="checkpoint", hint=hint)
    size = (image.shape[0], image.shape[1])
    scale = math.sqrt(math.prod(seen) / math.prod(size))
    return camera_of(Focal(math.exp(log_focal) * math.hypot(*seen) / scale, ESTIMATED), size)


def _focal(camera: Intrinsics) -> float:
    return math.sqrt(camera.fx * camera.fy)
