"""Rendered scenes with exact depth, normals and planes, for evaluation."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float32

from depthmix.errors import BadSource
from depthmix.sample import LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.camera import read_intrinsics
from depthmix.sources.decode import read_ids, read_image, read_npy
from depthmix.sources.layout import check_size, files_by_stem, look_up

__all__ = ["ExactScenes"]


class ExactScenes(Source):
    """Read scenes whose depth is known exactly at every pixel.

    Layout: `<root>/{images/*.png, depth/*.npy, planes/*.png, normals/*.npy, cameras/*.json}`; the files of a
    sample share their stem, which is its key.

    Convention: depth is float32 z in metres, inf = sky; nothing else may be missing. Planes are 16-bit ids,
    0 = none. Normals are float16 (h, w, 3) in the camera frame (x right, y down, z forward), pointing towards
    the camera; they are no part of a `Sample`, see `normals`.

    Args:
        root: folder that holds the five folders.
        name: name of the source in the mix.
    """

    card = SourceCard(
        family="synthetic",
        quality=Quality.HIGH,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="dense",
        noise="",
        licence="Apache-2.0, as the scenes that depthmix renders; other scenes keep their own",
        citation="depthmix, rendered scenes",
    )
    layout: ClassVar[str] = "images, depth, planes, normals and cameras"

    def __init__(self, root: str | Path, *, name: str = "exact") -> None:
        super().__init__(root, name=name)
        self._images = files_by_stem(self.root / "images")

    def keys(self) -> Sequence[str]:
        """List the stems of the images."""
        return list(self._images)

    def files(self, key: str) -> Sequence[Path]:
        """List image, planes, camera and depth."""
        image = look_up(self._images, key, root=self.root, source=self.name)
        return [
            image,
            self.root / "planes" / f"{key}.png",
            self.root / "cameras" / f"{key}.json",
            self.root / "depth" / f"{key}.npy",
        ]

    def read(self, key: str) -> Sample:
        """Read one scene."""
        image_file, planes_file, camera_file, depth_file = self.files(key)
        image, planes, depth = read_image(image_file), read_ids(planes_file), read_depth(depth_file)
        check_size(planes, planes_file, image, image_file)
        check_size(depth, depth_file, image, image_file)
        sky = np.isinf(depth)
        camera = read_intrinsics(camera_file)
        return self.sample(
            key, image=image, target=depth, valid=~sky, sky=sky, planes=planes, intrinsics=camera
        )

    def normals(self, key: str) -> Float32[np.ndarray, "h w 3"]:
        """Read the unit normals of one scene, 0 on sky.

        Raises:
            BadSource: no such key or file, damaged, or a pixel whose normal is neither of length 1 nor 0.
        """
        look_up(self._images, key, root=self.root, source=self.name)
        file = self.root / "normals" / f"{key}.npy"
        normals = read_npy(file)
        if normals.ndim != 3 or normals.shape[2] != 3 or normals.dtype.kind != "f":
            raise BadSource(f"must be float (h, w, 3), got {normals.dtype} {normals.shape}", file=file)
        normals = normals.astype(np.float32)
        length = np.linalg.norm(normals, axis=2)
        # Rounding to float16 changes a length by up to 0.0005; what is not finite fails both comparisons.
        wrong = ~((length == 0) | (np.abs(length - 1) < 0.01))
        if wrong.any():
            reason = f"{int(wrong.sum())} of {wrong.size} normals have neither length 1 nor, on sky, 0"
            raise BadSource(reason, file=file)
        return normals


def read_depth(file: Path) -> Float32[np.ndarray, "h w"]:
    """Read z in metres with inf for sky.

    Raises:
        BadSource: no such file, damaged, not float32 (h, w), or a value that is neither positive nor inf.
    """
    depth = read_npy(file)
    if depth.ndim != 2 or depth.dtype != np.float32:
        raise BadSource(f"must be float32 (h, w), got {depth.dtype} {depth.shape}", file=file)
    wrong = ~(depth > 0)
    if wrong.any():
        reason = f"{int(wrong.sum())} of {depth.size} pixels are neither positive nor inf (sky)"
        raise BadSource(reason, file=file, field="depth")
    return depth
