"""Procedural scenes, rendered exactly and written as the raw data of four sources and an evaluation set."""

from depthmix.scenes.corpus import make_demo_data
from depthmix.scenes.plan import PRESETS, Preset

__all__ = ["PRESETS", "Preset", "make_demo_data"]
