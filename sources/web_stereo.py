"""Web stereo in the layout of HR-WSI: photos with inverse depth up to an unknown scale and shift."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float32

from depthmix.sample import LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_bytes, read_grey8, read_image, read_mask, read_png16
from depthmix.sources.layout import check_size, files_by_stem, look_up

__all__ = ["WebStereo", "read_inverse_depth"]


class WebStereo(Source):
    """Read photos with inverse depth that was computed from web stereo pairs.

    Layout: `<root>/<split>/{imgs/*.jpg|png, gts/*.png, valid_masks/*.png[, sky_masks/*.png]}`; the files of a
    sample share their stem, which is its key. Where the folder `sky_masks` exists, every image has one.

    Convention: a larger value is nearer. The values are taken as they are (scaled to [0, 1]) and never
    inverted, since the shift is unknown. Zero is a value like any other: the mask alone tells what is valid,
    and sky is taken out of it.

    Args:
        root: folder that holds the splits.
        name: name of the source in the mix.
        split: folder of the split.
    """

    card = SourceCard(
        family="web stereo",
        quality=Quality.LOW,
        kind=LabelKind.AFFINE_DISPARITY,
        unit="inverse depth up to scale and shift",
        density="dense",
        noise="",
        licence="research only, as commonly stated for HR-WSI; not confirmed at its publisher",
        citation="Xian et al., Structure-Guided Ranking Loss for Single Image Depth Prediction, CVPR 2020",
        size="20 378 train, 400 val",
    )
    layout: ClassVar[str] = "train/imgs, train/gts and train/valid_masks"

    def __init__(self, root: str | Path, *, name: str = "web", split: str = "train") -> None:
        super().__init__(root, name=name)
        self.folder = self.root / split
        self._images = files_by_stem(self.folder / "imgs")
        self._has_sky = (self.folder / "sky_masks").is_dir()

    def keys(self) -> Sequence[str]:
        """List the stems of the images."""
        return list(self._images)

    def files(self, key: str) -> Sequence[Path]:
        """List image, validity mask, sky mask if there are any, and inverse depth."""
        image = look_up(self._images, key, root=self.folder, source=self.name)
        folders = ["valid_masks", *(["sky_masks"] if self._has_sky else []), "gts"]
        return [image, *(self.folder / folder / f"{key}.png" for folder in folders)]

    def read(self, key: str) -> Sample:
        """Read one photo with its inverse depth."""
        image_file, valid_file, *sky_files, target_file = self.files(key)
        image = read_image(image_file)
        target = read_inverse_depth(target_file)
        valid = read_mask(valid_file)
        sky = read_mask(sky_files[0]) if sky_files else np.zeros_like(valid)
        labels: list[tuple[Float32[np.ndarray, "h w"] | Bool[np.ndarray, "h w"], Path]]
        labels = [(target, target_file), (valid, valid_file), *((sky, file) for file in sky_files)]
        for label, file in labels:
            check_size(label, file, image, image_file)
        return self.sample(key, image=image, target=target, valid=valid & ~sky, sky=sky)


def read_inverse_depth(file: Path) -> Float32[np.ndarray, "h w"]:
    """Read an 8- or 16-bit grey PNG as values from 0 to 1.

    Raises:
        BadSource: no such file, damaged, or not grey.
    """
    # Byte 24 of a PNG is its bit depth; files that are no PNG are refused by the readers.
    wide = read_bytes(file)[24:25] == b"\x10"
    values, largest = (read_png16(file), 65535) if wide else (read_grey8(file), 255)
    return values.astype(np.float32) / np.float32(largest)
