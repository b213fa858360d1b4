"""Intervals for paired differences, from resampled seeds and images."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

__all__ = ["paired_difference"]


def paired_difference(
    ours: Sequence[Float[np.ndarray, "s n"]],
    theirs: Sequence[Float[np.ndarray, "s n"]],
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Return the mean difference of two recipes and an interval for it, over seeds and images.

    Args:
        ours: one array a set: a metric by seed and image; NaN where it could not be measured.
        theirs: the same of the other recipe, for the same seeds and images.
        draws: how often seeds and images are drawn again.
        level: part of the draws inside the interval.
        seed: of the draws.

    Returns:
        Difference (ours - theirs, the mean over sets of the mean over images), low and high; NaN where no
        image can bear the metric.

    Convention: seeds are drawn with replacement, and inside every set its images, the same ones for all
    seeds and for both recipes: both have seen the same images from the same initial weights, so what an
    image or a seed has of its own cancels out. An image that one of the two cannot be measured on is left
    out of both. With one seed the interval is one over images alone.

    Raises:
        ValueError: the two do not have the same sets, seeds and images.
    """
    random = np.random.default_rng(seed)
    if [one.shape for one in ours] != [one.shape for one in theirs]:
        raise ValueError("`ours` and `theirs` must have the same sets, seeds and images")
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    kept = [one[:, ~np.isnan(one).any(0)] for one in differences]
    if any(one.shape[1] == 0 for one in kept):
        return float("nan"), float("nan"), float("nan")
    seeds = kept[0].shape[0]
    of_seeds = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws) / seeds
    total = np.zeros(draws)
    for one in kept:
        images = one.shape[1]
        of_images = random.multinomial(images, np.full(images, 1 / images), size=draws) / images
        total += ((of_seeds @ one) * of_images).sum(1) / len(kept)
    low, high = np.quantile(total, [(1 - level) / 2, (1 + level) / 2])
    return float(np.mean([one.mean() for one in kept])), float(low), float(high)
