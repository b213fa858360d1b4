"""Taskonomy and Omnidata: views of scanned buildings, rendered in many domains."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from depthmix.errors import BadSample, BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.camera import read_json_object
from depthmix.sources.decode import read_image, read_mask
from depthmix.sources.encoding import read_depth_png16
from depthmix.sources.layout import check_size, files_below

__all__ = ["Taskonomy"]

_PICTURE = "_domain_rgb.png"


class Taskonomy(Source):
    """Read `point_*_view_*_domain_{rgb.png, depth_zbuffer.png, point_info.json}` of buildings.

    Layout: either `<root>/<building>/<domain>/*` (Taskonomy), or `<root>/<domain>/[<component>/]<building>/*`
    (Omnidata, whose components taskonomy, replica, hypersim, gso, blended_mvg and hm3d are rendered alike);
    the second is taken where `<root>/rgb` exists. Keys are `[<component>/]<building>/point_0_view_0`.

    Convention: depth_zbuffer is z, 16-bit PNG in 1/512 m, 65535 = nothing hit. The scans have holes through
    which far walls are seen; readers cut at 23 000 or 28 000 codes. `field_of_view_rads` spans the longer
    side, and the axis meets the middle of the image.

    Args:
        root: folder of the data set.
        name: name of the source in the mix.
        component: only this component of Omnidata, such as "replica"; "" takes all.
        max_depth_m: farther pixels are not valid; 44.9 are 23 000 codes.
        masks: also read the domain mask_valid, which Omnidata publishes; False where it was not fetched.
        cameras: read the domain point_info; False gives no camera where it was not fetched.
    """

    card = SourceCard(
        family="rgb-d",
        quality=Quality.HIGH,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="dense",
        noise="",
        licence="research and education only, as commonly stated; not confirmed at its publisher",
        citation="Zamir, Sax, Shen, Guibas, Malik, Savarese: Taskonomy, CVPR 2018; Eftekhar, Sax, Malik, "
        "Zamir: "
        "Omnidata, ICCV 2021",
        size="Taskonomy 4.5 million views of 537 buildings; Omnidata 14 million",
    )
    layout = "<building>/{rgb,depth_zbuffer,point_info}/*, or <domain>/[<component>/]<building>/*"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "taskonomy",
        component: str = "",
        max_depth_m: float = 44.9,
        masks: bool = False,
        cameras: bool = True,
    ) -> None:
        super().__init__(root, name=name)
        if not 0 < max_depth_m < math.inf:
            raise ValueError(f"`max_depth_m` must be positive and finite, got {max_depth_m}")
        self.component, self.max_depth_m = component, max_depth_m
        self.masks, self.cameras = masks, cameras
        self._by_domain = (self.root / "rgb").is_dir()

    def keys(self) -> Sequence[str]:
        """List building and view of all pictures."""
        if self._by_domain:
            inside = f"rgb/{self.component}/" if self.component else "rgb/"
            found = files_below(self.root, f"{inside}**/*{_PICTURE}", expected=self.layout)
            return sorted(name.removeprefix("rgb/").removesuffix(_PICTURE) for name in found)
        found = files_below(self.root, f"*/rgb/*{_PICTURE}", expected=self.layout)
        parts = [name.removesuffix(_PICTURE).split("/") for name in found]
        return sorted(f"{building}/{view}" for building, _, view in parts)

    def files(self, key: str) -> Sequence[Path]:
        """List picture, camera, mask and depth."""
        files = [self._file(key, "rgb", "png")]
        files += [self._file(key, "point_info", "json")] if self.cameras else []
        files += [self._file(key, "mask_valid", "png")] if self.masks else []
        return [*files, self._file(key, "depth_zbuffer", "png")]

    def read(self, key: str) -> Sample:
        """Read one view."""
        image_file, *_, depth_file = self.files(key)
        image = read_image(image_file)
        depth, valid = read_depth_png16(depth_file, per_metre=512, missing=(0, 65535))
        check_size(depth, depth_file, image, image_file)
        valid &= depth <= self.max_depth_m
        if self.masks:
            mask_file = self._file(key, "mask_valid", "png")
            mask = read_mask(mask_file)
            check_size(mask, mask_file, image, image_file)
            valid &= mask
        camera = self._camera(key, image.shape[0], image.shape[1]) if self.cameras else None
        return self.sample(
            key, image=image, target=np.where(valid, depth, np.float32(0)), valid=valid, intrinsics=camera
        )

    def _file(self, key: str, domain: str, suffix: str) -> Path:
        building, _, view = key.rpartition("/")
        folder = self.root / domain / building if self._by_domain else self.root / building / domain
        return folder / f"{view}_domain_{domain}.{suffix}"

    def _camera(self, key: str, height: int, width: int) -> Intrinsics:
        file = self._file(key, "point_info", "json")
        content: dict[str, Any] = read_json_object(file)
        angle = content.get("field_of_view_rads")
        if not isinstance(angle, float) or not 0.02 < angle < 3.1:
            raise BadSource(
                f"must be an angle in radians, got {angle!r}", file=file, field="field_of_view_rads"
            )
        focal = max(height, width) / 2 / math.tan(angle / 2)
        try:
            return Intrinsics(focal, focal, width / 2 - 0.5, height / 2 - 0.5)
        except BadSample as error:
            raise BadSource(error.reason, file=file, field="field_of_view_rads") from error
