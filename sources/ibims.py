"""iBims-1: rooms scanned by a laser, with masks of walls, tables and floors."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final, Literal

import numpy as np
from jaxtyping import Bool, Int32

from depthmix.errors import BadSample, BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_ids, read_image, read_mask
from depthmix.sources.encoding import read_depth_png16
from depthmix.sources.layout import check_size, files_below, files_by_stem
from depthmix.sources.tables import read_numbers

__all__ = ["CARD", "MASKS", "PLANES", "IBims1", "IBimsImages", "join_planes"]

PLANES: Final = ("mask_wall", "mask_table", "mask_floor")
MASKS: Final = ("mask_invalid", "mask_transp")  # in both, 0 is what must not be read
_PER_METRE: Final = 65535 / 50

CARD: Final = SourceCard(
    family="lidar",
    quality=Quality.HIGH,
    kind=LabelKind.METRIC_DEPTH,
    unit="m",
    density="dense",
    noise="",
    licence="none named in what could be read; free for research, as commonly stated",
    citation="Koch, Liebel, Fraundorfer, Koerner: Evaluation of CNN-based Single-Image Depth Estimation "
    "Methods, ECCV workshops 2018",
    size="100 images (640 x 480), meant for testing",
)


class IBimsImages(Source):
    """Share between the two archives of iBims-1 what they do with a calibration.

    Args:
        root: folder of the raw data.
        name: name of the source in the mix.
        first_pixel: the number that the calibration gives to the first pixel.

    Raises:
        BadSource: no such folder.
        ValueError: `first_pixel` is neither 0 nor 1.
    """

    def __init__(self, root: str | Path, *, name: str, first_pixel: Literal[0, 1]) -> None:
        super().__init__(root, name=name)
        if first_pixel not in (0, 1):
            raise ValueError(f"`first_pixel` must be 0 or 1, got {first_pixel!r}")
        self.first_pixel = first_pixel

    def camera(self, numbers: Sequence[float], file: Path) -> Intrinsics:
        """Return the camera of fx, fy, cx, cy as the publisher states them.

        Raises:
            BadSource: they describe no camera.
        """
        fx, fy, cx, cy = (float(number) for number in numbers)
        try:
            return Intrinsics(fx, fy, cx - self.first_pixel, cy - self.first_pixel)
        except BadSample as error:
            raise BadSource(error.reason, file=file, field=f"calib: {error.field}") from error


class IBims1(IBimsImages):
    """Read `<root>/{rgb,depth,mask_invalid,mask_transp}/*.png` and `calib/*.txt`, the archive of PNG files.

    Layout: `ibims1_core_raw.zip` as it unpacks. `mask_wall`, `mask_table` and `mask_floor` hold plane
    instances; they are optional, each folder and each file in it. Keys are the names of the images.

    Convention: depth is 16-bit, z = number * 50 / 65535 metres, 0 = not measured. In `mask_invalid` and
    `mask_transp` (glass) 0 must not be read. In a plane mask 0 is none and each other number is one plane;
    numbers of walls, tables and floors do not meet. `calib/*.txt` holds fx, fy, cx, cy. The publisher's
    evaluation uses the centre for pixels that count from 1, so 1 is taken off.

    Args:
        root: folder that holds the folders.
        name: name of the source in the mix.
        first_pixel: the number that the calibration gives to the first pixel. That of the .mat file is
            known to be 1; that of the text file is assumed to be the same, as its name and content suggest.

    Raises:
        BadSource: no such folder.
        ValueError: `first_pixel` is neither 0 nor 1.
    """

    card = CARD
    layout: ClassVar[str] = "{rgb,depth,mask_invalid,mask_transp}/*.png and calib/*.txt"

    def __init__(self, root: str | Path, *, name: str = "ibims1", first_pixel: Literal[0, 1] = 1) -> None:
        super().__init__(root, name=name, first_pixel=first_pixel)
        folders = [self.root / plane for plane in PLANES if (self.root / plane).is_dir()]
        self._planes = [files_by_stem(folder, (".png",)) for folder in folders]

    def keys(self) -> Sequence[str]:
        """List the names of the images.

        Raises:
            BadSource: there is none.
        """
        found = files_below(self.root, "rgb/*.png", expected=self.layout)
        return [Path(name).stem for name in found]

    def files(self, key: str) -> Sequence[Path]:
        """List image, masks, calibration, plane masks if there are any, and depth."""
        image, *masks, depth = (self.root / name / f"{key}.png" for name in ("rgb", *MASKS, "depth"))
        planes = [files[key] for files in self._planes if key in files]
        return [image, *masks, self.root / "calib" / f"{key}.txt", *planes, depth]

    def read(self, key: str) -> Sample:
        """Read one image.

        Raises:
            BadSource: a file is missing, damaged, or of another size than the image.
            BadSample: no pixel has a depth.
        """
        image_file, invalid_file, glass_file, calibration, *plane_files, depth_file = self.files(key)
        mask_files = [invalid_file, glass_file]
        image = read_image(image_file)
        camera = self.camera(read_numbers(calibration, (4,)).tolist(), calibration)
        depth, valid = read_depth_png16(depth_file, per_metre=_PER_METRE)
        masks, planes = [read_mask(file) for file in mask_files], [_read_planes(file) for file in plane_files]
        labels = zip([*masks, *planes, depth], [*mask_files, *plane_files, depth_file], strict=True)
        for label, file in labels:
            check_size(label, file, image, image_file)
        allowed = np.logical_and.reduce(masks)
        ids = join_planes(planes, allowed)
        return self.sample(
            key, image=image, target=depth, valid=valid & allowed, planes=ids, intrinsics=camera
        )


def _read_planes(file: Path) -> Int32[np.ndarray, "h w"]:
    try:
        return read_ids(file)
    except BadSource:
        return read_mask(file).astype(np.int32)  # a single plane may be stored with one bit


def join_planes(
    masks: Sequence[Int32[np.ndarray, "h w"]], allowed: Bool[np.ndarray, "h w"]
) -> Int32[np.ndarray, "h w"]:
    """Give each plane of each mask an id of its own; glass and what is not allowed belong to no plane."""
    planes = np.zeros(allowed.shape, np.int32)
    for mask in masks:
        free = (mask > 0) & (planes == 0) & allowed
        planes[free] = np.unique(mask[free], return_inverse=True)[1] + planes.max() + 1
    return planes
