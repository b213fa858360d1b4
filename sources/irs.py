"""IRS: rendered rooms, offices, restaurants and shops with disparities and normals in EXR."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_image
from depthmix.sources.exr import read_exr
from depthmix.sources.layout import check_size, files_below
from depthmix.sources.stereo import StereoCalibration, StereoViews, depth_of_disparity

__all__ = ["Irs"]


class Irs(Source):
    """Read `<root>/<kind>/<scene>/{l_<frame>.png, d_<frame>.exr}` as metric depth of the left view.

    Convention: disparities of pictures of 960 x 540 with f = 480 px, a baseline of 0.1 m and the principal
    point in the middle; 0 and what is not finite are not valid.

    Args:
        root: folder that holds Home, Office, Restaurant and Store, or one of them.
        name: name of the source in the mix.
        focal_px: focal length for 960 columns.
        baseline_m: baseline.
        channel: channel of the EXR files; "" takes the only one.
    """

    card = SourceCard(
        family="synthetic",
        quality=Quality.HIGH,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="dense",
        noise="",
        licence="research only, as commonly stated; not confirmed at its publisher",
        citation="Wang, Zheng, Yan, Deng, Zhao, Chu: IRS: A Large Naturalistic Indoor Robotics Stereo "
        "Dataset, ICME 2021",
        size="103 316 pairs: 84 946 train + 15 079 test and 3 291 more, as stated in the paper",
    )
    layout = "**/{l_*.png, d_*.exr}"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "irs",
        focal_px: float = 480.0,
        baseline_m: float = 0.1,
        channel: str = "",
    ) -> None:
        super().__init__(root, name=name)
        for option, value in (("focal_px", focal_px), ("baseline_m", baseline_m)):
            if not 0 < value < np.inf:
                raise ValueError(f"`{option}` must be positive and finite, got {value}")
        self.focal_px, self.baseline_m, self.channel = focal_px, baseline_m, channel

    def keys(self) -> Sequence[str]:
        """List the disparities as `<folders>/<frame>`."""
        found = [Path(file) for file in files_below(self.root, "**/d_*.exr", expected=self.layout)]
        return sorted((file.parent / file.stem.removeprefix("d_")).as_posix() for file in found)

    def files(self, key: str) -> Sequence[Path]:
        """List picture and disparity."""
        place = self.root / key
        return [place.with_name(f"l_{place.name}.png"), place.with_name(f"d_{place.name}.exr")]

    def read(self, key: str) -> Sample:
        """Read one picture."""
        image_file, label_file = self.files(key)
        image, disparity = read_image(image_file), self._disparity(label_file)
        check_size(disparity, label_file, image, image_file)
        height, width = disparity.shape
        focal = self.focal_px * width / 960
        camera = Intrinsics(focal, focal, (width - 1) / 2, (height - 1) / 2)
        pair = StereoCalibration(camera, self.baseline_m, 0.0, width, height)
        depth, _, valid = depth_of_disparity(disparity, pair, 0.05)
        return self.sample(key, image=image, target=depth, valid=valid, intrinsics=camera)

    def views(self, key: str) -> StereoViews | None:
        """Return both pictures, where the right one is there."""
        image_file, label_file = self.files(key)
        right_file = image_file.with_name(image_file.name.replace("l_", "r_", 1))
        if not right_file.exists():
            return None
        disparity = self._disparity(label_file)
        valid = np.isfinite(disparity) & (disparity > 0)
        return StereoViews(read_image(image_file), read_image(right_file), disparity, valid)

    def _disparity(self, file: Path) -> np.ndarray:
        return read_exr(file, (self.channel,) if self.channel else ())
