"""NYU Depth V2: what its layouts share, and the synchronised PNG frames."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import ClassVar, Final, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.camera import camera_of_size
from depthmix.sources.decode import read_image
from depthmix.sources.encoding import read_depth_png16
from depthmix.sources.layout import check_size, files_below

__all__ = ["CARD", "COLOUR", "PER_CODE", "RANGE_M", "SIZE", "Border", "NyuFrames", "NyuSync"]

Border = Literal["crop", "mask"]

SIZE: Final = (480, 640)
# The two cameras of the publisher's toolbox, whose focal lengths differ by 12 %: this one is of the colour
# images and of every depth map that was projected into them; the other one is in nyu_raw.py. The toolbox
# counts pixels from 1; as all public readers do, the numbers are taken for pixels that count from 0.
COLOUR: Final = Intrinsics(518.85790117450188, 519.46961112127485, 325.58244941119034, 253.73616633400465)
# Rows and columns, first to behind the last, that the toolbox keeps: around them lies a white frame, where
# the undistorted image has no pixels.
_WINDOW: Final = ((45, 471), (41, 601))
RANGE_M: Final = 10.0  # what the toolbox cuts the depth at
PER_CODE: Final = 351.3  # metres times codes: z = 351.3 / (1092.5 - code)

CARD: Final = SourceCard(
    family="rgb-d",
    quality=Quality.MIDDLE,
    kind=LabelKind.METRIC_DEPTH,
    unit="m",
    density="dense",
    noise="sigma_z = z^2 * sigma_code / 351.3",
    licence="none named; free for research, as commonly stated; not confirmed at its publisher",
    citation="Silberman, Hoiem, Kohli, Fergus: Indoor Segmentation and Support Inference from RGBD Images, "
    "ECCV 2012",
)


class NyuFrames(Source):
    """Share between the layouts of NYU Depth V2 what they do with a frame once it is decoded.

    Args:
        root: folder of the raw data.
        name: name of the source in the mix.
        border: "crop" cuts off the frame without pixels around an undistorted image, and moves the camera
            along; "mask" keeps the published size, and what lies in the frame is not valid.
        max_depth_m: what is not nearer is not valid; the publisher cuts at 10 m.
        sigma_code: one standard deviation of a code of the sensor; half a code gives 1.4 mm at 1 m and
            36 mm at 5 m, as measured for this sensor.

    Raises:
        BadSource: no such folder.
        ValueError: an option is none of its names, or not positive.
    """

    def __init__(
        self, root: str | Path, *, name: str, border: Border, max_depth_m: float, sigma_code: float
    ) -> None:
        super().__init__(root, name=name)
        if border not in get_args(Border):
            raise ValueError(f"`border` must be one of {', '.join(get_args(Border))}, got {border!r}")
        for option, value in (("max_depth_m", max_depth_m), ("sigma_code", sigma_code)):
            if not value > 0:
                raise ValueError(f"`{option}` must be positive, got {value}")
        self.border, self.max_depth_m, self.sigma_code = border, max_depth_m, sigma_code

    def framed(
        self,
        key: str,
        image: UInt8[np.ndarray, "h w 3"],
        depth: Float32[np.ndarray, "h w"],
        valid: Bool[np.ndarray, "h w"],
        *,
        noisy: bool = True,
    ) -> Sample:
        """Tag one frame of the colour camera: camera, spread, frame without pixels.

        Raises:
            BadSource: the image has another aspect than the published ones.
            BadSample: no pixel has a depth.
        """
        camera = camera_of_size(COLOUR, SIZE, image.shape[:2], self.files(key)[0])
        sizes = zip(image.shape, SIZE, _WINDOW, strict=False)
        (top, bottom), (left, right) = ((ceil(a * n / m), b * n // m) for n, m, (a, b) in sizes)
        kept = np.zeros_like(valid)
        kept[top:bottom, left:right] = True
        valid = valid & kept & (depth < self.max_depth_m)
        depth = np.where(valid, depth, np.float32(0))
        sigma = depth**2 * np.float32(self.sigma_code / PER_CODE) if noisy else None
        sample = self.sample(key, image=image, target=depth, valid=valid, sigma=sigma, intrinsics=camera)
        if self.border == "mask":
            return sample
        names = ("image", "target", "valid", "sky", "planes", *(["sigma"] if noisy else []))
        inside = {name: getattr(sample, name)[top:bottom, left:right].copy() for name in names}
        return sample.replaced(**inside, intrinsics=camera.cropped(left, top))


class NyuSync(NyuFrames):
    """Read `<root>/<scene>/{rgb_00000.jpg, sync_depth_00000.png}`: 16-bit depth in millimetres.

    Layout: the archive `sync` that was published with BTS (24231 frames of 249 scenes), and the folders
    `official_splits/train` and `official_splits/test` that its script cuts out of the labelled .mat file;
    point `root` at one of them. Keys are `<scene>/<number>`.

    Convention: depth was projected into the colour image, so the camera is the colour camera of the
    publisher's toolbox (fx = 518.86). 0 was not measured. Around the image lies a white or black frame.

    Args:
        root: folder of the scenes.
        name: name of the source in the mix.
        per_metre: stored numbers in one metre; exports of other projects use 5000 or 6000.
        border: as in `NyuFrames`.
        max_depth_m: as in `NyuFrames`.
        sigma_code: as in `NyuFrames`.

    Raises:
        BadSource: no such folder.
        ValueError: an option is none of its names, or not positive.
    """

    card = replace(CARD, size="24231 synchronised frames of 249 scenes", read_on_real_files=True)
    layout: ClassVar[str] = "<scene>/{rgb_*.jpg, sync_depth_*.png}"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "nyu_sync",
        per_metre: float = 1000.0,
        border: Border = "crop",
        max_depth_m: float = RANGE_M,
        sigma_code: float = 0.5,
    ) -> None:
        super().__init__(root, name=name, border=border, max_depth_m=max_depth_m, sigma_code=sigma_code)
        if not 0 < per_metre < np.inf:
            raise ValueError(f"`per_metre` must be positive and finite, got {per_metre}")
        self.per_metre = per_metre

    def keys(self) -> Sequence[str]:
        """List the images as `<scene>/<number>`.

        Raises:
            BadSource: there is none.
        """
        found = files_below(self.root, "*/rgb_*.jpg", expected=self.layout)
        return sorted(name.replace("/rgb_", "/").removesuffix(".jpg") for name in found)

    def files(self, key: str) -> Sequence[Path]:
        """List image and depth."""
        scene, _, number = key.rpartition("/")
        folder = self.root / scene
        return [folder / f"rgb_{number}.jpg", folder / f"sync_depth_{number}.png"]

    def read(self, key: str) -> Sample:
        """Read one frame.

        Raises:
            BadSource: a file is missing, damaged, or of another size.
            BadSample: no pixel has a depth.
        """
        image_file, depth_file = self.files(key)
        image = read_image(image_file)
        depth, valid = read_depth_png16(depth_file, per_metre=self.per_metre)
        check_size(depth, depth_file, image, image_file)
        return self.framed(key, image, depth, valid)
