"""What is made: presets, the list of images, and a seed of its own for every scene."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

__all__ = ["FAMILIES", "NARROW", "PRESETS", "SHARES", "TRAINING", "Job", "Preset", "jobs_of", "scene_seed"]

FAMILIES = ("rooms", "streets", "clutter")
TRAINING = ("web", "kitti", "middlebury", "planes")
SPLITS = ("train", "val", "eval")

Shares = Mapping[str, tuple[float, float, float]]

# Every source sees all three families, so that the family does not give the source away.
SHARES: Shares = {
    "web": (1 / 3, 1 / 3, 1 / 3),
    "kitti": (0.2, 0.6, 0.2),
    "middlebury": (0.45, 0.15, 0.4),
    "planes": (0.5, 0.3, 0.2),
}
# As in public data: metres were measured where a rig went, streets or rooms; the web has everything.
NARROW: Shares = {**SHARES, "kitti": (0, 1, 0), "middlebury": (1, 0, 0)}


@dataclass(frozen=True, slots=True)
class Preset:
    """Say how many images are made, and how large.

    Args:
        name: its key in `PRESETS`, written to the record of the corpus.
        train: training images of each of the four sources.
        val: validation images of each of the four sources.
        evaluation: images of each of the three evaluation families.
        height: rows of every image.
        width: columns of every image.
        exact: whether the exact depth and planes of training and validation images are written, too: what an
            oracle learns from, and what choices can be made on without touching the evaluation scenes.
        shares: of the families in the training images of each source. Validation images have those of
            `SHARES` in every preset: choices and calibrations are made on all families.
    """

    name: str
    train: int
    val: int
    evaluation: int
    height: int
    width: int
    exact: bool = False
    shares: Shares = field(default_factory=lambda: SHARES)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("tiny", train=2, val=2, evaluation=2, height=96, width=128),
        Preset("demo", train=160, val=16, evaluation=16, height=192, width=256),
        Preset("smoke", train=3, val=2, evaluation=2, height=96, width=128, exact=True),
        Preset("small", train=160, val=16, evaluation=16, height=192, width=256, exact=True),
        Preset("core", train=525, val=24, evaluation=40, height=192, width=256, exact=True),
        Preset("narrow", train=525, val=24, evaluation=40, height=192, width=256, exact=True, shares=NARROW),
    )
}


@dataclass(frozen=True, slots=True)
class Job:
    """Name one image to make.

    Args:
        source: web, kitti, middlebury or planes; for evaluation the family.
        split: train, val or eval.
        family: rooms, streets or clutter.
        index: number within source and split.
    """

    source: str
    split: str
    family: str
    index: int

    @property
    def key(self) -> str:
        """Name of the image's files."""
        return f"{self.index:06d}"


def jobs_of(preset: Preset) -> list[Job]:
    """List every image of a preset; a larger preset starts with the same scenes."""
    jobs: list[Job] = []
    for split, count, shares in (("train", preset.train, preset.shares), ("val", preset.val, SHARES)):
        for source in TRAINING:
            families = _families(shares[source], count)
            jobs += [Job(source, split, family, index) for index, family in enumerate(families)]
    for family in FAMILIES:
        jobs += [Job(family, "eval", family, index) for index in range(preset.evaluation)]
    return jobs


def scene_seed(seed: int, job: Job, attempt: int = 0) -> np.random.SeedSequence:
    """Derive the seed of a scene from (seed, split, source, index).

    One scene belongs to one image (or one stereo pair), so no scene is shared by training, validation and
    evaluation. `attempt` counts layouts that were given up because their view showed too little.
    """
    names = (*TRAINING, *FAMILIES)
    return np.random.SeedSequence(
        [seed, SPLITS.index(job.split), names.index(job.source), job.index, attempt]
    )


def _families(shares: Sequence[float], count: int) -> list[str]:
    """Spread families so that any beginning of the list has the shares as nearly as possible."""
    made = [0] * len(shares)
    result = []
    for total in range(1, count + 1):
        lack = [share * total - done for share, done in zip(shares, made, strict=True)]
        pick = lack.index(max(lack))
        made[pick] += 1
        result.append(FAMILIES[pick])
    return result
