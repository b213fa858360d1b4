"""What needs no network, and what gives metres to a network that has learned none."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from depthmix.batch import Batch
from depthmix.bench.training import batches

__all__ = ["Calibrated", "Line", "fit_line", "network_places", "nowhere", "row_places"]

LEAST = 1e-3  # inverse canonical depth, 1/m: a line may cross zero, where depth has no meaning

Places = Callable[[Float[Tensor, "b 3 h w"]], Float[Tensor, "b 1 h w"]]


class Line(nn.Module):
    """Predict inverse canonical depth as a linear function of something seen in the image.

    Args:
        places: what the line is a function of; see `row_places` and `nowhere`.
        scale: its slope.
        shift: its value at 0.
    """

    def __init__(self, places: Places, scale: float, shift: float) -> None:
        super().__init__()
        self.places, self.scale, self.shift = places, scale, shift

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Return log canonical depth."""
        return -(self.scale * self.places(image) + self.shift).clamp_min(LEAST).log()


class Calibrated(nn.Module):
    """Give metres to a network of relative depth by one scale and one shift of inverse depth for all images.

    Args:
        net: the network.
        scale: of its inverse depth.
        shift: added to it.
    """

    def __init__(self, net: nn.Module, scale: float, shift: float) -> None:
        super().__init__()
        self.net, self.scale, self.shift = net, scale, shift

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h w"]:
        """Return log canonical depth, and the heads as they are."""
        maps: Tensor = self.net(image)
        y = -(self.scale * (-maps[:, :1]).exp() + self.shift).clamp_min(LEAST).log()
        return torch.cat([y, maps[:, 1:]], 1)


def row_places(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Number the rows from 0 at the top to 1 at the bottom."""
    rows = torch.linspace(0, 1, image.shape[-2])[None, None, :, None]
    return rows.expand(len(image), 1, -1, image.shape[-1])


def nowhere(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
    """See nothing: the line is a constant."""
    return torch.zeros_like(row_places(image))


def network_places(net: nn.Module) -> Places:
    """Return the inverse canonical depth that a network predicts, as a function of the image."""

    def inverse(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
        y: Tensor = net(image)[:, :1]
        return (-y).exp()

    return inverse


@torch.no_grad()
def fit_line(
    places: Places, prepared: Path, names: Sequence[str], size: tuple[int, int], focal: float
) -> tuple[float, float]:
    """Fit inverse canonical depth as a scale and shift of `places`, each image with the same weight.

    Args:
        places: what the line is a function of.
        prepared: folder of the prepared sets.
        names: metric sets whose labels are fitted.
        size: height and width at which they are read.
        focal: focal length in pixels of the canonical camera.

    Returns:
        Scale and shift by least squares; a scale of 0 where `places` does not vary.
    """
    parts = [_part(places, batch, focal) for name in names for batch in batches(prepared / name, size, 12)]
    x, y, weight = (torch.cat(column).double() for column in zip(*parts, strict=True))
    weight = weight / weight.sum()
    mean_x, mean_y = (weight * x).sum(), (weight * y).sum()
    variance = (weight * (x - mean_x).square()).sum()
    covariance = (weight * (x - mean_x) * (y - mean_y)).sum()
    scale = covariance / variance if variance > 0 else torch.zeros_like(variance)
    return scale.item(), (mean_y - scale * mean_x).item()


def _part(places: Places, batch: Batch, focal: float) -> tuple[Tensor, Tensor, Tensor]:
    canonical = batch.inverse_depth * (batch.intrinsics[:, 0] / focal)[:, None, None, None]
    weight = batch.valid / batch.valid.flatten(1).sum(1).clamp_min(1)[:, None, None, None]
    return places(batch.image_float).flatten(), canonical.flatten(), weight.flatten()
