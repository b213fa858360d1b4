"""Losses that respect what a label can bear: formulas as functions, options as classes."""

from depthmix.losses.base import DepthLoss, Need
from depthmix.losses.gradient import GradientMatchingLoss, gradient_matching
from depthmix.losses.metric import LogL1Loss, SilogLoss, log_l1, noise_weight, silog
from depthmix.losses.normal import PairwiseNormalLoss, VirtualNormalLoss, pairwise_normal, virtual_normal
from depthmix.losses.plane import PlaneLoss, coplanarity
from depthmix.losses.ssi import ScaleShiftInvariantLoss, ssi_trimmed

__all__ = [
    "DepthLoss",
    "GradientMatchingLoss",
    "LogL1Loss",
    "Need",
    "PairwiseNormalLoss",
    "PlaneLoss",
    "ScaleShiftInvariantLoss",
    "SilogLoss",
    "VirtualNormalLoss",
    "coplanarity",
    "gradient_matching",
    "log_l1",
    "noise_weight",
    "pairwise_normal",
    "silog",
    "ssi_trimmed",
    "virtual_normal",
]
