"""From one image of any size to one map of numbers whose kind and unit are stated."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from jaxtyping import Float32, UInt8

from depthmix.errors import ConfigError
from depthmix.sample import Intrinsics

if TYPE_CHECKING:
    from torch import Tensor

    from depthmix.trained import Trained

__all__ = ["METRIC", "RELATIVE", "PredictedDepth", "network_size", "predict_image"]

METRIC: Final = "metric depth"
RELATIVE: Final = "relative inverse depth, unknown scale and shift"
MINIMUM_SIDE: Final = 32  # the shortest side that networks are asked to take


@dataclass(frozen=True, slots=True)
class PredictedDepth:
    """Hold one predicted map and what its numbers mean.

    Args:
        values: z in metres if `metric`, else inverse depth of unknown scale and shift; always positive.
        metric: whether `values` are metres.
        focal_used: focal length in pixels (geometric mean of fx and fy) behind the metres, else None.
    """

    values: Float32[np.ndarray, "h w"]
    metric: bool
    focal_used: float | None

    @property
    def kind(self) -> str:
        """What the numbers are, in words."""
        return METRIC if self.metric else RELATIVE

    @property
    def unit(self) -> str:
        """Unit of the numbers; a relative map has none."""
        return "m" if self.metric else "none"


def predict_image(
    trained: "Trained",
    image: UInt8[np.ndarray, "h w 3"],
    intrinsics: Intrinsics | None = None,
    *,
    flip: bool = False,
    tiles: int = 1,
) -> PredictedDepth:
    """Predict the depth of an image of any size.

    The network sees the image at the area it was trained on, with its aspect ratio kept and the camera
    following; its answer is interpolated back in log depth, where steps of equal ratio are equal. With tiles
    it looks again at parts, each as large to it as the whole was: their detail is brought to the level of the
    whole by one factor a tile, the median of all ratios, and blended where tiles overlap.

    Args:
        trained: network and what its checkpoint says about it.
        image: RGB.
        intrinsics: the camera, or None where it is not known.
        flip: also predict the mirrored image, and take the geometric mean of both; twice the work.
        tiles: of each side, overlapping by half: n * n further looks at (n + 1) / 2 times the resolution.

    Returns:
        Metres only if the network learned metres and the camera is known; relative inverse depth otherwise.

    Raises:
        ConfigError: the network answers with numbers that are not finite, or no number of tiles.
    """
    import torch

    if tiles < 1:
        raise ConfigError(f"must be at least 1, got {tiles}", field="tiles")
    camera = intrinsics if trained.metric else None
    with torch.inference_mode():
        log_depth = _look(trained, image, camera, flip)
        if tiles > 1:
            log_depth = _with_detail(trained, image, camera, flip, tiles, log_depth)
    values = (log_depth if camera else -log_depth).exp()[0, 0].numpy()
    broken = int((~np.isfinite(values)).sum())
    if broken:
        reason = f"the network gives {broken} of {values.size} values that are not finite"
        raise ConfigError(
            reason, field="checkpoint", hint="its training has diverged: use another checkpoint"
        )
    focal = None if camera is None else math.sqrt(camera.fx * camera.fy)
    return PredictedDepth(values.astype(np.float32), camera is not None, focal)


def network_size(size: tuple[int, int], height: int, width: int) -> tuple[int, int]:
    """Return the size of the training area `height * width` with the aspect ratio of `size`.

    Example:
        >>> network_size((3000, 4000), 96, 128)
        (96, 128)
    """
    scale = math.sqrt(height * width / (size[0] * size[1]))
    rows, columns = (max(MINIMUM_SIDE, round(side * scale)) for side in size)
    return rows, columns


def _look(
    trained: "Trained", image: UInt8[np.ndarray, "h w 3"], camera: Intrinsics | None, flip: bool
) -> "Tensor":
    """Return log depth at the size of the image, as the network sees it in one look."""
    from depthmix.trained import predict_batch

    size = (image.shape[0], image.shape[1])
    height, width = network_size(size, trained.height, trained.width)
    seen = None if camera is None else camera.resized(width / size[1], height / size[0])
    shown = _tensor(image, height, width)
    log_depth = predict_batch(trained, shown, _row(seen)).log_depth
    if flip:
        mirrored = _row(None if seen is None else seen.mirrored(width))
        log_depth = (log_depth + predict_batch(trained, shown.flip(-1), mirrored).log_depth.flip(-1)) / 2
    return _enlarged(log_depth, size)


def _with_detail(
    trained: "Trained",
    image: UInt8[np.ndarray, "h w 3"],
    camera: Intrinsics | None,
    flip: bool,
    tiles: int,
    whole: "Tensor",
) -> "Tensor":
    """Replace log depth by that of overlapping tiles, each shifted to the level of the whole."""
    import torch

    total, weights = torch.zeros_like(whole), torch.zeros_like(whole)
    for top, bottom in _spans(image.shape[0], tiles):
        for left, right in _spans(image.shape[1], tiles):
            part = None if camera is None else camera.cropped(left, top)
            detail = _look(trained, np.ascontiguousarray(image[top:bottom, left:right]), part, flip)
            below = whole[..., top:bottom, left:right]
            weight = _hat(bottom - top)[:, None] * _hat(right - left)
            total[..., top:bottom, left:right] += weight * (detail + (below - detail).median())
            weights[..., top:bottom, left:right] += weight
    return total / weights


def _spans(size: int, tiles: int) -> list[tuple[int, int]]:
    """Cut 0 .. size into parts that overlap by half and have equal sizes, but for rounding."""
    ends = [round(size * number / (tiles + 1)) for number in range(tiles + 2)]
    return [(begin, max(end, begin + 1)) for begin, end in zip(ends[:-2], ends[2:], strict=True)]


def _hat(size: int) -> "Tensor":
    """Return weights that fall to the ends of a tile and are positive everywhere."""
    import torch

    places = torch.arange(size) + 0.5
    return torch.minimum(places, size - places)


def _tensor(image: UInt8[np.ndarray, "h w 3"], height: int, width: int) -> "Tensor":
    import cv2
    import torch

    # The same filters as in training: area where the image shrinks, linear where it grows.
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255


def _enlarged(log_depth: "Tensor", size: tuple[int, int]) -> "Tensor":
    from torch.nn.functional import interpolate

    return interpolate(log_depth.float().cpu(), size=size, mode="bilinear", align_corners=False)


def _row(camera: Intrinsics | None) -> "Tensor | None":
    import torch

    return None if camera is None else torch.tensor([[camera.fx, camera.fy, camera.cx, camera.cy]])
