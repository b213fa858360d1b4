"""The learning rate over a training."""

import math
from collections.abc import Callable

__all__ = ["schedule"]

LOWEST_RATE = 0.01  # part of the learning rate that is left at the end


def schedule(steps: float, warmup: int) -> Callable[[int], float]:
    """Return the factor of the learning rate at each step: linear warm-up, then a cosine to a hundredth.

    Args:
        steps: of the whole training; without an end the rate stays.
        warmup: steps of warm-up, cut to a tenth of the training.
    """
    warmup = min(warmup, int(steps / 10)) if math.isfinite(steps) else warmup

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if not math.isfinite(steps):
            return 1.0
        done = min(1.0, (step - warmup) / max(1, steps - warmup))
        return LOWEST_RATE + (1 - LOWEST_RATE) * (1 + math.cos(math.pi * done)) / 2

    return factor
