"""Holopix50k: stereo photos of a phone app, labelled by matching the two views."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal, get_args

from depthmix.sample import LabelKind, Quality
from depthmix.sources.base import SourceCard
from depthmix.sources.layout import IMAGE_SUFFIXES
from depthmix.sources.stereo_pairs import MATCHER, StereoPairs

__all__ = ["Holopix50k"]

Split = Literal["train", "val", "test"]


class Holopix50k(StereoPairs):
    """Make labels for the left photos of Holopix50k, which comes without any depth.

    Layout: `<root>/<train|val|test>/{left/<id>_left.jpg, right/<id>_right.jpg}`, as the publisher's script
    fills the folder `Holopix50k`; the key of a pair is its id.

    Convention: as `StereoPairs`. The app lets the eyes converge on the subject, so that what lies behind it
    has a negative disparity and what lies before it a positive one: both are kept, and the label is inverse
    depth up to scale and shift, never inverted. Where the two views do not agree, nothing is valid. Sky is
    not known; the camera is not known.

    The set shrinks while users withdraw photos: a left view whose right view is missing ends in `BadSource`
    when it is read.

    Args:
        root: the folder `Holopix50k`.
        name: name of the source in the mix.
        split: folder of the split.
        lowest: smallest disparity searched, as a share of the image width; the publisher states no range.
        highest: largest disparity searched, as a share of the image width.
        min_share: share of pixels that must match both ways; a pair below it is refused.

    Raises:
        BadSource: no such folder, or the split holds no pairs.
        ValueError: an option is out of range.
    """

    card = SourceCard(
        family="web stereo",
        quality=Quality.LOW,
        kind=LabelKind.AFFINE_DISPARITY,
        unit="inverse depth up to scale and shift",
        density="dense",
        noise="",
        licence="Holopix50k Dataset License: non-commercial and academic use, Leia, Inc. to be credited",
        citation="Hua, Kohli, Uplavikar, Ravi, Gunaseelan, Orozco, Li: Holopix50k: A Large-Scale In-the-wild "
        f"Stereo Image Dataset, CVPR Workshops 2020; {MATCHER}",
        size="49 368 pairs, as stated in the paper; 4 914 of them in val",
    )
    layout: ClassVar[str] = "<train|val|test>/{left/<id>_left.jpg, right/<id>_right.jpg}"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "holopix",
        split: Split = "train",
        lowest: float = -0.1,
        highest: float = 0.1,
        min_share: float = 0.1,
    ) -> None:
        if split not in get_args(Split):
            raise ValueError(f"`split` must be one of {get_args(Split)}, got {split!r}")
        super().__init__(root, name=name, inside=split, lowest=lowest, highest=highest, min_share=min_share)

    def find_pairs(self, names: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return left and right view by the id of their pair."""
        pairs: dict[str, tuple[str, str]] = {}
        for path in map(PurePosixPath, names):
            left = path.parent == PurePosixPath("left") and path.stem.endswith("_left")
            if not left or path.name.startswith(".") or path.suffix.lower() not in IMAGE_SUFFIXES:
                continue
            key = path.stem.removesuffix("_left")
            pairs[key] = (str(path), f"right/{key}_right{path.suffix}")
        return dict(sorted(pairs.items()))
