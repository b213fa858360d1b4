"""Small scenes with known answers, and a formula applied row by row, for the tests of all measures."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

SIZE = (12, 16)
CAMERA = torch.tensor([[20.0, 20.0, 7.5, 5.5]]).repeat(3, 1)


def scene(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    target = torch.rand(3, 1, *SIZE, generator=draw) * 4 + 1
    prediction = target * (torch.rand(3, 1, *SIZE, generator=draw) * 0.6 + 0.7)
    valid = torch.rand(3, 1, *SIZE, generator=draw) < 0.8
    target[~valid], prediction[0, 0, 0, 0] = torch.nan, 2.5
    return prediction, target, valid


def naive(formula: Callable[[np.ndarray, np.ndarray], float], *maps: Tensor) -> list[float]:
    """Apply a formula on the valid pixels of each row, one row at a time."""
    p, g, valid = (m.numpy() for m in maps)
    return [
        formula(p[i][valid[i]].astype(np.float64), g[i][valid[i]].astype(np.float64)) for i in range(len(p))
    ]


def plane_depth(normal: tuple[float, float, float], distance: float) -> Tensor:
    """Depth of the plane normal . X = distance."""
    fx, fy, cx, cy = CAMERA[0].double()
    v, u = torch.meshgrid(*(torch.arange(n).double() for n in SIZE), indexing="ij")
    rays = torch.stack([(u - cx) / fx, (v - cy) / fy, torch.ones_like(u)])
    return (distance / (torch.tensor(normal).double()[:, None, None] * rays).sum(0))[None, None]


def two_planes() -> tuple[Tensor, Tensor]:
    planes = torch.ones(1, 1, *SIZE, dtype=torch.int32)
    planes[..., 8:] = 2
    depth = torch.where(planes == 1, plane_depth((0, 0, 1), 2.0), plane_depth((0.6, 0, 0.8), 2.0))
    return depth, planes
