"""Let the rows of a batch look as if a JPEG of some quality had held them, on their device.

Compression leaves marks by which a network can tell where an image came from. Sums run in a fixed order, as
in `device_change`, so a row comes out the same in any batch. (kornia's differentiable codec multiplies
matrices, whose order of sums depends on the batch, and looks at values.)
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from depthmix.device_change import LUMINANCE

__all__ = ["compressed"]

# ITU-T T.81 (1992), tables K.1 and K.2: steps of luminance and of both chroma channels at quality 50.
LUMINANCE_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA_STEPS = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * 8,) * 4,
)
# Rec. 601 in the full range of JFIF: rows give Y, Cb, Cr of R, G, B, and back.
FORWARD = (LUMINANCE, (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
BACK = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
SIDE = 8


def compressed(image: Float[Tensor, "b 3 h w"], quality: Float[Tensor, " b"]) -> Float[Tensor, "b 3 h w"]:
    """Return the image as a baseline JPEG with full chroma shows it.

    Args:
        image: RGB in [0, 1].
        quality: of each row, in [1, 100] as the Independent JPEG Group counts; rows of 100 or more are not
            touched, as if there were no file.

    Reference: ITU-T T.81 with the tables of its Annex K, scaled as libjpeg scales them.
    """
    height, width = image.shape[-2:]
    # Images end in whole blocks of repeated pixels, as encoders fill them.
    padded = pad(image, (0, -width % SIDE, 0, -height % SIDE), mode="replicate")
    levels = _mixed((padded * 255).round(), FORWARD)
    levels = torch.cat([levels[:, :1] - 128, levels[:, 1:]], 1).round()
    steps = _steps(quality.to(image.dtype))[:, :, None, :, None, :]
    rows, columns = padded.shape[-2] // SIDE, padded.shape[-1] // SIDE
    blocks = levels.view(len(image), 3, rows, SIDE, columns, SIDE)
    cosines = [[_cosine(k, n) for n in range(SIDE)] for k in range(SIDE)]
    found = _along(_along(blocks, cosines, 3), cosines, 5)
    kept = (found / steps).round() * steps
    transposed = [list(row) for row in zip(*cosines, strict=True)]
    shown = _along(_along(kept, transposed, 3), transposed, 5).reshape(levels.shape)
    low = torch.tensor([0, -128, -128], dtype=shown.dtype, device=shown.device)[:, None, None]
    shown = torch.cat([shown[:, :1] + 128, shown[:, 1:]], 1).round().clamp(low, low + 255)
    pixels = _mixed(shown, BACK).round().clamp(0, 255)[..., :height, :width] / 255
    return torch.where((quality < 100)[:, None, None, None], pixels, image)


def _steps(quality: Float[Tensor, " b"]) -> Float[Tensor, "b 3 8 8"]:
    channels = (LUMINANCE_STEPS, CHROMA_STEPS, CHROMA_STEPS)
    tables = torch.tensor(channels, dtype=quality.dtype, device=quality.device)
    quality = quality.round().clamp(1, 99)
    percent = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    return ((tables * percent[:, None, None, None] + 50) / 100).floor().clamp(1, 255)


def _cosine(frequency: int, place: int) -> float:
    norm = math.sqrt((1 if frequency == 0 else 2) / SIDE)
    return norm * math.cos(math.pi * (2 * place + 1) * frequency / (2 * SIDE))


def _along(blocks: Float[Tensor, "*n"], matrix: Sequence[Sequence[float]], dim: int) -> Float[Tensor, "*n"]:
    """Multiply one dimension by a matrix, adding in a fixed order."""
    parts = blocks.unbind(dim)
    return torch.stack([_weighted(parts, row) for row in matrix], dim)


def _mixed(image: Float[Tensor, "b 3 h w"], matrix: Sequence[Sequence[float]]) -> Float[Tensor, "b 3 h w"]:
    return torch.stack([_weighted(image.unbind(1), row) for row in matrix], 1)


def _weighted(parts: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    total = parts[0] * weights[0]
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        total = total + part * weight
    return total
