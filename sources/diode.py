"""DIODE: rooms and streets scanned by one laser, dense, from the same viewpoint as the image."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float32

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.camera import camera_of_size
from depthmix.sources.decode import read_image, read_npy
from depthmix.sources.encoding import depth_of_ray_length, measured
from depthmix.sources.layout import check_size, files_below

__all__ = ["Diode"]

Split = Literal["train", "val"]
Place = Literal["both", "indoors", "outdoor"]
Depth = Literal["z", "distance"]


class Diode(Source):
    """Read `<root>/<train|val>/<indoors|outdoor>/scene_*/scan_*/*.png` with depth and mask beside each image.

    Layout: `00019_00183_indoors_000_010.png` (1024 x 768) with `00019_00183_indoors_000_010_depth.npy` and
    `00019_00183_indoors_000_010_depth_mask.npy`, as the archives `train.tar.gz` and `val.tar.gz` unpack. The
    archive of normals is not read. Keys are the path below the split, without suffix.

    Convention: depth is float (h, w, 1), in metres. The mask is 1 where the laser had a return; 0 is not
    valid, and no sky: glass and what is out of reach are 0 as well. All images are cut out of panoramas by
    one computed camera without distortion, fx = 886.81, fy = 927.06, centre (512, 384). A centre at half the
    image counts from the corner of the first pixel, so half a pixel is taken off.

    Args:
        root: folder that holds `train` or `val`.
        name: name of the source in the mix.
        split: which of the two folders.
        place: read the rooms, the streets, or both; their ranges differ by a factor of ten.
        depth: what the stored numbers are. The publisher does not say; public readers take them as z, the
            default. "distance" takes them as distance to the camera and turns them into z.

    Raises:
        BadSource: no such folder.
        ValueError: `split`, `place` or `depth` is none of the names above.
    """

    card = SourceCard(
        family="lidar",
        quality=Quality.HIGH,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="dense",
        noise="",
        licence="MIT, the licence file of the publisher's development kit",
        citation="Vasiljevic, Kolkin, Zhang, Luo, Wang, Dai, Daniele, Mostajabi, Basart, Walter, "
        "Shakhnarovich: DIODE: A Dense Indoor and Outdoor DEpth Dataset, 2019",
        size="25458 images for training (81 GB), 771 for validation (2.6 GB)",
    )
    layout: ClassVar[str] = (
        "<train|val>/<indoors|outdoor>/scene_*/scan_*/{*.png, *_depth.npy, *_depth_mask.npy}"
    )
    camera: ClassVar[Intrinsics] = Intrinsics(886.81, 927.06, 511.5, 383.5)
    camera_size: ClassVar[tuple[int, int]] = (768, 1024)

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "diode",
        split: Split = "train",
        place: Place = "both",
        depth: Depth = "z",
    ) -> None:
        super().__init__(root, name=name)
        options = (("split", split, Split), ("place", place, Place), ("depth", depth, Depth))
        for option, value, allowed in options:
            if value not in get_args(allowed):
                raise ValueError(f"`{option}` must be one of {', '.join(get_args(allowed))}, got {value!r}")
        self.split, self.place, self.depth = split, place, depth

    def keys(self) -> Sequence[str]:
        """List the images as `indoors/scene_.../scan_.../...`.

        Raises:
            BadSource: there is none.
        """
        place = "*" if self.place == "both" else self.place
        pattern = f"{self.split}/{place}/scene_*/scan_*/*.png"
        found = files_below(self.root, pattern, expected=self.layout)
        return sorted(name.removeprefix(f"{self.split}/").removesuffix(".png") for name in found)

    def files(self, key: str) -> Sequence[Path]:
        """List image, mask and depth."""
        stem = self.root / self.split / key
        return [stem.with_name(stem.name + end) for end in (".png", "_depth_mask.npy", "_depth.npy")]

    def read(self, key: str) -> Sample:
        """Read one view.

        Raises:
            BadSource: a file is missing, damaged, of another size than the image, or no mask of 0 and 1.
            BadSample: no pixel has a depth.
        """
        image_file, mask_file, depth_file = self.files(key)
        image, mask, depth = read_image(image_file), _read_mask(mask_file), _read_depth(depth_file)
        for label, file in ((mask, mask_file), (depth, depth_file)):
            check_size(label, file, image, image_file)
        depth, valid = measured(depth)
        camera = camera_of_size(self.camera, self.camera_size, image.shape[:2], image_file)
        if self.depth == "distance":
            depth = depth_of_ray_length(depth, camera)
        return self.sample(key, image=image, target=depth, valid=valid & mask, intrinsics=camera)


def _read_mask(file: Path) -> Bool[np.ndarray, "h w"]:
    mask = read_npy(file)
    mask = mask[..., 0] if mask.ndim == 3 and mask.shape[2] == 1 else mask
    if mask.ndim != 2 or not np.isin(mask, (0, 1)).all():
        raise BadSource(f"must be a mask (h, w) of 0 and 1, got {mask.dtype} {mask.shape}", file=file)
    return np.asarray(mask == 1)


def _read_depth(file: Path) -> Float32[np.ndarray, "h w"]:
    depth = read_npy(file)
    if depth.ndim != 3 or depth.shape[2] != 1 or depth.dtype.kind != "f":
        raise BadSource(f"must be float (h, w, 1), got {depth.dtype} {depth.shape}", file=file)
    return depth[..., 0].astype(np.float32)
