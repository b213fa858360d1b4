"""Structured3D: rendered rooms with exact depth, and the walls, floors and ceilings they are built of."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32, UInt16

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_image, read_png16
from depthmix.sources.encoding import read_depth_png16
from depthmix.sources.layout import check_size, files_below
from depthmix.sources.planes import drop_small
from depthmix.sources.tables import MISFIT, read_json, read_numbers

__all__ = ["Structured3D", "layout_planes"]


class Structured3D(Source):
    """Read perspective views with metric depth and the room's planes where no furniture stands before them.

    Layout: `<root>/scene_*/2D_rendering/<room>/perspective/full/<position>/{rgb_rawlight, depth,
    instance}.png` with `layout.json` and `camera_pose.txt` beside them.

    Convention: depth is z in millimetres, 0 = no reading (windows, mostly). `xfov` and `yfov` are half the
    fields of view in radians, from the axis to the outer edge, so f = w / 2 / tan(xfov) and the axis meets
    the middle of the image. An instance of 65535 is the room itself.

    Args:
        root: folder of the data set.
        name: name of the source in the mix.
        min_pixels: smaller planes are dropped.
    """

    card = SourceCard(
        family="synthetic",
        quality=Quality.HIGH,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="dense",
        noise="",
        licence="Structured3D Terms of Use: research and education only",
        citation="Zheng, Zhang, Li, Tang, Gao, Zhou: Structured3D: A Large Photo-realistic Dataset for "
        "Structured 3D Modeling, ECCV 2020",
        size="3 500 scenes, 21 835 rooms; scenes 0 to 2999 train, 3000 to 3249 val, 3250 to 3499 test",
    )
    layout = "scene_*/2D_rendering/<room>/perspective/full/<position>/{rgb_rawlight,depth,instance}.png"

    def __init__(self, root: str | Path, *, name: str = "structured3d", min_pixels: int = 200) -> None:
        super().__init__(root, name=name)
        self.min_pixels = min_pixels

    def keys(self) -> Sequence[str]:
        """List `<scene>/<room>/<position>` of all perspective views."""
        pattern = "scene_*/2D_rendering/*/perspective/full/*/depth.png"
        parts = [file.split("/") for file in files_below(self.root, pattern, expected=self.layout)]
        return sorted(f"{scene}/{room}/{position}" for scene, _, room, _, _, position, _ in parts)

    def files(self, key: str) -> Sequence[Path]:
        """List image, camera, layout, instances and depth."""
        if key.count("/") != 2:
            raise self.unknown(key)
        scene, room, position = key.split("/")
        folder = self.root / scene / "2D_rendering" / room / "perspective" / "full" / position
        names = ("rgb_rawlight.png", "camera_pose.txt", "layout.json", "instance.png", "depth.png")
        return [folder / name for name in names]

    def read(self, key: str) -> Sample:
        """Read one view."""
        image_file, camera_file, layout_file, instance_file, depth_file = self.files(key)
        image, instances = read_image(image_file), read_png16(instance_file)
        depth, valid = read_depth_png16(depth_file, per_metre=1000)
        check_size(instances, instance_file, image, image_file)
        check_size(depth, depth_file, image, image_file)
        planes = layout_planes(layout_file, instances)
        return self.sample(
            key,
            image=image,
            target=depth,
            valid=valid,
            planes=drop_small(planes, self.min_pixels),
            intrinsics=_camera(camera_file, image.shape[1], image.shape[0]),
        )


def layout_planes(file: Path, instances: UInt16[np.ndarray, "h w"]) -> Int32[np.ndarray, "h w"]:
    """Draw the visible parts of the room's planes, without what stands before them; 0 elsewhere.

    Raises:
        BadSource: no such file, or not of the published form.
    """
    import cv2

    content: Any = read_json(file)
    planes = np.zeros(instances.shape, np.int32)
    try:
        places = [tuple(junction["coordinate"]) for junction in content["junctions"]]
        for number, plane in enumerate(content["planes"], start=1):
            for polygon in plane["visible_mask"]:
                corners = np.array([places[corner] for corner in polygon], np.float64)
                if not (np.abs(corners) < 1e5).all():
                    raise ValueError(f"a corner lies outside every image: {corners.tolist()}")
                if len(corners) >= 3:
                    cv2.fillPoly(planes, [np.rint(corners).astype(np.int32)], number)
    except MISFIT as error:
        raise BadSource(f"is no layout of a perspective view ({error!r})", file=file) from error
    return np.where(instances == 65535, planes, 0).astype(np.int32)


def _camera(file: Path, width: int, height: int) -> Intrinsics:
    half_x, half_y = read_numbers(file, (12,))[9:11].tolist()
    if not (0.01 < half_x < 1.56 and 0.01 < half_y < 1.56):
        raise BadSource(f"half fields of view must be radians, got {half_x:g} and {half_y:g}", file=file)
    fx, fy = width / 2 / np.tan(half_x), height / 2 / np.tan(half_y)
    return Intrinsics(float(fx), float(fy), (width - 1) / 2, (height - 1) / 2)
