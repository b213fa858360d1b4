"""Random pixels for losses that sample: a pure function of seed and step, equal on every device."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from depthmix.masked import count_valid

__all__ = ["draw", "pick", "pick_same_id"]

# Mixing constants of the two-round integer hash of the hash-prospector search (public domain). Both are
# below 2^31, so products with 32-bit numbers fit into int64 without overflow.
FIRST, SECOND = 0x21F0AAAD, 0x735A2D97
MASK = 0xFFFFFFFF


def draw(count: int, seed: int, step: int, device: torch.device) -> Int[Tensor, " n"]:
    """Return `count` integers, uniform in [0, 2^32).

    A counter is hashed with seed and step; no generator state, so CPU, meta and CUDA agree, a resumed run
    repeats itself, and nothing waits for the device.
    """
    counter = torch.arange(count, device=device)
    return _mix(_mix(_mix(counter + (seed & MASK)) + (step & MASK)) + (seed >> 32 & MASK))


def pick(mask: Bool[Tensor, "b n"], draws: Int[Tensor, " m"]) -> Int[Tensor, "b m"]:
    """Turn each draw into a pixel of the mask, uniformly; every row gets its own pixels from the same draws.

    Convention: where a row's mask is empty the index is the last pixel; the caller gives it no weight.
    """
    running = mask.cumsum(1)
    rank = draws * count_valid(mask)[:, None] >> 32
    return torch.searchsorted(running, rank + 1).clamp_max(mask.shape[1] - 1)


def pick_same_id(
    ids: Int[Tensor, "b n"], first: Int[Tensor, " m"], second: Int[Tensor, " m"]
) -> tuple[Int[Tensor, "b m"], Int[Tensor, "b m"]]:
    """Turn two draws into two pixels of one id: the first uniform over all pixels with an id above 0.

    Convention: where a row has no such pixel both indices are the same pixel.
    """
    ordered, place = ids.sort(dim=1, stable=True)
    count = (ids > 0).sum(1)[:, None]
    spot = ids.shape[1] - 1 - (first * count >> 32)
    chosen = ordered.gather(1, spot)
    start, end = torch.searchsorted(ordered, chosen), torch.searchsorted(ordered, chosen, right=True)
    partner = torch.where(count > 0, start + (second * (end - start) >> 32), spot)
    return place.gather(1, spot), place.gather(1, partner)


def _mix(x: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    x = x & MASK
    x = (x ^ x >> 16) * FIRST & MASK
    x = (x ^ x >> 15) * SECOND & MASK
    return x ^ x >> 15
