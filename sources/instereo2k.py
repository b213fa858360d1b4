"""InStereo2K: indoor pairs with disparities from structured light."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from depthmix.sample import LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_image
from depthmix.sources.encoding import read_depth_png16
from depthmix.sources.layout import check_size, files_below
from depthmix.sources.stereo import StereoViews

__all__ = ["InStereo2K"]


class InStereo2K(Source):
    """Read `<root>/<part>/<id>/{left.png, left_disp.png}` as inverse depth up to scale and shift.

    The camera is published as a picture of numbers only, so no metres are claimed. Public readers disagree on
    how many stored numbers one pixel has (100 or 1024); for a label of unknown scale both are the same, and
    `depthmix inspect` compares `per_pixel` with a matcher.

    Args:
        root: folder that holds the parts.
        name: name of the source in the mix.
        part: folder of the pairs: "train", "test", or "part1" to "part5" as in the archives.
        per_pixel: stored numbers in one pixel.
    """

    card = SourceCard(
        family="calibrated stereo",
        quality=Quality.MIDDLE,
        kind=LabelKind.AFFINE_DISPARITY,
        unit="inverse depth up to scale and shift",
        density="dense",
        noise="",
        licence="research only, as commonly stated; not confirmed at its publisher",
        citation="Bao, Wang, Xu, Guo, Hong, Zhang: InStereo2K: A Large Real Dataset for Stereo Matching in "
        "Indoor "
        "Scenes, Science China 2020",
        size="2 010 train + 50 test pairs",
    )
    layout = "<part>/<id>/{left.png, left_disp.png}"

    def __init__(
        self, root: str | Path, *, name: str = "instereo2k", part: str = "train", per_pixel: float = 100.0
    ) -> None:
        super().__init__(root, name=name)
        if not 0 < per_pixel < np.inf:
            raise ValueError(f"`per_pixel` must be positive and finite, got {per_pixel}")
        self.part, self.per_pixel = part, per_pixel

    def keys(self) -> Sequence[str]:
        """List the ids of the part."""
        found = files_below(self.root, f"{self.part}/*/left_disp.png", expected=self.layout)
        return [Path(file).parent.name for file in found]

    def files(self, key: str) -> Sequence[Path]:
        """List the left picture and its disparity."""
        return [self.root / self.part / key / name for name in ("left.png", "left_disp.png")]

    def read(self, key: str) -> Sample:
        """Read one pair."""
        image_file, label_file = self.files(key)
        image = read_image(image_file)
        disparity, valid = read_depth_png16(label_file, per_metre=self.per_pixel)
        check_size(disparity, label_file, image, image_file)
        return self.sample(key, image=image, target=disparity, valid=valid)

    def views(self, key: str) -> StereoViews | None:
        """Return both pictures, where the right one is there."""
        image_file, label_file = self.files(key)
        right_file = image_file.with_name("right.png")
        if not right_file.exists():
            return None
        disparity, valid = read_depth_png16(label_file, per_metre=self.per_pixel)
        return StereoViews(read_image(image_file), read_image(right_file), disparity, valid)
