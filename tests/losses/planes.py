"""Plane losses by hand: one instance after the other, in float64, with a general least-squares solver."""

import math

import numpy as np
import torch
from torch import Tensor

from tests.losses.contract import Row


def vector(q: np.ndarray, mask: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """Solve 1/z = n . (x, y, 1) along the rays of the masked pixels."""
    fx, fy, cx, cy = camera
    v, u = np.nonzero(mask)
    rays = np.stack([(u - cx) / fx, (v - cy) / fy, np.ones(len(u))], 1)
    return np.linalg.lstsq(rays, q[mask], rcond=None)[0]


def vectors(q: np.ndarray, row: Row, mask: np.ndarray) -> list[np.ndarray]:
    return [vector(q, mask & (row.planes == i), row.camera) for i in (1, 2, 3)]


def areas(row: Row, mask: np.ndarray) -> list[int]:
    return [int((mask & (row.planes == i)).sum()) for i in (1, 2, 3)]


def angle(a: np.ndarray, b: np.ndarray) -> float:
    return math.atan2(float(np.linalg.norm(np.cross(a, b))), float(a @ b))


def weighted(values: list[float], weights: list[float]) -> float:
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)


def residual(q: np.ndarray, mask: np.ndarray) -> float:
    """Sum the squares that the best affine map leaves."""
    v, u = np.nonzero(mask)
    design = np.stack([u, v, np.ones_like(u)], 1).astype(float)
    rest = q[mask] - design @ np.linalg.lstsq(design, q[mask], rcond=None)[0]
    return float(rest @ rest)


def picture(walls: list[tuple[float, float, float]], camera: Tensor) -> tuple[Tensor, Tensor]:
    """Draw planes n . P = 1 side by side as upright strips; return inverse depth and ids."""
    fx, fy, cx, cy = camera[0].double().tolist()
    u, v = (torch.arange(48).double() - cx) / fx, (torch.arange(36).double()[:, None] - cy) / fy
    ids = (torch.arange(48) * len(walls) // 48).expand(36, 48)
    maps = torch.stack([x * u + y * v + z for x, y, z in walls])
    return maps.gather(0, ids[None])[None], (ids + 1).int()[None, None].contiguous()
