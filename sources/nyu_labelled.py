"""NYU Depth V2, the 1449 labelled images in one .mat file, which is HDF5."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal, get_args

import numpy as np

from depthmix.errors import BadSource
from depthmix.sample import Sample
from depthmix.sources.arrays import check_dataset, read_hdf5_slice
from depthmix.sources.encoding import measured
from depthmix.sources.files import file_size, refusing
from depthmix.sources.matlab import read_matlab
from depthmix.sources.nyu import CARD, RANGE_M, Border, NyuFrames

__all__ = ["NyuLabelled"]

Split = Literal["train", "test", "all"]
_MAX_LETTERS = 1_000
_MAX_IMAGES = 100_000


class NyuLabelled(NyuFrames):
    """Read `<root>/nyu_depth_v2_labeled.mat`, chosen by `<root>/splits.mat`.

    Layout: the .mat file is HDF5 and holds its arrays with axes reversed: `images` (n, 3, w, h), `rawDepths`
    and `depths` (n, w, h) in metres, and `scenes`. `splits.mat` holds `trainNdxs` and `testNdxs`, which count
    from 1 as MATLAB does; it is a file of its own and only needed for a split. Keys are
    `<scene>/<number that counts from 1>`, so that views of one scene share the front.

    Convention: depth was projected into the colour image, so the camera is the colour camera of the
    publisher's toolbox (fx = 518.86), not that of the depth sensor (fx = 582.62). 0 in `rawDepths` was not
    measured. `depths` has such holes painted in: invented numbers. One image is read at a time.

    Args:
        root: folder that holds the .mat file.
        name: name of the source in the mix.
        split: the 795 images for training, the 654 for testing, or all 1449, which needs no `splits.mat`.
        inpainted: read `depths`, as published evaluations do, instead of what was measured.
        border: as in `NyuFrames`.
        max_depth_m: as in `NyuFrames`.
        sigma_code: as in `NyuFrames`; not used for `inpainted`.

    Raises:
        BadSource: no such folder.
        ValueError: an option is none of its names, or not positive.
    """

    card = replace(CARD, size="1449 images of 464 scenes: 795 for training, 654 for testing (2.8 GB)")
    layout: ClassVar[str] = "nyu_depth_v2_labeled.mat and splits.mat"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "nyu",
        split: Split = "train",
        inpainted: bool = False,
        border: Border = "crop",
        max_depth_m: float = RANGE_M,
        sigma_code: float = 0.5,
    ) -> None:
        super().__init__(root, name=name, border=border, max_depth_m=max_depth_m, sigma_code=sigma_code)
        if split not in get_args(Split):
            raise ValueError(f"`split` must be one of {', '.join(get_args(Split))}, got {split!r}")
        self.split, self.inpainted = split, inpainted
        self._file = self.root / "nyu_depth_v2_labeled.mat"
        self._rows: dict[str, int] | None = None
        if inpainted:
            self.card = replace(self.card, noise="")

    def keys(self) -> Sequence[str]:
        """List the images of the split.

        Raises:
            BadSource: a file is missing or damaged, or the split names an image that is not there.
        """
        return list(self._row_of_key())

    def files(self, key: str) -> Sequence[Path]:
        """List the one file that holds everything."""
        return [self._file]

    def read(self, key: str) -> Sample:
        """Read one image.

        Raises:
            BadSource: the file is missing, damaged, or of another layout.
            BadSample: no pixel has a depth.
        """
        row = self._row_of_key().get(key)
        if row is None:
            raise self.unknown(key, file=self._file, hint=None)
        name = "depths" if self.inpainted else "rawDepths"
        image, depth = (read_hdf5_slice(self._file, field, row).T for field in ("images", name))
        if (
            image.dtype != np.uint8
            or image.ndim != 3
            or image.shape[2] != 3
            or image.shape[:2] != depth.shape
        ):
            reason = f"image {image.dtype} {image.shape} and depth {depth.shape} do not belong together"
            raise BadSource(reason, file=self._file, hint="use the published file")
        depth, valid = measured(depth)
        return self.framed(key, np.ascontiguousarray(image), depth, valid, noisy=not self.inpainted)

    def _row_of_key(self) -> dict[str, int]:
        if self._rows is None:
            scenes = _read_scenes(self._file)
            chosen = range(len(scenes)) if self.split == "all" else self._chosen(len(scenes))
            self._rows = dict(sorted((f"{scenes[row]}/{row + 1:04d}", row) for row in chosen))
        return self._rows

    def _chosen(self, count: int) -> list[int]:
        file, name = self.root / "splits.mat", f"{self.split}Ndxs"
        numbers = np.asarray(read_matlab(file, (name,))[name]).ravel()
        if not np.isin(numbers, np.arange(1, count + 1)).all():
            reason = f"must hold whole numbers from 1 to {count}"
            raise BadSource(reason, file=file, field=name, hint="both files must be of one release")
        return [int(number) - 1 for number in numbers]


def _read_scenes(file: Path) -> list[str]:
    """Read the scene of each image; MATLAB keeps a cell of texts as references to rows of letters."""
    import h5py

    file_size(file)
    with refusing(file), h5py.File(file, "r", locking=False) as opened:
        # An external or soft link would let a stranger's file name any other file of this machine.
        if not isinstance(opened.get("scenes", getlink=True), h5py.HardLink):
            raise BadSource("holds no dataset 'scenes'", file=file, hint="use the published file")
        scenes = opened["scenes"]
        check_dataset(scenes, "scenes", file)
        if scenes.dtype.kind != "O" or h5py.check_ref_dtype(scenes.dtype) is not h5py.Reference:
            raise BadSource("is no list of names", file=file, field="scenes")
        if scenes.size > _MAX_IMAGES:
            raise BadSource(f"has {scenes.size} names", file=file, field="scenes")
        texts = [opened[reference] for reference in np.ravel(scenes[()])]
        for text in texts:
            check_dataset(text, "a name in scenes", file)
        if any(text.size > _MAX_LETTERS or text.dtype.kind != "u" for text in texts):
            raise BadSource("is no list of names", file=file, field="scenes")
        names = ["".join(chr(letter) for letter in np.ravel(text[()])) for text in texts]
    if not names or not all(name.isascii() and name.replace("_", "").isalnum() for name in names):
        raise BadSource("is no list of names", file=file, field="scenes")
    return names
