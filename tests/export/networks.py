"""A small trained network, and real photos at its size."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from skimage import data

from depthmix.models import LightDepthNet
from depthmix.trained import Origin, Trained

CARD = {"licence": "CC BY 4.0", "kind": "METRIC_DEPTH"}
SOURCES = {
    "kitti": {
        "licence": "CC BY-NC-SA 3.0",
        "kind": "METRIC_DEPTH",
        "quality": "HIGH",
        "unit": "m",
        "family": "lidar",
        "citation": "Geiger et al.: Are we ready, CVPR 2012",
    },
    "web": {
        "licence": "that of the pairs",
        "kind": "AFFINE_DISPARITY",
        "quality": "WEAK",
        "citation": "Xian",
    },
    "rooms": {"licence": "MIT", "kind": "METRIC_DEPTH", "quality": "HIGH", "unit": "m"},
}
ORIGIN = Origin("0.1.0", None, {"kitti": "ab12"}, {"kitti": 2.0, "web": 1.0, "rooms": 1.0})


def small(**changes: Any) -> Trained:
    """Return a network whose weights are random everywhere, so that each of them matters."""
    torch.manual_seed(0)
    net = LightDepthNet(widths=[8, 16], bottleneck=1, outputs=changes.pop("outputs", 1))
    for weight in net.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    whole = Trained(net.eval(), 80.0, True, 32, 48, SOURCES, spec=net.spec, origin=ORIGIN)
    return replace(whole, **changes)


def real_photos(height: int = 32, width: int = 48) -> torch.Tensor:
    found = [
        cv2.resize(image()[..., :3], (width, height), interpolation=cv2.INTER_AREA)
        for image in (data.cat, data.coffee, data.rocket)
    ]
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).float() / 255
