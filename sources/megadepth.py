"""MegaDepth: photo collections with depth from structure from motion and multi-view stereo."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from depthmix.errors import BadSample, BadSource
from depthmix.sample import LabelKind, Quality, Sample
from depthmix.sources.arrays import read_hdf5
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_image
from depthmix.sources.encoding import measured
from depthmix.sources.layout import check_size, files_below
from depthmix.sources.unpickle import read_pickle

__all__ = ["MegaDepth"]

_ORDINAL = "is a map of what is before and what is behind, no depth"


class MegaDepth(Source):
    """Read `<root>/<scene>/dense*/{imgs/*.jpg, depths/*.h5}` (MegaDepth_v1) as depth up to scale.

    Convention: HDF5 files hold `depth`, z in the unit of the scene's reconstruction, one unknown factor a
    scene; 0 where nothing was reconstructed, sky and people included, so no pixel is called sky. Maps with
    negative values are the ordinal ones of the set and end in `BadSample`. Multi-view stereo leaves outliers:
    values outside the given quantiles are not valid, as the publisher's own reader does. The cameras are in
    the reconstructions, which are another download, and are not read.

    Args:
        root: folder of the scenes.
        name: name of the source in the mix.
        images: a list of the publisher (such as "train_list/landscape/imgs_MD.p", a pickle, read without
            running it) that says which images are samples; "" takes all with a depth map, ordinal ones too.
        lowest: quantile of the measured values below which depth is not valid.
        highest: quantile above which it is not.
    """

    card = SourceCard(
        family="structure from motion",
        quality=Quality.MIDDLE,
        kind=LabelKind.SCALED_DEPTH,
        unit="m up to scale",
        density="dense",
        noise="",
        licence="CC BY 4.0, as commonly stated; not confirmed at its publisher",
        citation="Li, Snavely: MegaDepth: Learning Single-View Depth Prediction from Internet Photos, CVPR "
        "2018",
        size="about 130 000 images of 196 scenes, 100 000 of them with depth, 30 000 ordinal",
    )
    layout = "<scene>/dense*/{imgs/*.jpg, depths/*.h5}"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "megadepth",
        images: str = "",
        lowest: float = 0.01,
        highest: float = 0.98,
    ) -> None:
        super().__init__(root, name=name)
        if not 0 <= lowest < highest <= 1:
            raise ValueError(
                f"`lowest` must be in [0, highest) and `highest` in (0, 1], got {lowest} and {highest}"
            )
        self.images, self.lowest, self.highest = images, lowest, highest

    def keys(self) -> Sequence[str]:
        """List `<scene>/<dense>/<photo>` of all depth maps, or of those in the list."""
        found = files_below(self.root, "*/dense*/depths/*.h5", expected=self.layout)
        keys = [_key(name) for name in found]
        if not self.images:
            return sorted(keys)
        wanted = self._listed()
        kept = sorted(set(keys) & wanted)
        if not kept:
            reason = f"names none of the {len(keys)} images that lie here"
            raise BadSource(reason, file=self.root / self.images, hint="is it a list of this release?")
        return kept

    def files(self, key: str) -> Sequence[Path]:
        """List photo and depth."""
        scene, _, rest = key.partition("/")
        dense, _, photo = rest.partition("/")
        folder = self.root / scene / dense
        names = [folder / "imgs" / f"{photo}{suffix}" for suffix in (".jpg", ".JPG", ".png")]
        image = next((name for name in names if name.is_file()), names[0])
        return [image, folder / "depths" / f"{photo}.h5"]

    def read(self, key: str) -> Sample:
        """Read one photo.

        Raises:
            BadSource: a file is missing, damaged or of another size.
            BadSample: the map is ordinal, or nothing is measured.
        """
        image_file, depth_file = self.files(key)
        image, depth = read_image(image_file), read_hdf5(depth_file, "depth")
        if depth.ndim != 2:
            raise BadSource(f"must be (h, w), got {depth.shape}", file=depth_file, field="depth")
        check_size(depth, depth_file, image, image_file)
        if (depth < 0).any():
            hint = "give the publisher's list of images with depth by `images`"
            raise BadSample(_ORDINAL, file=depth_file, sample=f"{self.name}/{key}", hint=hint)
        target, valid = measured(depth)
        if valid.any():
            low, high = np.quantile(target[valid], [self.lowest, self.highest])
            valid &= (target >= low) & (target <= high)
        return self.sample(key, image=image, target=np.where(valid, target, np.float32(0)), valid=valid)

    def _listed(self) -> set[str]:
        file = self.root / self.images
        content: Any = read_pickle(file)
        if not isinstance(content, list | tuple) or not all(isinstance(name, str) for name in content):
            raise BadSource("must hold a list of file names", file=file)
        return {_key(name) for name in content}


def _key(name: str) -> str:
    """Turn a path of a photo or its map into scene, reconstruction and photo."""
    parts = [part for part in name.split("/") if part]
    if len(parts) < 4:
        return name
    return f"{parts[-4]}/{parts[-3]}/{Path(parts[-1]).stem}"
