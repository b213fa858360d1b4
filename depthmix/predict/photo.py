"""The camera of a photo: given, read from its EXIF data, or not known; never invented."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from depthmix.errors import ConfigError
from depthmix.sample import Intrinsics
from depthmix.sources.decode import read_exif

__all__ = ["Focal", "camera_of", "exif_focal", "find_focal", "focal_of_fov"]

# Cameras state the focal length that a 36 x 24 mm film would need for the same diagonal field of view.
FILM_DIAGONAL_MM: Final = math.hypot(36, 24)
ESTIMATED: Final = "estimated by the network"
EXIF_FOLDER: Final = 0x8769
FOCAL_IN_35MM: Final = 0xA405


@dataclass(frozen=True, slots=True)
class Focal:
    """Hold a focal length in pixels and say where it comes from.

    Args:
        pixels: focal length in pixels of the photo.
        origin: where the number comes from, in words.

    Raises:
        ConfigError: the focal length is not a positive number.
    """

    pixels: float
    origin: str

    def __post_init__(self) -> None:
        if not 0 < self.pixels < math.inf:
            raise ConfigError(f"must be a positive number of pixels, got {self.pixels}", field="focal length")


def find_focal(
    photo: Path, size: tuple[int, int], *, focal_px: float | None = None, fov_degrees: float | None = None
) -> Focal | None:
    """Return the focal length of a photo: the given one, else that of the EXIF data, else None.

    Args:
        photo: the image file.
        size: its height and width.
        focal_px: focal length in pixels.
        fov_degrees: horizontal field of view.

    Raises:
        ConfigError: the given number is impossible.
    """
    if focal_px is not None:
        return Focal(focal_px, "as given")
    if fov_degrees is not None:
        return Focal(focal_of_fov(fov_degrees, size[1]), f"from a field of view of {fov_degrees:g} degrees")
    pixels = exif_focal(photo, size)
    return None if pixels is None else Focal(pixels, "from the EXIF data of the photo")


def focal_of_fov(fov_degrees: float, width: int) -> float:
    """Return the focal length in pixels that shows `fov_degrees` across `width` pixels.

    Raises:
        ConfigError: a pinhole camera can not have this field of view.

    Example:
        >>> round(focal_of_fov(90, 640), 6)
        320.0
    """
    if not 0 < fov_degrees < 180:
        raise ConfigError(f"must lie between 0 and 180 degrees, got {fov_degrees:g}", field="fov-degrees")
    return width / 2 / math.tan(math.radians(fov_degrees) / 2)


def exif_focal(photo: Path, size: tuple[int, int]) -> float | None:
    """Read the focal length from the 35 mm equivalent in the EXIF data; None where it is not stated.

    Convention: the equivalent compares diagonals, so it holds for any aspect ratio and orientation; it is
    wrong for a photo that was cropped after it was taken.

    Raises:
        BadSource: the file can not be opened as an image.
    """
    stated = read_exif(photo, EXIF_FOLDER).get(FOCAL_IN_35MM)
    if not isinstance(stated, int | float) or not 0 < stated < math.inf:
        return None
    return stated / FILM_DIAGONAL_MM * math.hypot(*size)


def camera_of(focal: Focal, size: tuple[int, int]) -> Intrinsics:
    """Build the camera of a photo that was not cropped: square pixels, principal point in the middle."""
    height, width = size
    return Intrinsics(focal.pixels, focal.pixels, (width - 1) / 2, (height - 1) / 2)
