"""TartanAir: flights through rendered worlds with exact depth."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, get_args

import numpy as np

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.camera import camera_of_size
from depthmix.sources.decode import read_image, read_npy
from depthmix.sources.encoding import measured
from depthmix.sources.layout import check_size, files_below
from depthmix.sources.listing import matching

__all__ = ["Difficulty", "Side", "TartanAir", "check_range", "frame_key"]

Difficulty = Literal["both", "easy", "hard"]
Side = Literal["left", "right"]


class TartanAir(Source):
    """Read `<root>/<world>/<Easy|Hard>/P*/{image_left, depth_left}`.

    Layout: `image_left/000000_left.png` (640 x 480) and `depth_left/000000_left_depth.npy`, as the archives
    unpack; copies in which each world lies in a second folder of its own name are read as well. Keys are
    `<world>/<Easy|Hard>/P000/000000`. Poses, flow and segmentation are not read.

    Convention: depth is z in metres, since the publisher's disparity is 80 / depth; half-precision numbers.
    The sky is a sphere round the world: the publisher names 10000 as an example of its depth, and 65504, the
    largest half-precision number, was seen. What is at `sky_from_m` or beyond is sky; what lies between
    `farthest_m` and that may be either, and is neither valid nor sky. The camera has f = 320 and its axis in
    the middle of the image (320, 240), which counts from the corner of the first pixel: half a pixel is taken
    off.

    Args:
        root: folder of the worlds.
        name: name of the source in the mix.
        difficulty: read the slow flights ("easy"), the fast ones ("hard"), or both.
        side: which of the two cameras.
        sky_from_m: depth from which a pixel is sky. Worlds differ: look at the largest depths of yours.
        farthest_m: depth up to which a pixel is valid.

    Raises:
        BadSource: no such folder.
        ValueError: `difficulty` or `side` is none of the words above, or not 0 < farthest_m <= sky_from_m.
    """

    card = SourceCard(
        family="synthetic",
        quality=Quality.HIGH,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="dense",
        noise="",
        licence="CC BY 4.0, as commonly stated; not confirmed at its publisher",
        citation="Wang, Zhu, Wang, Hu, Qiu, Wang, Hu, Kapoor, Scherer: TartanAir: A Dataset to Push the "
        "Limits of Visual SLAM, IROS 2020",
        size="Easy and Hard flights through each world; up to 3 TB in all",
    )
    layout: ClassVar[str] = "<world>/<Easy|Hard>/P*/{image_left/*_left.png, depth_left/*_left_depth.npy}"
    camera: ClassVar[Intrinsics] = Intrinsics(320.0, 320.0, 319.5, 239.5)
    camera_size: ClassVar[tuple[int, int]] = (480, 640)

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "tartanair",
        difficulty: Difficulty = "both",
        side: Side = "left",
        sky_from_m: float = 10000.0,
        farthest_m: float = 1000.0,
    ) -> None:
        super().__init__(root, name=name)
        for option, value, allowed in (("difficulty", difficulty, Difficulty), ("side", side, Side)):
            if value not in get_args(allowed):
                raise ValueError(f"`{option}` must be one of {', '.join(get_args(allowed))}, got {value!r}")
        check_range(sky_from_m, farthest_m)
        self.difficulty, self.side = difficulty, side
        self.sky_from_m, self.farthest_m = sky_from_m, farthest_m

    def keys(self) -> Sequence[str]:
        """List the images.

        Raises:
            BadSource: there is none.
        """
        level = "*" if self.difficulty == "both" else self.difficulty.capitalize()
        name = f"P*/image_{self.side}/*_{self.side}.png"
        world = "*/*" if matching(self.root, f"*/*/{level}/P*") else "*"
        found = files_below(self.root, f"{world}/{level}/{name}", expected=self.layout)
        return sorted(frame_key(file, f"_{self.side}.png") for file in found)

    def files(self, key: str) -> Sequence[Path]:
        """List image and depth."""
        folder, _, number = key.rpartition("/")
        flight = self.root / folder
        return [
            flight / f"image_{self.side}" / f"{number}_{self.side}.png",
            flight / f"depth_{self.side}" / f"{number}_{self.side}_depth.npy",
        ]

    def read(self, key: str) -> Sample:
        """Read one frame.

        Raises:
            BadSource: a file is missing, damaged or of another form.
            BadSample: no pixel has a depth.
        """
        image_file, depth_file = self.files(key)
        image, depth = read_image(image_file), self._read_depth(depth_file)
        check_size(depth, depth_file, image, image_file)
        camera = camera_of_size(self.camera, self.camera_size, image.shape[:2], image_file)
        target, valid = measured(depth, highest=self.farthest_m)
        return self.sample(
            key, image=image, target=target, valid=valid, sky=depth >= self.sky_from_m, intrinsics=camera
        )

    def _read_depth(self, file: Path) -> np.ndarray:
        depth = read_npy(file)
        if depth.ndim != 2 or depth.dtype.kind != "f":
            raise BadSource(f"must be float (h, w), got {depth.dtype} {depth.shape}", file=file)
        return depth


def check_range(sky_from_m: float, farthest_m: float) -> None:
    """Check that valid depths end where sky begins or before.

    Raises:
        ValueError: they do not.
    """
    if not 0 < farthest_m <= sky_from_m:
        raise ValueError(
            f"`farthest_m` must be above 0 and at most `sky_from_m` = {sky_from_m:g}, got {farthest_m:g}"
        )


def frame_key(file: str, ending: str) -> str:
    """Return the key of an image: its flight and its number, without the folder of the camera."""
    folder, _, name = file.rpartition("/")
    return f"{folder.rpartition('/')[0]}/{name.removesuffix(ending)}"
