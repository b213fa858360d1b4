"""HoliCity: street views of London with the planes of a city model, which stands still while cars pass."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.arrays import read_npz
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_ids, read_image
from depthmix.sources.encoding import measured
from depthmix.sources.layout import check_size, files_below
from depthmix.sources.planes import Plane, drop_small

__all__ = ["HoliCity"]


class HoliCity(Source):
    """Read perspective views with the plane of every pixel.

    Layout: `<root>/**/<view>_{imag.jpg|png, plan.png, plan.npz[, dpth.npz]}`, the published archives unpacked
    into one folder. Views are 90 degrees wide with the principal point in the middle: K of the publisher has
    cx = w / 2 with pixel corners at integers, so the middle is at (w - 1) / 2 here.

    Planes come from the model without trees, cars and people, and the label shows through them. So the source
    is one of weak plane labels; with `depth=True` the model's z in metres is the label, as MIDDLE quality.
    Plane 0 is none; depth 0 is sky or nothing, which the files do not tell apart, and is not valid.

    Args:
        root: folder of the data set.
        name: name of the source in the mix.
        depth: whether the model's depth is the label; needs the depth archives.
        min_pixels: smaller planes are dropped.
        fov_degrees: horizontal field of view; all published views have 90.
    """

    card = SourceCard(
        family="planes",
        quality=Quality.WEAK,
        kind=LabelKind.NONE,
        unit="",
        density="none",
        noise="",
        licence="research only, no redistribution (AccuCities' city model, Google's street views)",
        citation="Zhou, Huang, Dai, Luo, Chen, Ma: HoliCity: A City-Scale Data Platform for Learning "
        "Holistic 3D Structures, arXiv 2008.03286",
        size="6 300 viewpoints, 8 views each",
    )
    layout = "<folder>/<view>_imag.jpg, <view>_plan.png, <view>_plan.npz[, <view>_dpth.npz]"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "holicity",
        depth: bool = False,
        min_pixels: int = 50,
        fov_degrees: float = 90.0,
    ) -> None:
        super().__init__(root, name=name)
        if not 1 < fov_degrees < 179:
            raise ValueError(f"`fov_degrees` must lie in 1..179, got {fov_degrees}")
        self.depth, self.min_pixels, self.fov_degrees = depth, min_pixels, fov_degrees
        if depth:
            self.card = replace(
                self.card,
                quality=Quality.MIDDLE,
                kind=LabelKind.METRIC_DEPTH,
                unit="m",
                density="dense",
            )

    def keys(self) -> Sequence[str]:
        """List the views that have a plane map."""
        found = files_below(self.root, "**/*_plan.png", expected=self.layout)
        return [file.removesuffix("_plan.png") for file in found]

    def files(self, key: str) -> Sequence[Path]:
        """List image, depth if it is the label, and plane ids."""
        photo, drawn = (self.root / f"{key}_imag{suffix}" for suffix in (".jpg", ".png"))
        depth = [self.root / f"{key}_dpth.npz"] if self.depth else []
        return [drawn if drawn.exists() else photo, *depth, self.root / f"{key}_plan.png"]

    def read(self, key: str) -> Sample:
        """Read one view."""
        image_file, *depth_files, planes_file = self.files(key)
        image, planes = read_image(image_file), read_ids(planes_file)
        check_size(planes, planes_file, image, image_file)
        target, valid = None, None
        for file in depth_files:
            values = read_npz(file, "depth")
            target, valid = measured(values[..., 0] if values.shape[2:] == (1,) else values)
            check_size(target, file, image, image_file)
        height, width = image.shape[:2]
        focal = width / 2 / np.tan(np.deg2rad(self.fov_degrees) / 2)
        return self.sample(
            key,
            image=image,
            target=target,
            valid=valid,
            planes=drop_small(planes, self.min_pixels),
            intrinsics=Intrinsics(focal, focal, (width - 1) / 2, (height - 1) / 2),
        )

    def parameters(self, key: str) -> dict[int, Plane]:
        """Read the planes of a view as normal . X = offset in the camera frame of depthmix.

        The file holds w with w . X + 1 = 0 in OpenGL axes (y up, z towards the viewer), fitted to the whole
        city model at once: on large ground they leave the depth map by more than a tenth.

        Raises:
            BadSource: no such file, damaged, or not n x 3.
        """
        file = self.root / f"{key}_plan.npz"
        w = read_npz(file, "ws")
        if w.ndim != 2 or w.shape[1] != 3:
            raise BadSource(f"must be n x 3, got {w.shape}", file=file, field="ws")
        # Normal and offset of w . X = -1, with the y and z axes turned round.
        turned: Float64[np.ndarray, "n 3"] = w * np.array([1.0, -1.0, -1.0])
        length = np.linalg.norm(turned, axis=1)
        used = np.flatnonzero(np.isfinite(length) & (length > 0))
        unit = turned[used] / length[used, None]
        return {
            int(number) + 1: Plane((float(x), float(y), float(z)), -1 / float(norm))
            for number, (x, y, z), norm in zip(used, unit, length[used], strict=True)
        }
