"""Recolour, blur, turn and magnify the rows of a batch on its device, without waiting for it.

Every value of a row is computed from that row alone and in the same order, so a row comes out the same bit
for bit in any batch. (kornia's functions look at values to check them, which waits for the device, and its
dict interface leaves a key named "depth" as it is; only its kernel of the blur is used.)
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import grid_sample, pad

from depthmix.batch import Batch

__all__ = [
    "LUMINANCE",
    "Turn",
    "add_noise",
    "blur",
    "grey_level",
    "ranked",
    "recolour",
    "turned",
    "where_labelled",
]

LUMINANCE = (0.299, 0.587, 0.114)  # Rec. 601


def grey_level(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, " b"]:
    """Return the mean luminance of each row, from whole numbers, which add up the same in any order."""
    sums = (image * 255).round().to(torch.int64).sum((2, 3))
    weights = torch.tensor(LUMINANCE, dtype=torch.float64, device=image.device)
    red, green, blue = (sums.double() * weights).unbind(1)
    return ((red + green + blue) / (255 * image[0, 0].numel())).float()


def recolour(
    image: Float[Tensor, "b 3 h w"],
    grey: Float[Tensor, " b"],
    *,
    brightness: Float[Tensor, " b"],
    contrast: Float[Tensor, " b"],
    saturation: Float[Tensor, " b"],
    hue: Float[Tensor, " b"],
    gamma: Float[Tensor, " b"],
) -> Float[Tensor, "b 3 h w"]:
    """Return the image with other colours; 1 (hue: 0) changes nothing.

    Args:
        image: RGB in [0, 1].
        grey: mean luminance of each row, around which contrast stretches.
        brightness: factor of all colours.
        contrast: factor of the distance from `grey`.
        saturation: factor of the distance from the pixel's own grey.
        hue: turns around the grey axis.
        gamma: power of each colour, the last step.
    """
    own = sum(weight * image[:, k] for k, weight in enumerate(LUMINANCE))
    angle = 2 * torch.pi * hue.double()
    same, half = torch.cos(angle), (1 - torch.cos(angle)) / 3
    side = torch.sin(angle) / 3**0.5
    parts = [_wide(part.float()) for part in (same + half, half - side, half + side)]
    channels = []
    for k in range(3):
        here, after, before = image[:, k], image[:, (k + 1) % 3], image[:, (k + 2) % 3]
        turned = parts[0] * here + parts[1] * after + parts[2] * before
        coloured = own + _wide(saturation) * (turned - own)
        stretched = _wide(grey) + _wide(contrast) * (coloured - _wide(grey))
        channels.append((_wide(brightness) * stretched).clamp(0, 1))
    return torch.stack(channels, 1) ** gamma[:, None, None, None]


def blur(
    image: Float[Tensor, "b 3 h w"], sigma: Float[Tensor, " b"], radius: int
) -> Float[Tensor, "b 3 h w"]:
    """Return the image blurred by a Gaussian of `sigma` pixels, cut off at `radius`; 0 changes nothing."""
    from kornia.filters import get_gaussian_kernel1d

    kernel = get_gaussian_kernel1d(2 * radius + 1, sigma.double()[:, None]).float()
    for sides, dim in (((0, 0, radius, radius), 2), ((radius, radius, 0, 0), 3)):
        padded, size = pad(image, sides, mode="replicate"), image.shape[dim]
        # A sum in a fixed order; a convolution may take another one in another batch.
        shifted = (
            padded.narrow(dim, k, size) * kernel[:, k, None, None, None] for k in range(2 * radius + 1)
        )
        image = next(shifted)
        for part in shifted:
            image = image + part
    return image


def add_noise(
    image: Float[Tensor, "b 3 h w"], bits: Int[Tensor, "b 3 h w"], std: Float[Tensor, " b"]
) -> Float[Tensor, "b 3 h w"]:
    """Return the image with bell-shaped noise, the sum of the four bytes of 32 random bits a value."""
    total = (bits & 255) + (bits >> 8 & 255) + (bits >> 16 & 255) + (bits >> 24)
    spread = (4 * (256**2 - 1) / 12) ** 0.5
    noisy: Tensor = image + std[:, None, None, None] * ((total - 4 * 127.5) / spread)
    return noisy.clamp(0, 1)


@dataclass(frozen=True, slots=True)
class Turn:
    """Say where each pixel of the new rows comes from: p = origin + matrix (q - centre).

    The camera rolls about its axis and looks at a window: z of every point stays, a plane stays a plane.
    """

    matrix: Float[Tensor, "b 2 2"]
    origin: Float[Tensor, "b 2"]
    centre: Float[Tensor, " 2"]
    scale: Float[Tensor, " b"]

    @classmethod
    def of(
        cls,
        batch: Batch,
        *,
        angle: Float[Tensor, " b"],
        zoom: Float[Tensor, " b"],
        across: Float[Tensor, " b"],
        down: Float[Tensor, " b"],
    ) -> "Turn":
        """Build the turn of each row.

        Args:
            batch: gives sizes and cameras; rows without a camera get square pixels.
            angle: of the roll in radians.
            zoom: magnification beyond the one that keeps the corners inside the image; at least 1.
            across: place of the window between the left end (0) and the right end (1).
            down: place of the window between top (0) and bottom (1).
        """
        height, width = batch.image.shape[-2:]
        fx, fy = batch.intrinsics[:, 0].double(), batch.intrinsics[:, 1].double()
        aspect = torch.where(batch.camera_known, fx / fy, 1.0)
        cos, sin = torch.cos(angle.double()), torch.sin(angle.double())
        roll = torch.stack([torch.stack([cos, -sin * aspect], 1), torch.stack([sin / aspect, cos], 1)], 1)
        half = torch.tensor([(width - 1) / 2, (height - 1) / 2], dtype=torch.float64, device=angle.device)
        reach = (roll.abs() * half).sum(2)  # of the window's corners, at magnification 1
        scale = (reach / half.clamp_min(0.5)).amax(1).clamp_min(1) * zoom.double()
        room = (half - reach / scale[:, None]).clamp_min(0)
        origin = half + room * (2 * torch.stack([across, down], 1).double() - 1)
        return cls(roll / scale[:, None, None], origin, half, scale)

    def sources(self, height: int, width: int) -> Float[Tensor, "b h w 2"]:
        """Return the place that each new pixel is read from."""
        device, (cx, cy) = self.matrix.device, self.centre.float().unbind()
        u = torch.arange(width, device=device) - cx
        v = torch.arange(height, device=device)[:, None] - cy
        rows = []
        for k in range(2):
            a, b = (self.matrix[:, k, j, None, None].float() for j in range(2))
            rows.append(a * u + b * v + self.origin[:, k, None, None].float())
        return torch.stack(rows, -1)

    def moved(self, places: Float[Tensor, "b n 2"]) -> Float[Tensor, "b n 2"]:
        """Return where places of the old rows lie in the new ones."""
        (a, b), (c, d) = (row.unbind(1) for row in self.matrix.unbind(1))
        by = (places.double() - self.origin[:, None]).unbind(2)
        one = (a * d - b * c)[:, None]
        u = (d[:, None] * by[0] - b[:, None] * by[1]) / one
        v = (a[:, None] * by[1] - c[:, None] * by[0]) / one
        return torch.stack([u, v], 2) + self.centre


def turned(batch: Batch, turn: Turn, change: Bool[Tensor, " b"]) -> Batch:
    """Return the batch seen through the turned camera; labels are chosen as `augment.resize` chooses them.

    Args:
        batch: with float images.
        turn: of each row.
        change: rows to turn; the others stay, and so do those that would lose their last label.
    """
    height, width = batch.image.shape[-2:]
    places = turn.sources(height, width)
    at = torch.floor(places + 0.5).long()
    inside = ((at >= 0) & (at < torch.tensor([width, height], device=at.device))).all(-1)[:, None]
    column, row = at.unbind(-1)
    index = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1))[:, None]

    def chosen(field: Tensor) -> Tensor:
        found = field.flatten(2).gather(2, index.flatten(2)).view_as(field)
        return torch.where(inside, found, torch.zeros((), dtype=field.dtype, device=field.device))

    fields = {
        "image": _bilinear(batch.image, places),
        "target": chosen(batch.target),
        "valid": chosen(batch.valid),
        "sky": chosen(batch.sky),
        "planes": ranked(chosen(batch.planes)),
        "sigma": chosen(batch.sigma),
        "intrinsics": _camera(batch, turn),
        "pairs": _moved_pairs(batch, turn),
    }
    return where_labelled(batch, change, fields)


def where_labelled(batch: Batch, change: Bool[Tensor, " b"], fields: Mapping[str, Tensor]) -> Batch:
    """Take new fields in the rows to change, but for those that would lose their last label.

    Args:
        batch: what the other rows keep.
        change: rows to change.
        fields: by name, `valid`, `planes` and `pairs` among them.
    """
    labelled = (fields["valid"] | (fields["planes"] > 0)).flatten(1).any(1)
    change = change & (labelled | (fields["pairs"][..., 0] >= 0).any(1))
    kept: dict[str, Any] = {
        name: torch.where(change.view(-1, *[1] * (new.dim() - 1)), new, getattr(batch, name))
        for name, new in fields.items()
    }
    return replace(batch, **kept)


def _bilinear(image: Float[Tensor, "b 3 h w"], places: Float[Tensor, "b h w 2"]) -> Float[Tensor, "b 3 h w"]:
    height, width = image.shape[-2:]
    ends = torch.tensor([max(width - 1, 1), max(height - 1, 1)], device=image.device)
    grid = places * 2 / ends - 1
    return grid_sample(image, grid, padding_mode="border", align_corners=True).clamp(0, 1)


def _camera(batch: Batch, turn: Turn) -> Float[Tensor, "b 4"]:
    focal = batch.intrinsics[:, :2].double() * turn.scale[:, None]
    principal = turn.moved(batch.intrinsics[:, None, 2:])[:, 0]
    camera = torch.cat([focal, principal], 1).to(batch.intrinsics.dtype)
    return torch.where(batch.camera_known[:, None], camera, batch.intrinsics)


def _moved_pairs(batch: Batch, turn: Turn) -> Int[Tensor, "b p 5"]:
    """Move both points of each pair; one that leaves the image, or becomes one point, turns into padding."""
    height, width = batch.image.shape[-2:]
    rows, count = batch.pairs.shape[:2]
    moved = torch.floor(turn.moved(batch.pairs[..., :4].reshape(rows, 2 * count, 2)) + 0.5)
    moved = moved.view(rows, count, 4).to(batch.pairs.dtype)
    ends = torch.tensor([width, height, width, height], device=moved.device)
    inside = ((moved >= 0) & (moved < ends)).all(2) & (batch.pairs[..., 0] >= 0)
    apart = (moved[..., :2] != moved[..., 2:]).any(2)
    new = torch.cat([moved, batch.pairs[..., 4:]], 2)
    return torch.where((inside & apart)[..., None], new, -1)


def ranked(planes: Int[Tensor, "b 1 h w"]) -> Int[Tensor, "b 1 h w"]:
    """Number planes by falling area again, as `batch.rank_planes`; ids are below the number of pixels."""
    ids = planes.flatten(1).long()
    counts = torch.zeros(ids.shape[0], ids.shape[1] + 1, dtype=torch.int64, device=ids.device)
    counts = counts.scatter_add(1, ids, torch.ones_like(ids))
    areas = counts[:, 1:]
    order = torch.sort(areas, dim=1, descending=True, stable=True).indices
    ranks = torch.arange(1, ids.shape[1] + 1, device=ids.device).expand_as(order)
    new = torch.zeros_like(counts).scatter(1, order + 1, ranks)
    return new.gather(1, ids).to(planes.dtype).view_as(planes)


def _wide(value: Float[Tensor, " b"]) -> Float[Tensor, "b 1 1"]:
    return value[:, None, None]
