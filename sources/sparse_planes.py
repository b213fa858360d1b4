"""SparsePlanes: rendered Matterport3D views with plane instances, in JSON with run-length masks."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_image
from depthmix.sources.planes import drop_small
from depthmix.sources.rle import mask_of_segmentation
from depthmix.sources.tables import LIST_MEMORY, MISFIT, read_json

__all__ = ["SparsePlanes"]


class SparsePlanes(Source):
    """Read the plane masks of both views of each pair.

    Layout: `<root>/mp3d_planercnn_json/cached_set_<split>.json` and the images of `rgb.zip` below
    `<root>/rgb`. The JSON states paths of its authors' machine; the last `path_parts` parts of them are
    looked for below `rgb`.

    Convention: later masks lie over earlier ones where they overlap. Views are 640 x 480 with one camera,
    which the JSON does not state: `focal_px` is that of the publisher's code, the principal point is the
    middle.

    Args:
        root: folder of the data set.
        name: name of the source in the mix.
        split: "train", "val" or "test".
        min_pixels: smaller planes are dropped.
        path_parts: how many last parts of the stated paths lead to the images below `rgb`.
        focal_px: focal length for 640 columns, or 0 for no camera.
    """

    card = SourceCard(
        family="planes",
        quality=Quality.WEAK,
        kind=LabelKind.NONE,
        unit="",
        density="none",
        noise="",
        licence="Matterport3D Terms of Use (non-commercial)",
        citation="Jin, Qian, Owens, Fouhey: Planar Surface Reconstruction from Sparse Views, ICCV 2021",
        size="31 932 train + 4 707 val + 7 996 test pairs, as stated in the paper",
    )
    layout = "mp3d_planercnn_json/cached_set_<split>.json, rgb/<scene>/<view>.png"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "sparse_planes",
        split: str = "val",
        min_pixels: int = 200,
        path_parts: int = 2,
        focal_px: float = 517.97,
    ) -> None:
        super().__init__(root, name=name)
        if path_parts < 1:
            raise ValueError(f"`path_parts` must be at least 1, got {path_parts}")
        if not 0 <= focal_px < np.inf:
            raise ValueError(f"`focal_px` must be finite and not negative, got {focal_px}")
        self.split, self.min_pixels, self.path_parts, self.focal_px = split, min_pixels, path_parts, focal_px
        self._views: dict[str, dict[str, Any]] = {}

    def keys(self) -> Sequence[str]:
        """List the views as `<scene>/<view>`; a view of several pairs is listed once."""
        self._load()
        return sorted(self._views)

    def files(self, key: str) -> Sequence[Path]:
        """List image and table; the suffix of the image is the one that the table states."""
        self._load()
        suffix = self._views.get(key, {}).get("suffix", ".png")
        return [self.root / "rgb" / f"{key}{suffix}", self._file]

    def read(self, key: str) -> Sample:
        """Read one view with its planes."""
        self._load()
        if key not in self._views:
            raise self.unknown(key)
        image_file = self.files(key)[0]
        image = read_image(image_file)
        size = image.shape[:2]
        planes = np.zeros(size, np.int32)
        for number, annotation in enumerate(self._views[key]["annotations"], start=1):
            try:
                planes[mask_of_segmentation(annotation["segmentation"], size)] = number
            except MISFIT as error:
                reason = f"plane {number} of {key} is no mask of {image_file.name}: {error}"
                raise BadSource(reason, file=self._file) from error
        focal = self.focal_px * size[1] / 640
        middle = (size[1] - 1) / 2, (size[0] - 1) / 2
        camera = Intrinsics(focal, focal, *middle) if focal else None
        return self.sample(key, image=image, planes=drop_small(planes, self.min_pixels), intrinsics=camera)

    def __getstate__(self) -> dict[str, object]:
        # The table is read again by each process: sending it would cost more.
        return {**self.__dict__, "_views": {}}

    @property
    def _file(self) -> Path:
        return self.root / "mp3d_planercnn_json" / f"cached_set_{self.split}.json"

    def _load(self) -> None:
        if self._views:
            return
        content: Any = read_json(self._file, max_memory=LIST_MEMORY)
        views: dict[str, dict[str, Any]] = {}
        try:
            for pair in content["data"]:
                for side in ("0", "1"):
                    path = PurePosixPath(str(pair[side]["file_name"]))
                    key = "/".join(path.with_suffix("").parts[-self.path_parts :])
                    views[key] = {"annotations": list(pair[side]["annotations"]), "suffix": path.suffix}
        except MISFIT as error:
            raise BadSource(f"is no table of view pairs ({error!r})", file=self._file) from error
        if not views:
            raise BadSource("holds no pair", file=self._file, hint=f"expected {self.layout}")
        self._views = views
