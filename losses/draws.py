"""Random pixels for losses that sample: a pure function of seed and step, equal on every device."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

__all__ = ["draw", "draw_stream", "pick"]

# Mixing constants of the two-round integer hash of the hash-prospector search (public domain). Both are
# below 2^31, so products with 32-bit numbers fit into int64 without overflow.
FIRST, SECOND = 0x21F0AAAD, 0x735A2D97
MASK = 0xFFFFFFFF
# Odd multipliers that spread steps and seeds over 32 bits; multiples of the golden ratio keep the largest
# distance from each other.
STEP_STRIDE, SEED_STRIDE, HIGH_STRIDE = 0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35


def draw(count: int, seed: int, step: int, device: torch.device) -> Int[Tensor, " n"]:
    """Return `count` integers, uniform in [0, 2^32).

    A counter is hashed with seed and step; no generator state, so CPU, meta and CUDA agree, a resumed run
    repeats itself, and nothing waits for the device.
    """
    counter = torch.arange(count, device=device)
    return _mix(_mix(_mix(counter + (seed & MASK)) + (step & MASK)) + (seed >> 32 & MASK))


def draw_stream(count: int, seed: int, step: int, device: torch.device) -> Int[Tensor, " n"]:
    """Return `count` integers, uniform in [0, 2^32), for a third of the operations of `draw`.

    Seed and step choose where in one long hashed sequence to begin. The first 100 000 steps of a seed
    share no number if each takes at most 15 000. (`draw` stays as it is: trained networks depend on it.)
    """
    start = (seed * SEED_STRIDE + (seed >> 32) * HIGH_STRIDE + step * STEP_STRIDE) % 2**32
    return _mix(torch.arange(count, device=device) + start)


def pick(mask: Bool[Tensor, "b n"], draws: Int[Tensor, " m"] | Int[Tensor, "b m"]) -> Int[Tensor, "b m"]:
    """Turn each draw into a pixel of the mask, uniformly.

    Args:
        mask: pixels to choose from.
        draws: random integers in [0, 2^32), the same for all rows or other ones for each.

    Convention: where a row's mask is empty the index is the last pixel; the caller gives it no weight.
    """
    running = mask.cumsum(1, dtype=torch.int32)
    rank = (draws * running[:, -1:] >> 32).int()
    return torch.searchsorted(running, rank, right=True).clamp_max(mask.shape[1] - 1)


def _mix(x: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    x = x & MASK
    x = (x ^ x >> 16) * FIRST & MASK
    x = (x ^ x >> 15) * SECOND & MASK
    return x ^ x >> 15
