"""Make3D: photos of Stanford's campus with a coarse laser grid."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final, Literal, get_args

import numpy as np
from jaxtyping import Float64

from depthmix.errors import BadSource
from depthmix.sample import LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_image
from depthmix.sources.encoding import measured
from depthmix.sources.layout import files_below, image_of_size
from depthmix.sources.matlab import read_matlab

__all__ = ["Make3D"]

Split = Literal["train", "test"]
Depth = Literal["z", "distance"]

# Archives of the publisher by split: the folders of images and of grids that they unpack to.
_FOLDERS: Final = {"train": ("Train400Img", "Train400Depth"), "test": ("Test134", "Gridlaserdata")}
_GRID: Final = "Position3DGrid"


class Make3D(Source):
    """Read `<root>/Train400Img/img-*.jpg` with `<root>/Train400Depth/depth_sph_corr-*.mat`.

    Layout: for testing `Test134/img-*.jpg` and `Gridlaserdata/depth_sph_corr-*.mat`, as the four archives
    unpack into one folder. The .mat file holds `Position3DGrid` (55, 305, 4): rows of the grid from top to
    bottom over the height of the portrait photo (2272 x 1704), columns over its width. Keys are
    `<train|test>/<what follows img->`.

    Convention: the photo is brought to the 305 columns of the grid and its own aspect (407 rows), and each
    number of the grid goes to the one pixel at the middle of its cell, so the label is sparse and nothing is
    stretched over pixels that were not measured. The camera was not published.

    Args:
        root: folder of the folders.
        name: name of the source in the mix.
        split: 400 photos for training or 134 for testing.
        depth: "z" reads the third number of a cell, which the publisher's note calls projective depth Z;
            "distance" the fourth, which it calls depth d and which public evaluations read as if it were z.
            The two differ towards the corners. No real file was at hand to compare them: where the third is
            missing or larger than the fourth, the file is refused.
        max_depth_m: what is not nearer is not valid. Evaluations stop at 70 m; the scanner gives about 80 m
            where it had no return, so sky is not told apart.

    Raises:
        BadSource: no such folder.
        ValueError: `split` or `depth` is none of the names above, or `max_depth_m` is not positive.
    """

    card = SourceCard(
        family="lidar",
        quality=Quality.HIGH,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="sparse",
        noise="",
        licence="none named; free for research, as commonly stated; not confirmed at its publisher",
        citation="Saxena, Sun, Ng: Make3D: Learning 3D Scene Structure from a Single Still Image, PAMI 2009",
        size="400 photos for training, 134 for testing",
    )
    layout: ClassVar[str] = "Train400Img and Train400Depth, or Test134 and Gridlaserdata"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "make3d",
        split: Split = "train",
        depth: Depth = "z",
        max_depth_m: float = 70.0,
    ) -> None:
        super().__init__(root, name=name)
        for option, value, allowed in (("split", split, Split), ("depth", depth, Depth)):
            if value not in get_args(allowed):
                raise ValueError(f"`{option}` must be one of {', '.join(get_args(allowed))}, got {value!r}")
        if not max_depth_m > 0:
            raise ValueError(f"`max_depth_m` must be positive, got {max_depth_m}")
        self.split, self.depth, self.max_depth_m = split, depth, max_depth_m

    def keys(self) -> Sequence[str]:
        """List the photos of the split.

        Raises:
            BadSource: there is none.
        """
        found = files_below(self.root, f"{_FOLDERS[self.split][0]}/img-*.jpg", expected=self.layout)
        return sorted(f"{self.split}/{Path(name).stem.removeprefix('img-')}" for name in found)

    def files(self, key: str) -> Sequence[Path]:
        """List photo and grid."""
        (images, grids), stem = _FOLDERS[self.split], key.rpartition("/")[2]
        return [self.root / images / f"img-{stem}.jpg", self.root / grids / f"depth_sph_corr-{stem}.mat"]

    def read(self, key: str) -> Sample:
        """Read one photo.

        Raises:
            BadSource: a file is missing, damaged, or not what the layout says.
            BadSample: no cell has a depth.
        """
        image_file, grid_file = self.files(key)
        photo, grid = read_image(image_file), self._read_grid(grid_file)
        if photo.shape[0] < photo.shape[1]:
            reason = f"must be a portrait, got {photo.shape[1]} x {photo.shape[0]} pixels"
            raise BadSource(reason, file=image_file, hint="turn the photo upright")
        height = round(grid.shape[1] * photo.shape[0] / photo.shape[1])
        image, _ = image_of_size(photo, None, (height, grid.shape[1]))
        depth, seen = np.zeros(image.shape[:2], np.float32), np.zeros(image.shape[:2], np.bool_)
        # The middle of cell row r, with pixel centres at integers.
        rows = np.floor((np.arange(len(grid)) + 0.5) * height / len(grid)).astype(np.intp)
        depth[rows], seen[rows] = measured(grid, highest=self.max_depth_m)
        return self.sample(key, image=image, target=depth, valid=seen)

    def _read_grid(self, file: Path) -> Float64[np.ndarray, "h w"]:
        grid = np.asarray(read_matlab(file, (_GRID,))[_GRID])
        if grid.ndim != 3 or grid.shape[2] != 4 or grid.dtype.kind != "f" or grid.shape[0] > grid.shape[1]:
            raise BadSource(f"must be float (55, 305, 4), got {grid.dtype} {grid.shape}", file=file)
        z, distance = grid[..., 2].astype(np.float64), grid[..., 3].astype(np.float64)
        if self.depth == "distance":
            return distance
        if not z.any() or (z > 1.001 * distance).mean() > 0.01:
            reason = "the third number of a cell is no part of the fourth, so it is no depth along the axis"
            raise BadSource(reason, file=file, field=_GRID, hint='read the fourth with depth="distance"')
        return z
