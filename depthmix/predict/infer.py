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
    trained: "Trained", image: UInt8[np.ndarray, "h w 3"], intrinsics: Intrinsics | None = None
) -> PredictedDepth:
    """Predict the depth of an image of any size.

    The network sees the image at the area it was trained on, with its aspect ratio kept and the camera
    following; its answer is interpolated back in log depth, where steps of equal ratio are equal.

    Args:
        trained: network and what its checkpoint says about it.
        image: RGB.
        intrinsics: the camera, or None where it is not known.

    Returns:
        Metres only if the network learned metres and the camera is known; relative inverse depth otherwise.

    Raises:
        ConfigError: the network answers with numbers that are not finite.
    """
    import torch

    from depthmix.trained import predict_batch

    size = (image.shape[0], image.shape[1])
    height, width = network_size(size, trained.height, trained.width)
    camera = intrinsics if trained.metric else None
    row = None if camera is None else _row(camera.resized(width / size[1], height / size[0]))
    with torch.inference_mode():
        prediction = predict_batch(trained, _tensor(image, height, width), row)
        log_depth = _enlarged(prediction.log_depth, size)
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


def _row(camera: Intrinsics) -> "Tensor":
    import torch

    return torch.tensor([[camera.fx, camera.fy, camera.cx, camera.cy]])
