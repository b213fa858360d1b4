"""The learning rate over a training."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch.optim.lr_scheduler import LambdaLR

__all__ = ["Rates", "hold", "scaled", "schedule"]

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


def scaled(rate: Callable[[int], float], factor: float) -> Callable[[int], float]:
    """Return a schedule times a factor, for a group of weights that learns more slowly than the others."""
    return lambda step: factor * rate(step)


@dataclass(frozen=True, slots=True)
class Rates:
    """Hold the options of a training that its checkpoints keep in the groups of the optimiser.

    Args:
        learning_rate: the highest rate.
        weight_decay: of the groups that decay, which come first.
        layer_decay: kept in each group; the factors that follow from it are in the schedule of each.
    """

    learning_rate: float
    weight_decay: float
    layer_decay: float = 1.0


def hold(scheduler: LambdaLR, rates: Rates, decaying: int = 1) -> list[str]:
    """Let the options of a training hold where a checkpoint has brought others; else nothing is touched.

    Args:
        scheduler: of the optimiser, both as the checkpoint left them; the place on the curve stays.
        rates: what is to hold.
        decaying: number of groups that decay.

    Returns:
        What has changed, one line an option.
    """
    groups = scheduler.optimizer.param_groups
    found = Rates(
        float(scheduler.base_lrs[0]),
        groups[0]["weight_decay"] if decaying else rates.weight_decay,
        groups[0].get("layer_decay", 1.0),
    )
    if found == rates:
        return []
    scheduler.base_lrs = [rates.learning_rate] * len(groups)
    for group, factor in zip(groups, scheduler.lr_lambdas, strict=True):
        rate = rates.learning_rate * factor(scheduler.last_epoch)
        group |= {"initial_lr": rates.learning_rate, "lr": rate, "layer_decay": rates.layer_decay}
    scheduler._last_lr = [group["lr"] for group in groups]
    for group in groups[:decaying]:
        group["weight_decay"] = rates.weight_decay
    return [
        f"model.{name}: {new!r} holds from here on, the checkpoint had {old!r}"
        for name in ("learning_rate", "weight_decay", "layer_decay")
        if (new := getattr(rates, name)) != (old := getattr(found, name))
    ]
