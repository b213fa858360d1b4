"""What a network says of images when it looks at them: once, mirrored too, and again at their parts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from depthmix.augment import resize_image
from depthmix.canonical import MINIMUM_SIDE
from depthmix.sample import Intrinsics

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from depthmix.prediction import Prediction
    from depthmix.trained import Trained

__all__ = ["Seen", "look", "network_image", "network_size", "with_detail"]


@dataclass(frozen=True, slots=True)
class Seen:
    """Hold what a look at one image gave.

    Args:
        log_depth: [1 h w] in the size of the image, on the CPU; canonical where no camera was given.
        log_focal: logarithm of focal length over diagonal, of networks with a focal head.
    """

    log_depth: "Tensor"
    log_focal: float | None


def network_size(size: tuple[int, int], height: int, width: int) -> tuple[int, int]:
    """Return the size of the training area `height * width` with the aspect ratio of `size`.

    Example:
        >>> network_size((3000, 4000), 96, 128)
        (96, 128)
    """
    scale = math.sqrt(height * width / (size[0] * size[1]))
    rows, columns = (max(MINIMUM_SIDE, round(side * scale)) for side in size)
    return rows, columns


def look(
    trained: "Trained",
    images: Sequence[UInt8[np.ndarray, "h w 3"]],
    cameras: Sequence[Intrinsics | None],
    sizes: Sequence[tuple[int, int]],
    flip: bool,
    batch: int,
) -> list[Seen]:
    """Show images to the network, those of one size together, and bring its maps back to theirs.

    Args:
        trained: the network; it computes where its weights are.
        images: RGB.
        cameras: of each image.
        sizes: height and width at which each image is shown.
        flip: show the mirrored images, too, and take the mean of both.
        batch: how many are shown at once.
    """
    seen: dict[int, Seen] = {}
    for size in dict.fromkeys(sizes):
        alike = [number for number, one in enumerate(sizes) if one == size]
        for first in range(0, len(alike), batch):
            some = alike[first : first + batch]
            found = _shown(trained, [images[n] for n in some], [cameras[n] for n in some], size, flip)
            seen.update(zip(some, found, strict=True))
    return [seen[number] for number in range(len(images))]


def with_detail(
    trained: "Trained",
    image: UInt8[np.ndarray, "h w 3"],
    camera: Intrinsics | None,
    whole: "Tensor",
    tiles: int,
    flip: bool,
    batch: int,
) -> "Tensor":
    """Replace log depth by that of overlapping tiles, each shifted to the level of the whole."""
    import torch

    rows, columns = _spans(image.shape[0], tiles), _spans(image.shape[1], tiles)
    boxes = [(top, bottom, left, right) for top, bottom in rows for left, right in columns]
    total, weights = torch.zeros_like(whole), torch.zeros_like(whole)
    for first in range(0, len(boxes), batch):
        some = boxes[first : first + batch]
        parts = [np.ascontiguousarray(image[top:bottom, left:right]) for top, bottom, left, right in some]
        cameras = [camera and camera.cropped(left, top) for top, _, left, _ in some]
        sizes = [network_size((p.shape[0], p.shape[1]), trained.height, trained.width) for p in parts]
        for (top, bottom, left, right), one in zip(
            some, look(trained, parts, cameras, sizes, flip, batch), strict=True
        ):
            below = whole[:, top:bottom, left:right]
            weight = _hat(bottom - top)[:, None] * _hat(right - left)
            level = (below - one.log_depth).median()
            total[:, top:bottom, left:right] += weight * (one.log_depth + level)
            weights[:, top:bottom, left:right] += weight
    return total / weights


def _shown(
    trained: "Trained",
    images: Sequence[UInt8[np.ndarray, "h w 3"]],
    cameras: Sequence[Intrinsics | None],
    size: tuple[int, int],
    flip: bool,
) -> list[Seen]:
    """Show images at one size in one pass, and in a second one mirrored."""
    import torch

    from depthmix.trained import predict_batch

    device = next((parameter.device for parameter in trained.net.parameters()), torch.device("cpu"))
    shown = torch.stack([network_image(image, size) for image in images]).to(device)
    seen = [
        camera and camera.resized(size[1] / image.shape[1], size[0] / image.shape[0])
        for image, camera in zip(images, cameras, strict=True)
    ]
    prediction = predict_batch(trained, shown, _rows(trained, seen, size).to(device))
    log_depth, log_focal = prediction.log_depth, _log_focal(prediction)
    if flip:
        turned = [camera and camera.mirrored(size[1]) for camera in seen]
        other = predict_batch(trained, shown.flip(-1), _rows(trained, turned, size).to(device))
        log_depth = (log_depth + other.log_depth.flip(-1)) / 2
        log_focal = [(a + b) / 2 for a, b in zip(log_focal, _log_focal(other), strict=True)]
    maps = log_depth.float().cpu()
    return [
        Seen(_enlarged(maps[row], (image.shape[0], image.shape[1])), log_focal[row] if log_focal else None)
        for row, image in enumerate(images)
    ]


def _log_focal(prediction: "Prediction") -> list[float]:
    if prediction.log_focal is None:
        return []
    return [float(mean) for mean in prediction.log_focal.float().mean((1, 2, 3)).cpu()]


def _rows(trained: "Trained", cameras: Sequence[Intrinsics | None], size: tuple[int, int]) -> "Tensor":
    import torch

    from depthmix.trained import neutral_camera

    neutral = neutral_camera(*size, trained.focal_canonical)
    known = [None if one is None else torch.tensor([one.fx, one.fy, one.cx, one.cy]) for one in cameras]
    return torch.stack([neutral if one is None else one for one in known])


def network_image(
    image: UInt8[np.ndarray, "h w 3"], size: tuple[int, int]
) -> "Float[Tensor, '3 rows columns']":
    """Return RGB in [0, 1] at the size at which a network sees it, resized as in training."""
    import torch

    return torch.from_numpy(resize_image(image, *size)).permute(2, 0, 1).float() / 255


def _enlarged(log_depth: "Tensor", size: tuple[int, int]) -> "Tensor":
    from torch.nn.functional import interpolate

    return interpolate(log_depth[None], size=size, mode="bilinear", align_corners=False)[0]


def _spans(size: int, tiles: int) -> list[tuple[int, int]]:
    """Cut 0 .. size into parts that overlap by half and have equal sizes, but for rounding."""
    ends = [round(size * number / (tiles + 1)) for number in range(tiles + 2)]
    return [(begin, max(end, begin + 1)) for begin, end in zip(ends[:-2], ends[2:], strict=True)]


def _hat(size: int) -> "Tensor":
    """Return weights that fall to the ends of a tile and are positive everywhere."""
    import torch

    places = torch.arange(size) + 0.5
    return torch.minimum(places, size - places)
