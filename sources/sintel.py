"""MPI Sintel: frames of an animated film with depth and cameras from the renderer."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final, Literal, get_args

import numpy as np
from jaxtyping import Float64

from depthmix.errors import BadSample, BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_image
from depthmix.sources.encoding import measured
from depthmix.sources.files import DAMAGED, MAX_PIXELS, check_pixels, file_size, read_bytes
from depthmix.sources.layout import files_below

__all__ = ["Sintel"]

Pass = Literal["final", "clean", "albedo"]

_MARK: Final = struct.pack("<f", 202021.25)  # which reads PIEH: the first bytes of every file of numbers
_CAMERA: Final = struct.Struct("<4s21d")
_HEAD: Final = struct.Struct("<4sii")


class Sintel(Source):
    """Read `<root>/training/{<pass>/<scene>/*.png, depth/<scene>/*.dpt, camdata_left/<scene>/*.cam}`.

    Layout: the archives `MPI-Sintel-complete.zip` (or `-training_images.zip`) and
    `MPI-Sintel-depth-training-20150305.zip` unpacked into one folder. The test scenes have no depth. Keys are
    `<scene>/<frame>`.

    Convention: a .dpt file is a mark, columns and rows as 32-bit integers, and 32-bit floats row by row; a
    .cam file is the mark and 64-bit floats: the 3 x 3 camera matrix and the 3 x 4 pose, of which the matrix
    is read. All have the low byte first. Depth is z in the film's own unit: what it is in metres the
    publisher does not say, so a label is depth up to one factor. Depth of sky is some large number; nothing
    marks it. The centre is taken for pixels that count from 0.

    Args:
        root: folder that holds `training`.
        name: name of the source in the mix.
        render_pass: "final" with blur, fog and light, "clean" without blur and fog, "albedo" colours alone.
        max_depth: what is not nearer is not valid, in the film's unit.

    Raises:
        BadSource: no such folder.
        ValueError: an option is none of its names, or not positive.
    """

    card = SourceCard(
        family="synthetic",
        quality=Quality.HIGH,
        kind=LabelKind.SCALED_DEPTH,
        unit="unit of the film",
        density="dense",
        noise="",
        licence="film CC BY 3.0, as commonly stated; that of the data not confirmed at its publisher",
        citation="Butler, Wulff, Stanley, Black: A Naturalistic Open Source Movie for Optical Flow "
        "Evaluation, ECCV 2012",
        size="1 064 frames of 23 scenes with depth (1024 x 436)",
    )
    layout: ClassVar[str] = "training/{<pass>/<scene>/*.png, depth/<scene>/*.dpt, camdata_left/<scene>/*.cam}"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "sintel",
        render_pass: Pass = "final",
        max_depth: float = float("inf"),
    ) -> None:
        super().__init__(root, name=name)
        if render_pass not in get_args(Pass):
            names = ", ".join(get_args(Pass))
            raise ValueError(f"`render_pass` must be one of {names}, got {render_pass!r}")
        if not max_depth > 0:
            raise ValueError(f"`max_depth` must be positive, got {max_depth}")
        self.render_pass, self.max_depth = render_pass, max_depth

    def keys(self) -> Sequence[str]:
        """List the frames as `<scene>/<frame>`.

        Raises:
            BadSource: there is none.
        """
        found = files_below(self.root, f"training/{self.render_pass}/*/*.png", expected=self.layout)
        return sorted("/".join(Path(name).with_suffix("").parts[2:]) for name in found)

    def files(self, key: str) -> Sequence[Path]:
        """List image, camera and depth."""
        folders = ((self.render_pass, ".png"), ("camdata_left", ".cam"), ("depth", ".dpt"))
        return [self.root / "training" / folder / f"{key}{suffix}" for folder, suffix in folders]

    def read(self, key: str) -> Sample:
        """Read one frame.

        Raises:
            BadSource: a file is missing, damaged, or of another size.
            BadSample: no pixel has a depth.
        """
        image_file, camera_file, depth_file = self.files(key)
        image = read_image(image_file)
        depth, valid = measured(_read_depth(depth_file, image.shape[:2]), highest=self.max_depth)
        return self.sample(key, image=image, target=depth, valid=valid, intrinsics=_read_camera(camera_file))


def _read_depth(file: Path, size: tuple[int, ...]) -> np.ndarray:
    data = read_bytes(file, max_bytes=_HEAD.size + 4 * MAX_PIXELS)
    if len(data) < _HEAD.size:
        raise BadSource(f"{len(data)} bytes are no depth file", file=file, hint=DAMAGED)
    mark, width, height = _HEAD.unpack_from(data)
    if mark != _MARK:
        raise BadSource("does not begin as a depth file of Sintel does", file=file, hint=DAMAGED)
    check_pixels(width, height, file, MAX_PIXELS)
    if (height, width) != tuple(size):
        raise BadSource(f"is {height} x {width}, its image {size[0]} x {size[1]} (rows x columns)", file=file)
    if len(data) != _HEAD.size + 4 * width * height:
        reason = f"{len(data)} bytes, but {height} x {width} numbers need {_HEAD.size + 4 * width * height}"
        raise BadSource(reason, file=file, hint=DAMAGED)
    return np.frombuffer(data, "<f4", offset=_HEAD.size).reshape(height, width)


def _read_camera(file: Path) -> Intrinsics:
    if file_size(file) != _CAMERA.size:
        raise BadSource(f"{file_size(file)} bytes, a camera has {_CAMERA.size}", file=file, hint=DAMAGED)
    mark, *numbers = _CAMERA.unpack(read_bytes(file, max_bytes=_CAMERA.size))
    matrix: Float64[np.ndarray, "3 3"] = np.array(numbers[:9]).reshape(3, 3)
    if mark != _MARK or not np.isfinite(matrix).all() or matrix[0, 1] or matrix[1, 0] or matrix[2, 2] != 1:
        raise BadSource("holds no camera matrix [fx 0 cx; 0 fy cy; 0 0 1]", file=file, hint=DAMAGED)
    try:
        return Intrinsics(matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
    except BadSample as error:
        raise BadSource(error.reason, file=file, field=error.field) from error
