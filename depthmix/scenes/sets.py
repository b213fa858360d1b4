"""The named sets of the demo: which adapter reads which part of the raw data."""

from pathlib import Path

from depthmix.scenes.plan import FAMILIES, TRAINING
from depthmix.sources import (
    ExactScenes,
    KittiLidar,
    MiddleburyStereo,
    MotorcycleStereo,
    OakPairs,
    PlaneInstances,
    WebStereo,
)
from depthmix.sources.base import Source

__all__ = ["EVALUATION", "demo_sources", "exact_sources"]

EVALUATION = (*FAMILIES, "motorcycle")


def demo_sources(raw: Path, oak: Path | None) -> list[Source]:
    """Open every set: four rendered training sources with a validation part each, real pairs, evaluation.

    Args:
        raw: folder written by `make_demo_data`.
        oak: the stereodemo wheel with real stereo pairs, or None to go without them.

    Returns:
        Sources named web, kitti, middlebury, planes and oak for training, the first four with `_val` for
        validation, rooms, streets, clutter (exact) and motorcycle (real) for evaluation.
    """
    return [
        WebStereo(raw / "web", split="train", name="web"),
        KittiLidar(raw / "kitti", name="kitti"),
        MiddleburyStereo(raw / "middlebury" / "train", name="middlebury"),
        PlaneInstances(raw / "planes" / "train", name="planes"),
        *([OakPairs(oak, name="oak")] if oak else []),
        WebStereo(raw / "web", split="val", name="web_val"),
        KittiLidar(raw / "kitti" / "val", name="kitti_val"),
        MiddleburyStereo(raw / "middlebury" / "val", name="middlebury_val"),
        PlaneInstances(raw / "planes" / "val", name="planes_val"),
        *(ExactScenes(raw / "eval" / family, name=family) for family in FAMILIES),
        MotorcycleStereo(name="motorcycle"),
    ]


def exact_sources(raw: Path) -> list[Source]:
    """Open the exact labels of the images that are trained and validated on, of a preset that has them.

    Returns:
        Sources named web_exact, kitti_exact, middlebury_exact and planes_exact for training, and rooms_val,
        streets_val and clutter_val: the validation images of all four, by their scenes.
    """
    return [
        *(ExactScenes(raw / "exact" / "train" / name, name=f"{name}_exact") for name in TRAINING),
        *(ExactScenes(raw / "exact" / "val" / family, name=f"{family}_val") for family in FAMILIES),
    ]
