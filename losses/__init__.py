"""Losses that respect what a label can bear: formulas as functions, options as classes."""

from depthmix.losses.base import DepthLoss, Need, check_maps
from depthmix.losses.gradient import GradientMatchingLoss, gradient_matching
from depthmix.losses.metric import LogL1Loss, SilogLoss, log_l1, noise_weight, silog
from depthmix.losses.normal import SurfaceNormalLoss, surface_normal
from depthmix.losses.pairwise_normal import EdgeNormalLoss, PlaneNormalLoss, edge_normal, plane_normal
from depthmix.losses.plane import PlaneLoss, coplanarity
from depthmix.losses.ssi import ScaleShiftInvariantLoss, ssi_trimmed
from depthmix.losses.virtual_normal import VirtualNormalLoss, virtual_normal

__all__ = [
    "DepthLoss",
    "EdgeNormalLoss",
    "GradientMatchingLoss",
    "LogL1Loss",
    "Need",
    "PlaneLoss",
    "PlaneNormalLoss",
    "ScaleShiftInvariantLoss",
    "SilogLoss",
    "SurfaceNormalLoss",
    "VirtualNormalLoss",
    "check_maps",
    "coplanarity",
    "edge_normal",
    "gradient_matching",
    "log_l1",
    "noise_weight",
    "plane_normal",
    "silog",
    "ssi_trimmed",
    "surface_normal",
    "virtual_normal",
]
