"""Adapters for raw depth data sets, one file each; README.md in this folder tells how to add one."""

from depthmix.sources.base import Source, SourceCard
from depthmix.sources.exact import ExactScenes
from depthmix.sources.kitti import KittiLidar
from depthmix.sources.middlebury import MiddleburyStereo, MotorcycleStereo
from depthmix.sources.planes import PlaneInstances
from depthmix.sources.stereo_pairs import OakPairs, StereoPairs
from depthmix.sources.web_stereo import WebStereo

__all__ = [
    "ExactScenes",
    "KittiLidar",
    "MiddleburyStereo",
    "MotorcycleStereo",
    "OakPairs",
    "PlaneInstances",
    "Source",
    "SourceCard",
    "StereoPairs",
    "WebStereo",
]
