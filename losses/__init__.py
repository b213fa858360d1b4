"""Losses that respect what a label can bear: formulas as functions, options as classes."""

from depthmix.losses.base import DepthLoss, Need, check_maps
from depthmix.losses.derivative import GradientErrorLoss, LaplacianErrorLoss, gradient_error, laplacian_error
from depthmix.losses.edges import EdgeGuidedLoss, edge_guided, strong_edges
from depthmix.losses.fattening import EdgeMask, label_steps, near_steps, unmatched_steps
from depthmix.losses.focal import FocalLoss, focal_error
from depthmix.losses.gradient import GradientMatchingLoss, gradient_matching
from depthmix.losses.hierarchy import HierarchicalLoss, hierarchical
from depthmix.losses.learned_noise import LearnedNoiseLoss, depth_bin, scaled_l1
from depthmix.losses.least_squares import LeastSquaresLoss, ssi_least_squares
from depthmix.losses.log_error import noise_weight
from depthmix.losses.metres import (
    BerhuLoss,
    DepthL1Loss,
    HuberLoss,
    InverseDepthL1Loss,
    berhu,
    depth_l1,
    huber,
    inverse_depth_l1,
)
from depthmix.losses.metric import LogL1Loss, ScaleFreeSilogLoss, SilogLoss, log_l1, silog
from depthmix.losses.noise import LabelNoiseLoss, gaussian_noise, laplace_noise
from depthmix.losses.normal import SurfaceNormalLoss, surface_normal
from depthmix.losses.normalised import NormalisedRegressionLoss, normalised_regression
from depthmix.losses.pairs import edge_quadruples, image_edges
from depthmix.losses.pairwise_normal import EdgeNormalLoss, PlaneNormalLoss, edge_normal, plane_normal
from depthmix.losses.patches import LocalPointLoss, local_affine, local_points
from depthmix.losses.plane import PlaneLoss, coplanarity
from depthmix.losses.plane_angle import ManhattanLoss, PlaneAngleLoss, manhattan, plane_angle
from depthmix.losses.plane_offset import PlaneOffsetLoss, SamePlaneLoss, plane_offset, same_plane
from depthmix.losses.ranking import (
    OrdinalLoss,
    RankingLoss,
    label_relations,
    ordinal_ranking,
    pair_ranking,
)
from depthmix.losses.regions import RegionNormalisedLoss, region_normalised
from depthmix.losses.scale import ScaleLoss, scale_error
from depthmix.losses.sigma import inverse_depth_noise, shape_weight
from depthmix.losses.sky import SkyBehindLoss, SkyLoss, sky_behind, sky_cross_entropy
from depthmix.losses.ssi import ScaleShiftInvariantLoss, ssi_trimmed
from depthmix.losses.trim import keep_smallest, keep_smallest_blocks
from depthmix.losses.uncertainty import ErrorForecastLoss, UncertainDepthLoss, error_forecast, uncertain_l1
from depthmix.losses.virtual_normal import VirtualNormalLoss, virtual_normal

__all__ = [
    "BerhuLoss",
    "DepthL1Loss",
    "DepthLoss",
    "EdgeGuidedLoss",
    "EdgeMask",
    "EdgeNormalLoss",
    "ErrorForecastLoss",
    "FocalLoss",
    "GradientErrorLoss",
    "GradientMatchingLoss",
    "HierarchicalLoss",
    "HuberLoss",
    "InverseDepthL1Loss",
    "LabelNoiseLoss",
    "LaplacianErrorLoss",
    "LearnedNoiseLoss",
    "LeastSquaresLoss",
    "LocalPointLoss",
    "LogL1Loss",
    "ManhattanLoss",
    "Need",
    "NormalisedRegressionLoss",
    "OrdinalLoss",
    "PlaneAngleLoss",
    "PlaneLoss",
    "PlaneNormalLoss",
    "PlaneOffsetLoss",
    "RankingLoss",
    "RegionNormalisedLoss",
    "SamePlaneLoss",
    "ScaleFreeSilogLoss",
    "ScaleLoss",
    "ScaleShiftInvariantLoss",
    "SilogLoss",
    "SkyBehindLoss",
    "SkyLoss",
    "SurfaceNormalLoss",
    "UncertainDepthLoss",
    "VirtualNormalLoss",
    "berhu",
    "check_maps",
    "coplanarity",
    "depth_bin",
    "depth_l1",
    "edge_guided",
    "edge_normal",
    "edge_quadruples",
    "error_forecast",
    "focal_error",
    "gaussian_noise",
    "gradient_error",
    "gradient_matching",
    "hierarchical",
    "huber",
    "image_edges",
    "inverse_depth_l1",
    "inverse_depth_noise",
    "keep_smallest",
    "keep_smallest_blocks",
    "label_relations",
    "label_steps",
    "laplace_noise",
    "laplacian_error",
    "local_affine",
    "local_points",
    "log_l1",
    "manhattan",
    "near_steps",
    "noise_weight",
    "normalised_regression",
    "ordinal_ranking",
    "pair_ranking",
    "plane_angle",
    "plane_normal",
    "plane_offset",
    "region_normalised",
    "same_plane",
    "scale_error",
    "scaled_l1",
    "shape_weight",
    "silog",
    "sky_behind",
    "sky_cross_entropy",
    "ssi_least_squares",
    "ssi_trimmed",
    "strong_edges",
    "surface_normal",
    "uncertain_l1",
    "unmatched_steps",
    "virtual_normal",
]
