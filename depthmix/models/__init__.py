"""Networks that map an image to one map of log canonical depth."""

from depthmix.models.backbone_net import BackboneDepthNet
from depthmix.models.light import LightDepthNet
from depthmix.models.lite import LiteDepthNet
from depthmix.models.pretrained_folder import save_pretrained_folder
from depthmix.models.transformers_net import TransformersDepthNet

__all__ = [
    "BackboneDepthNet",
    "LightDepthNet",
    "LiteDepthNet",
    "TransformersDepthNet",
    "save_pretrained_folder",
]
