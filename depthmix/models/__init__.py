"""Networks that map an image to one map of log canonical depth."""

from depthmix.models.light import LightDepthNet

__all__ = ["LightDepthNet"]
