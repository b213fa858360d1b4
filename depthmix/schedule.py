"""The learning rate over a training."""

import math
from collections.abc import Callable

from torch.optim.lr_scheduler import LambdaLR

__all__ = ["hold", "schedule"]

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


def hold(scheduler: LambdaLR, learning_rate: float, weight_decay: float) -> list[str]:
    """Let the options of a training hold where a checkpoint has brought others; else nothing is touched.

    Args:
        scheduler: of the optimiser, both as the checkpoint left them; the first group is the one that decays.
        learning_rate: the highest rate; the place on the curve stays.
        weight_decay: of the first group.

    Returns:
        What has changed, one line an option.
    """
    groups, changed = scheduler.optimizer.param_groups, []
    if (old := scheduler.base_lrs[0]) != learning_rate:
        scheduler.base_lrs = [learning_rate] * len(groups)
        for group, factor in zip(groups, scheduler.lr_lambdas, strict=True):
            group |= {"initial_lr": learning_rate, "lr": learning_rate * factor(scheduler.last_epoch)}
        scheduler._last_lr = [group["lr"] for group in groups]
        changed.append(
            f"model.learning_rate: {learning_rate!r} holds from here on, the checkpoint had {old!r}"
        )
    if (old := groups[0]["weight_decay"]) != weight_decay:
        groups[0]["weight_decay"] = weight_decay
        changed.append(f"model.weight_decay: {weight_decay!r} holds from here on, the checkpoint had {old!r}")
    return changed
