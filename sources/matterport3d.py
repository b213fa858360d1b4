"""Matterport3D: tripod panoramas of houses by three depth cameras, straightened by the publisher."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_image
from depthmix.sources.encoding import read_depth_png16
from depthmix.sources.layout import check_size, files_below
from depthmix.sources.tables import MISFIT, read_lines

__all__ = ["Matterport3D"]


class Matterport3D(Source):
    """Read the undistorted pictures of `<root>/<house>`.

    Layout: `undistorted_color_images/<panorama>_i<camera>_<yaw>.jpg`,
    `undistorted_depth_images/<panorama>_d<camera> _<yaw>.png` and
    `undistorted_camera_parameters/<house>.conf`, in which a line `intrinsics_matrix` holds for the lines
    `scan <depth> <colour> <pose>` below it. Keys are `<house>/<panorama>_<camera>_<yaw>`.

    Convention: depth is z in 0.25 mm, 0 = no reading. The publisher counts rows from the bottom of the image,
    so the centre's row is turned round; his "pixels of the images" are taken to have their centres at
    integers.

    Args:
        root: folder of the houses (scans/).
        name: name of the source in the mix.
        rows_from: "bottom" as the publisher says, "top" takes the centre's row as it stands.
        max_depth_m: farther readings are not valid; the sensors are blind there.
    """

    card = SourceCard(
        family="rgb-d",
        quality=Quality.MIDDLE,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="dense",
        noise="",
        licence="Matterport3D Terms of Use: academic use only",
        citation="Chang, Dai, Funkhouser, Halber, Niessner, Savva, Song, Zeng, Zhang: Matterport3D, 3DV 2017",
        size="194 400 pictures of 90 houses",
    )
    layout = "<house>/undistorted_{color_images/*.jpg, depth_images/*.png, camera_parameters/<house>.conf}"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "matterport3d",
        rows_from: Literal["bottom", "top"] = "bottom",
        max_depth_m: float = 16.0,
    ) -> None:
        super().__init__(root, name=name)
        if rows_from not in ("bottom", "top"):
            raise ValueError(f"`rows_from` must be bottom or top, got {rows_from!r}")
        if not 0 < max_depth_m < np.inf:
            raise ValueError(f"`max_depth_m` must be positive and finite, got {max_depth_m}")
        self.rows_from, self.max_depth_m = rows_from, max_depth_m

    def keys(self) -> Sequence[str]:
        """List `<house>/<panorama>_<camera>_<yaw>` of all pictures."""
        found = files_below(self.root, "*/undistorted_color_images/*_i*_*.jpg", expected=self.layout)
        parts = [(name.split("/")[0], Path(name).stem) for name in found]
        return sorted(f"{house}/{_renamed(stem, 'i', '')}" for house, stem in parts)

    def files(self, key: str) -> Sequence[Path]:
        """List picture, camera and depth."""
        house, _, view = key.partition("/")
        panorama, _, place = view.partition("_")
        folder = self.root / house
        return [
            folder / "undistorted_color_images" / f"{panorama}_i{place}.jpg",
            folder / "undistorted_camera_parameters" / f"{house}.conf",
            folder / "undistorted_depth_images" / f"{panorama}_d{place}.png",
        ]

    def read(self, key: str) -> Sample:
        """Read one picture."""
        image_file, camera_file, depth_file = self.files(key)
        image = read_image(image_file)
        depth, valid = read_depth_png16(depth_file, per_metre=4000)
        check_size(depth, depth_file, image, image_file)
        camera = _camera(camera_file, depth_file.name)
        if self.rows_from == "bottom":
            camera = Intrinsics(camera.fx, camera.fy, camera.cx, image.shape[0] - 1 - camera.cy)
        valid &= depth <= self.max_depth_m
        return self.sample(
            key, image=image, target=np.where(valid, depth, np.float32(0)), valid=valid, intrinsics=camera
        )


def _renamed(stem: str, old: str, new: str) -> str:
    """Change the letter before camera and yaw: `abc_i0_3` -> `abc_0_3`."""
    panorama, _, place = stem.partition("_")
    return f"{panorama}_{new}{place.removeprefix(old)}"


def _camera(file: Path, depth_name: str) -> Intrinsics:
    """Return the camera that holds where the file names a depth map."""
    stated, holds, count, scans = [""], None, "", 0
    for words in (line.split() for line in read_lines(file)):
        if words[0] == "n_images":
            count = " ".join(words[1:])
        if words[0] == "intrinsics_matrix":
            stated = words[1:]
        if words[0] == "scan":
            scans += 1
            holds = stated if depth_name in words[1:2] else holds
    if count != str(scans):
        raise BadSource(
            f"says that it names {count or 'no'} images, but names {scans}", file=file, field="n_images"
        )
    if holds is None:
        raise BadSource(f"names no {depth_name}", file=file, hint="use the file of this house")
    try:
        fx, skew, cx, below, fy, cy, *last = (float(word) for word in holds)
        if skew or below or last != [0, 0, 1]:
            raise ValueError(f"must be fx 0 cx 0 fy cy 0 0 1, got {holds}")
        return Intrinsics(fx, fy, cx, cy)
    except MISFIT as error:
        raise BadSource(f"is no camera: {error}", file=file, field="intrinsics_matrix") from error
