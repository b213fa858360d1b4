"""3D Ken Burns: renderings of bought scenes by a rig of four cameras."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from depthmix.errors import BadSample, BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.camera import read_json_object
from depthmix.sources.decode import read_image
from depthmix.sources.encoding import measured
from depthmix.sources.exr import read_exr
from depthmix.sources.layout import check_size, files_below

__all__ = ["KenBurns"]


class KenBurns(Source):
    """Read `<root>/<scene>/*-image.png` with `*-meta.json`, and `<root>/<scene>-depth/*-depth.exr`.

    That is how the archives of a scene unpack, each into the folder that it is named after. Pictures are
    called 00001-tl-image.png; the cameras of the rig are tl, tr, bl and br, and one 00001-meta.json holds for
    all four. Keys are `<scene>/<frame>-<camera>`.

    Convention: depth is z in the unit of the game engine; scenes of several makers do not keep one unit, and
    readers divide by 100 or by 1000, so it is taken as known up to scale. `fltFov` is the horizontal field of
    view in degrees, and the axis meets the middle of the image. Where nothing is hit, depth is very large:
    sky. NaN and numbers that are not positive are not valid, and no sky.

    Args:
        root: folder of the scenes.
        name: name of the source in the mix.
        cameras: which of the four cameras; none named takes all.
        per_unit: stored numbers in one unit of the target.
        sky_from: stored numbers from which on there is nothing but sky.
    """

    card = SourceCard(
        family="synthetic",
        quality=Quality.HIGH,
        kind=LabelKind.SCALED_DEPTH,
        unit="m up to scale",
        density="dense",
        noise="",
        licence="CC BY-NC-SA 4.0",
        citation="Niklaus, Mai, Yang, Liu: 3D Ken Burns Effect from a Single Image, ACM Transactions on "
        "Graphics 2019",
        size="76 048 images of 32 scenes",
    )
    layout = "<scene>/{*-image.png, *-meta.json} and <scene>-depth/*-depth.exr"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "ken_burns",
        cameras: Sequence[str] = (),
        per_unit: float = 100.0,
        sky_from: float = 50_000.0,
    ) -> None:
        super().__init__(root, name=name)
        unknown = set(cameras) - {"tl", "tr", "bl", "br"}
        if unknown:
            raise ValueError(f"`cameras` must be some of tl, tr, bl, br, got {list(cameras)}")
        for option, value in (("per_unit", per_unit), ("sky_from", sky_from)):
            if not 0 < value < math.inf:
                raise ValueError(f"`{option}` must be positive and finite, got {value}")
        self.cameras, self.per_unit, self.sky_from = tuple(cameras), per_unit, sky_from

    def keys(self) -> Sequence[str]:
        """List `<scene>/<frame>-<view>` of all pictures."""
        found = files_below(self.root, "*/*-image.png", expected=self.layout)
        keys = [name.removesuffix("-image.png") for name in found]
        kept = sorted(key for key in keys if not self.cameras or key.rpartition("-")[2] in self.cameras)
        if not kept:
            raise BadSource(
                f"holds no picture of {', '.join(self.cameras)}", file=self.root, hint="check `cameras`"
            )
        return kept

    def files(self, key: str) -> Sequence[Path]:
        """List picture, camera and depth."""
        scene, _, frame = key.rpartition("/")
        number = frame.rpartition("-")[0]
        return [
            self.root / scene / f"{frame}-image.png",
            self.root / scene / f"{number}-meta.json",
            self.root / f"{scene}-depth" / f"{frame}-depth.exr",
        ]

    def read(self, key: str) -> Sample:
        """Read one picture."""
        image_file, camera_file, depth_file = self.files(key)
        image, stored = read_image(image_file), read_exr(depth_file)
        check_size(stored, depth_file, image, image_file)
        sky = stored >= self.sky_from
        target, valid = measured(stored / self.per_unit)
        height, width = image.shape[:2]
        camera = _camera(camera_file, height, width)
        return self.sample(key, image=image, target=target, valid=valid & ~sky, sky=sky, intrinsics=camera)


def _camera(file: Path, height: int, width: int) -> Intrinsics:
    content: dict[str, Any] = read_json_object(file)
    degrees = content.get("fltFov")
    if not isinstance(degrees, float) or not 1 <= degrees <= 179:
        raise BadSource(f"must be degrees in 1 .. 179, got {degrees!r}", file=file, field="fltFov")
    focal = width / 2 / math.tan(math.radians(degrees) / 2)
    try:
        return Intrinsics(focal, focal, width / 2 - 0.5, height / 2 - 0.5)
    except BadSample as error:
        raise BadSource(error.reason, file=file, field="fltFov") from error
