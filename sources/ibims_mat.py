"""iBims-1 as MATLAB structures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Int32

from depthmix.errors import BadSource
from depthmix.sample import Sample
from depthmix.sources.encoding import measured
from depthmix.sources.ibims import CARD, MASKS, PLANES, IBimsImages, join_planes
from depthmix.sources.layout import files_below
from depthmix.sources.matlab import read_matlab

__all__ = ["IBims1Mat"]

_MAX_ID = 65_535


class IBims1Mat(IBimsImages):
    """Read `<root>/*.mat`, the same images as MATLAB structures.

    Layout: `ibims1_core_mat.zip` as it unpacks; each file holds a structure `data` with `rgb`, `depth`,
    `calib`, `mask_invalid`, `mask_transp`, `mask_wall`, `mask_table` and `mask_floor`. Edges and plane
    parameters are not read. Keys are the names of the files.

    Convention: depth is z in metres, 0 = not measured. `calib` is the transposed camera matrix, for pixels
    that count from 1. Masks as in `IBims1`.

    Args:
        root: folder of the .mat files.
        name: name of the source in the mix.
        first_pixel: the number that the calibration gives to the first pixel; the publisher's evaluation
            counts from 1.

    Raises:
        BadSource: no such folder.
        ValueError: `first_pixel` is neither 0 nor 1.
    """

    card = CARD
    layout: ClassVar[str] = "*.mat"

    def __init__(self, root: str | Path, *, name: str = "ibims1_mat", first_pixel: Literal[0, 1] = 1) -> None:
        super().__init__(root, name=name, first_pixel=first_pixel)

    def keys(self) -> Sequence[str]:
        """List the names of the files.

        Raises:
            BadSource: there is none.
        """
        return [name.removesuffix(".mat") for name in files_below(self.root, "*.mat", expected=self.layout)]

    def files(self, key: str) -> Sequence[Path]:
        """List the one file."""
        return [self.root / f"{key}.mat"]

    def read(self, key: str) -> Sample:
        """Read one image.

        Raises:
            BadSource: the file is missing, damaged, or not what the layout says.
            BadSample: no pixel has a depth.
        """
        (file,) = self.files(key)
        data = read_matlab(file, ("data",))["data"]
        size = np.asarray(data.get("depth", 0)).shape if isinstance(data, dict) else ()
        if len(size) != 2:
            raise BadSource("must be a structure with an image of depth", file=file, field="data")
        image = _field(data, "rgb", (*size, 3), file)
        depth, valid = measured(_field(data, "depth", size, file))
        masks, planes = ([_whole(data, name, size, file) for name in names] for names in (MASKS, PLANES))
        allowed = np.logical_and.reduce([mask > 0 for mask in masks])
        calib = _field(data, "calib", (3, 3), file)
        if image.dtype != np.uint8:
            raise BadSource(f"must have 8 bits, got {image.dtype}", file=file, field="data.rgb")
        if calib[2, 2] != 1 or calib[0, 2] or calib[1, 2]:
            reason = "must be the transposed matrix [fx 0 0; 0 fy 0; cx cy 1]"
            raise BadSource(reason, file=file, field="calib")
        return self.sample(
            key,
            image=image.astype(np.uint8),
            target=depth,
            valid=valid & allowed,
            planes=join_planes(planes, allowed),
            intrinsics=self.camera((calib[0, 0], calib[1, 1], calib[2, 0], calib[2, 1]), file),
        )


def _field(data: dict[str, Any], name: str, shape: tuple[int, ...], file: Path) -> np.ndarray:
    value = np.asarray(data.get(name, "missing"))
    if value.shape != shape or value.dtype.kind not in "biuf":
        reason = f"must be numbers {shape}, got {value.dtype} {value.shape}"
        raise BadSource(reason, file=file, field=f"data.{name}", hint="use the published file")
    return value


def _whole(data: dict[str, Any], name: str, size: tuple[int, ...], file: Path) -> Int32[np.ndarray, "h w"]:
    value = _field(data, name, size, file)
    # Masks are integers or doubles; what is not finite fails the comparison.
    if not ((value >= 0) & (value <= _MAX_ID) & (value % 1 == 0)).all():
        raise BadSource(f"must be whole numbers from 0 to {_MAX_ID}", file=file, field=f"data.{name}")
    return value.astype(np.int32)
