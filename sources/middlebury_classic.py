"""Middlebury stereo of 2001 to 2006: 8-bit disparities without calibration files."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

import numpy as np

from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_grey8, read_image
from depthmix.sources.layout import check_size, files_below
from depthmix.sources.stereo import NOISE, StereoCalibration, StereoViews, check_sigma, depth_of_disparity
from depthmix.sources.tables import read_numbers

__all__ = ["MiddleburyClassic"]

# Stored numbers in one pixel belong to the resolution, not to the year.
_PER_PIXEL: Final = {"full": 1, "half": 2, "third": 3, "quarter": 4}
_NAMES: Final = {2003: ("im2.png", "im6.png", "disp2.png"), 2006: ("view1.png", "view5.png", "disp1.png")}


class MiddleburyClassic(Source):
    """Read scenes with a left picture and its 8-bit disparities.

    Layout: `<root>/<scene>/{im2.png, disp2.png}` (2001, 2003) or `{view1.png, disp1.png[, dmin.txt]}` (2005,
    2006).

    Convention: 8-bit PNG, 0 = unknown; one pixel is 1, 2, 3 or 4 stored numbers at full, half, third and
    quarter size. Nothing in the folder says which size it is.

    Without metres, the label is disparity: inverse depth up to scale and shift. `metric=True` takes the
    camera that the publisher states for 2005 and 2006 (focal length 3740 px at full size, baseline 160 mm)
    and adds `dmin.txt`, which is in pixels of the full size, since the pictures were cropped; the principal
    point is not published, and the middle is taken.

    Args:
        root: folder of the scene folders.
        name: name of the source in the mix.
        release: 2003 for the names of 2001 and 2003, 2006 for those of 2005 and 2006.
        size: "full", "half", "third" or "quarter".
        metric: whether metres are computed; only for 2006.
        sigma_disparity_px: one standard deviation of a disparity in pixels of the stored size.
    """

    card = SourceCard(
        family="calibrated stereo",
        quality=Quality.MIDDLE,
        kind=LabelKind.AFFINE_DISPARITY,
        unit="inverse depth up to scale and shift",
        density="dense",
        noise="",
        licence="free for research with citation, no licence named by the publisher",
        citation="Scharstein, Szeliski, CVPR 2003; Scharstein, Pal, CVPR 2007; Hirschmueller, Scharstein, "
        "CVPR 2007",
        size="2 scenes of 2003, 9 of 2005, 21 of 2006",
        read_on_real_files=True,
    )
    layout = "<scene>/{view1.png, disp1.png} or <scene>/{im2.png, disp2.png}"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "middlebury_classic",
        release: int = 2006,
        size: Literal["full", "half", "third", "quarter"] = "third",
        metric: bool = False,
        sigma_disparity_px: float = 0.5,
    ) -> None:
        super().__init__(root, name=name)
        if release not in _NAMES:
            raise ValueError(f"`release` must be 2003 or 2006, got {release}")
        if size not in _PER_PIXEL:
            raise ValueError(f"`size` must be one of {', '.join(_PER_PIXEL)}, got {size!r}")
        if metric and release != 2006:
            raise ValueError("`metric` needs the camera, which is published for 2005 and 2006 only")
        self.release, self.size, self.metric = release, size, metric
        self.sigma_disparity_px = check_sigma(sigma_disparity_px)
        if metric:
            self.card = replace(self.card, kind=LabelKind.METRIC_DEPTH, unit="m", noise=NOISE)

    def keys(self) -> Sequence[str]:
        """List the scenes."""
        label = _NAMES[self.release][2]
        return [str(Path(file).parent) for file in files_below(self.root, f"*/{label}", expected=self.layout)]

    def files(self, key: str) -> Sequence[Path]:
        """List the left picture, the cut-off disparity where metres are computed, and the disparity."""
        left, _, label = _NAMES[self.release]
        cut = ["dmin.txt"] if self.metric else []
        return [self.root / key / name for name in (left, *cut, label)]

    def read(self, key: str) -> Sample:
        """Read one scene."""
        image_file, *cut_files, label_file = self.files(key)
        image, code = read_image(image_file), read_grey8(label_file)
        check_size(code, label_file, image, image_file)
        scale = _PER_PIXEL[self.size]
        disparity, valid = code.astype(np.float32) / scale, code > 0
        if not cut_files:
            return self.sample(key, image=image, target=disparity, valid=valid)
        height, width = image.shape[:2]
        camera = Intrinsics(3740 / scale, 3740 / scale, (width - 1) / 2, (height - 1) / 2)
        cut_off = float(read_numbers(cut_files[0], (1,))[0]) / scale
        pair = StereoCalibration(camera, 0.160, cut_off, width, height)
        depth, sigma, positive = depth_of_disparity(disparity, pair, self.sigma_disparity_px)
        return self.sample(
            key, image=image, target=depth, valid=valid & positive, sigma=sigma, intrinsics=camera
        )

    def views(self, key: str) -> StereoViews | None:
        """Return both pictures, where the right one is there."""
        left, right, label = (self.root / key / name for name in _NAMES[self.release])
        if not right.exists():
            return None
        code = read_grey8(label)
        return StereoViews(
            read_image(left), read_image(right), code.astype(np.float32) / _PER_PIXEL[self.size], code > 0
        )
