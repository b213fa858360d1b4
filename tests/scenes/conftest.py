"""Scenes with closed-form answers, and a tiny corpus that is rendered once."""

from pathlib import Path

import numpy as np
import pytest

from depthmix.scenes import PRESETS, make_demo_data
from depthmix.scenes.camera import Pose
from depthmix.scenes.materials import Material
from depthmix.scenes.mesh import Mesh
from depthmix.scenes.scene import Light, Scene, SceneBuilder, Sky

GREY = Material("plaster", ((0.5, 0.5, 0.5),) * 3, 1.0, 0.0, 1)
SUN = Light((0.0, 0.0, 1.0), True, (1.0, 1.0, 1.0), (0.2, 0.2, 0.2), (0.2, 0.2, 0.2))
SKY = Sky((0.8, 0.9, 1.0), (0.2, 0.4, 0.8), 0.3, 1)


def scene_of(pose: Pose, *shapes: tuple[Mesh, tuple[float, float, float]], light: Light = SUN) -> Scene:
    """Build a scene of grey shapes."""
    builder = SceneBuilder()
    for mesh, at in shapes:
        builder.add(mesh, GREY, at)
    return builder.build(light, SKY, pose, np.radians(60))


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny preset with seed 0, made in this process."""
    pytest.importorskip("open3d")
    root = tmp_path_factory.mktemp("corpus")
    make_demo_data(root, preset=PRESETS["tiny"], seed=0, workers=1)
    return root
