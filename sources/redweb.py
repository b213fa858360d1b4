"""ReDWeb: web stereo photos with relative depth from optical flow."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from depthmix.sample import LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_grey8, read_image
from depthmix.sources.layout import check_size, files_by_stem, look_up

__all__ = ["ReDWeb"]

_UNKNOWN = 255


class ReDWeb(Source):
    """Read `<root>/{Imgs/*.jpg, RDs/*.png}` (the folder ReDWeb_V1) as inverse depth up to scale and shift.

    Convention: RDs are 8-bit: 0 is the nearest, larger values are farther, 255 is sky, background or unknown,
    and not valid; nothing says which of these, so no pixel is called sky. The publisher does not say what the
    numbers measure; they are taken as negative disparity, as those who trained on them do, so the target is
    1 - value / 255.

    Args:
        root: folder ReDWeb_V1.
        name: name of the source in the mix.
        nearest: value of the nearest pixel, 0 or 254: copies exist that were turned round.
    """

    card = SourceCard(
        family="web stereo",
        quality=Quality.LOW,
        kind=LabelKind.AFFINE_DISPARITY,
        unit="inverse depth up to scale and shift",
        density="dense",
        noise="",
        licence="research only, as commonly stated; not confirmed at its publisher",
        citation="Xian, Shen, Cao, Lu, Xiao, Li, Luo: Monocular Relative Depth Perception with Web Stereo "
        "Data "
        "Supervision, CVPR 2018",
        size="3 600 images",
    )
    layout = "Imgs/*.jpg and RDs/*.png"

    def __init__(self, root: str | Path, *, name: str = "redweb", nearest: int = 0) -> None:
        super().__init__(root, name=name)
        if nearest not in (0, 254):
            raise ValueError(f"`nearest` must be 0 or 254, got {nearest}")
        self.nearest = nearest
        self._photos = files_by_stem(self.root / "Imgs")

    def keys(self) -> Sequence[str]:
        """List the stems of the photos."""
        return list(self._photos)

    def files(self, key: str) -> Sequence[Path]:
        """List photo and label."""
        photo = look_up(self._photos, key, root=self.root, source=self.name)
        return [photo, self.root / "RDs" / f"{key}.png"]

    def read(self, key: str) -> Sample:
        """Read one photo with its label."""
        image_file, label_file = self.files(key)
        image, code = read_image(image_file), read_grey8(label_file)
        check_size(code, label_file, image, image_file)
        nearness = code.astype(np.float32) / np.float32(255)
        target = nearness if self.nearest else 1 - nearness
        return self.sample(key, image=image, target=target, valid=code != _UNKNOWN)
