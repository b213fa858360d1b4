"""All that a configuration names, with torch and Lightning behind it.

`depthmix.cli.constructors` has the same names without them, for a check that starts at once.
"""

from lightning.pytorch import Trainer
from torch.nn import Module

from depthmix.augment import AugmentOptions
from depthmix.canonical import form_of
from depthmix.data import MixData, SourceSpec
from depthmix.device_augment import DeviceAugmentOptions
from depthmix.doubt import Disagreement
from depthmix.feature_alignment import AlignedFeatures, FeatureAlignment
from depthmix.losses import DepthLoss, EdgeMask
from depthmix.mixture import Phase
from depthmix.models import LightDepthNet  # imported so that short names of networks resolve
from depthmix.objective import Objective, Term, head_problems, term_problems
from depthmix.shapes import Shape
from depthmix.task import DepthTask

__all__ = [
    "AlignedFeatures",
    "AugmentOptions",
    "DepthLoss",
    "DepthTask",
    "DeviceAugmentOptions",
    "Disagreement",
    "EdgeMask",
    "FeatureAlignment",
    "LightDepthNet",
    "MixData",
    "Module",
    "Objective",
    "Phase",
    "Shape",
    "SourceSpec",
    "Term",
    "Trainer",
    "form_of",
    "head_problems",
    "term_problems",
]
