"""What the tests of losses on metric depth share."""

import math

import torch

from tests.losses.contract import Row


def log_errors(row: Row) -> list[float]:
    pixels = zip(row.depth_prediction[row.valid], row.target[row.valid], strict=True)
    return [math.log(p) - math.log(g) for p, g in pixels]


def plain_case():
    """Log depth, depth and a mask in float64."""
    g = torch.Generator().manual_seed(0)
    y, z = torch.rand(2, 2, 1, 4, 5, generator=g, dtype=torch.float64)
    return y, z + 0.5, torch.rand(2, 1, 4, 5, generator=g) > 0.3


def strip(*values: float) -> torch.Tensor:
    """One row whose map is a line of pixels."""
    return torch.tensor(values).view(1, 1, 1, -1)


def everywhere(x: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(x, dtype=torch.bool)
