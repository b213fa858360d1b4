"""Adapters for raw depth data sets, one file each; README.md in this folder tells how to add one."""

from depthmix.sources.argoverse2 import Argoverse2
from depthmix.sources.argoverse_stereo import ArgoverseStereo
from depthmix.sources.arkitscenes import ArkitScenes
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.blended_mvs import BlendedMvs
from depthmix.sources.booster import Booster
from depthmix.sources.calibrated_pairs import CalibratedPairs, OakStereo
from depthmix.sources.cityscapes import Cityscapes
from depthmix.sources.dgp import Dgp
from depthmix.sources.diml import DimlIndoor, DimlOutdoor
from depthmix.sources.diode import Diode
from depthmix.sources.diverse_depth import DiverseDepth
from depthmix.sources.diw import Diw
from depthmix.sources.driving_stereo import DrivingStereo
from depthmix.sources.eth3d_highres import Eth3dHighRes
from depthmix.sources.eth3d_two_view import Eth3dTwoView
from depthmix.sources.exact import ExactScenes
from depthmix.sources.folder import FolderSource
from depthmix.sources.found_planes import FoundPlanes
from depthmix.sources.holicity import HoliCity
from depthmix.sources.holopix import Holopix50k
from depthmix.sources.hypersim import Hypersim
from depthmix.sources.ibims import IBims1
from depthmix.sources.ibims_mat import IBims1Mat
from depthmix.sources.instereo2k import InStereo2K
from depthmix.sources.irs import Irs
from depthmix.sources.ken_burns import KenBurns
from depthmix.sources.kitti import KittiLidar
from depthmix.sources.kitti_depth import KittiDepth, KittiDepthSelection
from depthmix.sources.kitti_stereo import KittiStereo
from depthmix.sources.make3d import Make3D
from depthmix.sources.matterport3d import Matterport3D
from depthmix.sources.megadepth import MegaDepth
from depthmix.sources.middlebury import MiddleburyStereo, MotorcycleStereo
from depthmix.sources.middlebury_classic import MiddleburyClassic
from depthmix.sources.nuscenes import NuScenes
from depthmix.sources.nyu import NyuSync
from depthmix.sources.nyu_labelled import NyuLabelled
from depthmix.sources.nyu_raw import NyuRaw
from depthmix.sources.oasis import Oasis
from depthmix.sources.planes import PlaneInstances
from depthmix.sources.pseudo import PseudoLabelSource
from depthmix.sources.redweb import ReDWeb
from depthmix.sources.redwood import Redwood
from depthmix.sources.replica import Replica
from depthmix.sources.scannet import ScanNet
from depthmix.sources.scannet_planes import ScanNetPlanes
from depthmix.sources.scene_flow import SceneFlow
from depthmix.sources.segmentation import CocoPanoptic, SemanticMaps
from depthmix.sources.seven_scenes import SevenScenes
from depthmix.sources.sintel import Sintel
from depthmix.sources.sparse_planes import SparsePlanes
from depthmix.sources.spring import Spring
from depthmix.sources.stereo_pairs import OakPairs, StereoPairs
from depthmix.sources.structured3d import Structured3D
from depthmix.sources.sun_rgbd import SunRgbd
from depthmix.sources.tartanair import TartanAir
from depthmix.sources.tartanair_v2 import TartanAirV2
from depthmix.sources.taskonomy import Taskonomy
from depthmix.sources.tum import Tum
from depthmix.sources.vkitti2 import VirtualKitti2
from depthmix.sources.web_stereo import WebStereo
from depthmix.sources.wsvd import Wsvd

__all__ = [
    "Argoverse2",
    "ArgoverseStereo",
    "ArkitScenes",
    "BlendedMvs",
    "Booster",
    "CalibratedPairs",
    "Cityscapes",
    "CocoPanoptic",
    "Dgp",
    "DimlIndoor",
    "DimlOutdoor",
    "Diode",
    "DiverseDepth",
    "Diw",
    "DrivingStereo",
    "Eth3dHighRes",
    "Eth3dTwoView",
    "ExactScenes",
    "FolderSource",
    "FoundPlanes",
    "HoliCity",
    "Holopix50k",
    "Hypersim",
    "IBims1",
    "IBims1Mat",
    "InStereo2K",
    "Irs",
    "KenBurns",
    "KittiDepth",
    "KittiDepthSelection",
    "KittiLidar",
    "KittiStereo",
    "Make3D",
    "Matterport3D",
    "MegaDepth",
    "MiddleburyClassic",
    "MiddleburyStereo",
    "MotorcycleStereo",
    "NuScenes",
    "NyuLabelled",
    "NyuRaw",
    "NyuSync",
    "OakPairs",
    "OakStereo",
    "Oasis",
    "PlaneInstances",
    "PseudoLabelSource",
    "ReDWeb",
    "Redwood",
    "Replica",
    "ScanNet",
    "ScanNetPlanes",
    "SceneFlow",
    "SemanticMaps",
    "SevenScenes",
    "Sintel",
    "Source",
    "SourceCard",
    "SparsePlanes",
    "Spring",
    "StereoPairs",
    "Structured3D",
    "SunRgbd",
    "TartanAir",
    "TartanAirV2",
    "Taskonomy",
    "Tum",
    "VirtualKitti2",
    "WebStereo",
    "Wsvd",
]
