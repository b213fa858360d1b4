"""Windows read with plain loops, as the losses on windows promise to read them."""

import numpy as np
import torch

from depthmix.losses.draws import draw


def draws_of(image: np.ndarray, count: int, seed: int = 0, step: int = 0) -> list[int]:
    """The draws of one row as Python integers."""
    content = sum(int(x) for x in image[:, ::8, ::8].ravel())
    shared = draw(count, seed, step, torch.device("cpu")).tolist()
    return [(d + content * 0x9E3779B1) % 2**32 for d in shared]


def between(d: int, low: int, high: int) -> int:
    return low + (d * (high - low + 1)) // 2**32


def every_so_many(items: list, take: int, phase: int) -> list:
    if len(items) <= take:
        return list(items)
    return [items[((i * 2**16 + phase // 2**16) * len(items)) // (take * 2**16)] for i in range(take)]


def inside(value: int, side: int, whole: int) -> int:
    return max(0, min(value, whole - side))


def valid_in(valid: np.ndarray, top: int, left: int, height: int, width: int) -> list[tuple[int, int]]:
    """Valid pixels of a window in reading order."""
    return [(v, u) for v in range(top, top + height) for u in range(left, left + width) if valid[v, u]]


def normalised(values: list[float]) -> np.ndarray:
    array = np.array(values)
    centred = array - np.median(array)
    return centred / np.abs(centred).mean()


def difference(p: np.ndarray, g: np.ndarray, pixels: list[tuple[int, int]]) -> float:
    """Mean |p - g| of two maps normalised over the same pixels."""
    own = [normalised([x[at] for at in pixels]) for x in (p, g)]
    return float(np.abs(own[0] - own[1]).mean())
