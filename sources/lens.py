"""Straighten photos of lenses that bend lines: COLMAP's thin prism fisheye camera."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float32, Float64, UInt8

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics
from depthmix.sources.tables import MISFIT, read_lines

__all__ = ["ThinPrism", "read_lens", "straighten"]

_MODEL: Final = "THIN_PRISM_FISHEYE"
_BLOCK: Final = 256  # rows that are mapped at once: the map of 24 megapixels would take a gigabyte


@dataclass(frozen=True, slots=True)
class ThinPrism:
    """Describe a distorting camera, COLMAP's model THIN_PRISM_FISHEYE.

    Args:
        camera: focal lengths and centre, pixel centres at integers.
        size: rows and columns.
        distortion: k1, k2, p1, p2, k3, k4, s1, s2 in the order of `cameras.txt`.
    """

    camera: Intrinsics
    size: tuple[int, int]
    distortion: tuple[float, ...]

    def project(
        self, x: Float64[np.ndarray, "*n"], y: Float64[np.ndarray, "*n"]
    ) -> tuple[Float64[np.ndarray, "*n"], Float64[np.ndarray, "*n"]]:
        """Return where rays (x, y, 1) fall in the distorted image.

        Convention: the ray is first bent as by an equidistant fisheye, (x, y) times atan(r) / r; on the
        result (u, v) with q = u^2 + v^2, the lens adds u (k1 q + k2 q^2 + k3 q^3 + k4 q^4), the shift
        2 p1 u v + p2 (q + 2 u^2) and s1 q, likewise for v.
        """
        k1, k2, p1, p2, k3, k4, s1, s2 = self.distortion
        r = np.hypot(x, y)
        # At the centre the limit of atan(r) / r is 1.
        bend = np.divide(np.arctan(r), r, out=np.ones_like(r), where=r > 0)
        u, v = x * bend, y * bend
        q = u * u + v * v
        radial = 1 + q * (k1 + q * (k2 + q * (k3 + q * k4)))
        du = u * radial + 2 * p1 * u * v + p2 * (q + 2 * u * u) + s1 * q
        dv = v * radial + 2 * p2 * u * v + p1 * (q + 2 * v * v) + s2 * q
        return self.camera.fx * du + self.camera.cx, self.camera.fy * dv + self.camera.cy


def read_lens(cameras: Path, images: Path, photo: str) -> ThinPrism:
    """Read the camera of one photo from COLMAP's text files.

    Raises:
        BadSource: a file is missing or does not name the photo or its camera, or its model is another.
    """
    # A line of an image has ten words; lines of its points have a multiple of three.
    lines = [line.split() for line in read_lines(images)]
    found = {words[8] for words in lines if len(words) == 10 and words[9].rpartition("/")[2] == photo}
    if len(found) != 1:
        reason = f"names {len(found)} cameras for {photo}, must be 1"
        raise BadSource(reason, file=images, hint="use the calibration of the distorted photos")
    number = found.pop()
    rows = [words for words in map(str.split, read_lines(cameras)) if words[0] == number]
    if len(rows) != 1 or rows[0][1:2] != [_MODEL]:
        reason = f"must describe camera {number} once, as {_MODEL}"
        raise BadSource(reason, file=cameras, hint="use the calibration of the distorted photos")
    try:
        width, height, fx, fy, cx, cy, *distortion = (float(word) for word in rows[0][2:])
        # COLMAP counts from the corner of the first pixel.
        camera = Intrinsics(fx, fy, cx - 0.5, cy - 0.5)
        # Those of a real lens are a few at most; what a million gives still fits into float32.
        if len(distortion) != 8 or not (np.abs([width, height, *distortion]) <= 1e6).all():
            raise ValueError(f"{len(rows[0]) - 4} parameters, must be 12 finite ones up to a million")
    except MISFIT as error:
        raise BadSource(f"camera {number}: {error}", file=cameras, field=f"camera {number}") from error
    return ThinPrism(camera, (int(height), int(width)), tuple(distortion))


def straighten(
    image: UInt8[np.ndarray, "h w 3"], depth: Float32[np.ndarray, "h w"], lens: ThinPrism
) -> tuple[UInt8[np.ndarray, "h w 3"], Float32[np.ndarray, "h w"]]:
    """Resample a distorted photo and its depth to the pinhole camera of the lens, of the same size.

    Returns:
        The photo, black where it does not reach, and the depth of the nearest pixel, 0 there.
    """
    import cv2

    height, width = lens.size
    straight, label = np.zeros_like(image), np.zeros_like(depth)
    x = (np.arange(width) - lens.camera.cx) / lens.camera.fx
    for top in range(0, height, _BLOCK):
        part = slice(top, min(top + _BLOCK, height))
        y = (np.arange(height)[part] - lens.camera.cy) / lens.camera.fy
        u, v = lens.project(*np.meshgrid(x, y))
        inside = (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1)
        pixels = cv2.remap(image, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR)
        straight[part] = np.where(inside[..., None], pixels, 0)
        rows, columns = (np.rint(np.where(inside, at, 0)).astype(np.intp) for at in (v, u))
        label[part] = np.where(inside, depth[rows, columns], 0)
    return straight, label
