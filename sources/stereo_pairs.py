"""Raw stereo pairs without calibration: labels made by matching them."""

from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar
from zipfile import is_zipfile

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from depthmix.errors import BadSample, BadSource
from depthmix.sample import LabelKind, Quality, Sample
from depthmix.sources.archive import list_files, read_file
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import decode_image
from depthmix.sources.layout import IMAGE_SUFFIXES
from depthmix.sources.matching import affine_label, check_work, match_pair, move_rows, vertical_shift
from depthmix.sources.stereo import StereoViews

__all__ = ["OakPairs", "StereoPairs", "search_range"]

MATCHER = "labels by semi-global matching: Hirschmueller, PAMI 2008"


class StereoPairs(Source):
    """Make labels for the left images of raw stereo pairs whose cameras are not known.

    Layout: `<root>/*_left.png` with `*_right.png`, or `<root>/left/*` with `<root>/right/*`; `root` is a
    folder, or a zip archive or wheel that is read without unpacking it.

    The pairs must have nearly parallel axes. A vertical shift between the views is measured and undone; the
    disparity may have any sign, since convergence and cropping of pairs from the wild are arbitrary. A pair
    whose views are swapped can not be told from a converging one: its label would say near for far.

    Args:
        root: folder, zip archive or wheel.
        name: name of the source in the mix.
        inside: folder below `root` or inside the archive.
        leave_out: keys of pairs that are not to be used.
        lowest: smallest disparity searched, as a share of the image width.
        highest: largest disparity searched, as a share of the image width.
        min_share: share of pixels that must match both ways; a pair below it is refused.

    Raises:
        BadSource: no such folder or archive, it holds no pairs, or two left views have one key.
        ValueError: an option is out of range.
    """

    card = SourceCard(
        family="web stereo",
        quality=Quality.LOW,
        kind=LabelKind.AFFINE_DISPARITY,
        unit="inverse depth up to scale and shift",
        density="dense",
        noise="",
        licence="that of the pairs; the layout does not state one",
        citation=f"the work that published the pairs, and {MATCHER}",
        read_on_real_files=True,
    )
    layout: ClassVar[str] = "*_left.png with *_right.png, or left/* with right/*"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "pairs",
        inside: str = "",
        leave_out: Collection[str] = (),
        lowest: float = -0.05,
        highest: float = 0.2,
        min_share: float = 0.1,
    ) -> None:
        if not -np.inf < lowest < highest < np.inf:
            raise ValueError(f"`lowest` must be smaller than `highest`, got {lowest} and {highest}")
        if not 0 <= min_share <= 1:
            raise ValueError(f"`min_share` must be in [0, 1], got {min_share}")
        super().__init__(root, name=name)
        self.inside, self.lowest, self.highest, self.min_share = inside, lowest, highest, min_share
        found = self.find_pairs(list_files(self.root, inside))
        self._pairs = {key: pair for key, pair in found.items() if key not in leave_out}
        if not self._pairs:
            raise BadSource("holds no pairs", file=self.root / inside, hint=f"expected {self.layout}")

    def _check_root(self) -> None:
        if not self.root.is_dir() and not is_zipfile(self.root):
            hint = f"give a folder, a zip archive or a wheel that holds {self.layout}"
            raise BadSource("no such folder or archive", file=self.root, sample=self.name, hint=hint)

    def find_pairs(self, names: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return left and right view by key; a subclass overrides this where the files have other names.

        Raises:
            BadSource: two left views have one key.
        """
        return pair_names(names)

    def keys(self) -> Sequence[str]:
        """List the names that the two views of a pair share."""
        return list(self._pairs)

    def files(self, key: str) -> Sequence[Path]:
        """List both views, or the archive that holds them."""
        pair = self._names(key)
        return [self.root / self.inside / name for name in pair] if self.root.is_dir() else [self.root]

    def read(self, key: str) -> Sample:
        """Match one pair and tag its left image with the disparity.

        Raises:
            BadSource: a view is missing or damaged, or the views differ in size.
            BadSample: too few pixels match both ways, all have one disparity, or matching would take minutes.
        """
        left, right = self.both(key)
        target, valid = self._label(key, left, right)
        return self.sample(key, image=left, target=target, valid=valid)

    def both(self, key: str) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]]:
        """Read the left and the right picture of a pair.

        Raises:
            BadSource: a view is missing or damaged, or the views differ in size.
        """
        left, right = (self._view(name) for name in self._names(key))
        if left.shape != right.shape:
            sizes = " and ".join(f"{view.shape[0]} x {view.shape[1]}" for view in (left, right))
            files = " and ".join(self._names(key))
            reason = f"{files} differ in size: {sizes} (rows x columns)"
            raise BadSource(reason, file=self.files(key)[-1], sample=f"{self.name}/{key}")
        return left, right

    def views(self, key: str) -> StereoViews | None:
        """Return both pictures; the label comes from matching them, so there is no disparity to check."""
        return StereoViews(*self.both(key))

    def match(
        self, left: UInt8[np.ndarray, "h w 3"], right: UInt8[np.ndarray, "h w 3"]
    ) -> tuple[Float32[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
        """Undo the vertical shift of a pair and match it; disparity in pixels and where it may be read.

        Raises:
            BadSample: the search would take minutes.
        """
        start, length = search_range(left.shape[1], self.lowest, self.highest)
        check_work(left.shape[0], left.shape[1], length)
        shift = vertical_shift(left, right, min_disparity=start, num_disparities=length)
        moved, rows = move_rows(right, shift)
        disparity, valid = match_pair(left, moved, min_disparity=start, num_disparities=length)
        return disparity, valid & rows[:, None]

    def _label(
        self, key: str, left: UInt8[np.ndarray, "h w 3"], right: UInt8[np.ndarray, "h w 3"]
    ) -> tuple[Float32[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
        try:
            disparity, valid = self.match(left, right)
            self.check_share(valid)
            return affine_label(disparity, valid)
        except BadSample as error:
            raise self.refused(key, error) from error

    def check_share(self, valid: Bool[np.ndarray, "h w"]) -> None:
        """Refuse a pair of which too little matches.

        Raises:
            BadSample: fewer than `min_share` of the pixels match both ways.
        """
        share = float(valid.mean())
        if share < self.min_share:
            reason = f"only {share:.1%} of the pixels match both ways, less than {self.min_share:.0%}"
            hint = "do both views show one scene, and are they in the right order?"
            raise BadSample(reason, field="disparity", hint=hint)

    def refused(self, key: str, error: BadSample) -> BadSample:
        """Return the error with the file and the name of the sample that it is about."""
        file, sample = self.files(key)[-1], f"{self.name}/{key}"
        return BadSample(error.reason, file=file, sample=sample, field=error.field, hint=error.hint)

    def _names(self, key: str) -> tuple[str, str]:
        if key not in self._pairs:
            raise self.unknown(key)
        return self._pairs[key]

    def _view(self, name: str) -> UInt8[np.ndarray, "h w 3"]:
        return decode_image(read_file(self.root, name, self.inside), self.root / self.inside / name)


class OakPairs(StereoPairs):
    """Read the OAK-D pairs of the stereodemo 0.7 wheel, as if their calibration were not known.

    Eleven indoor pairs, grey, 480 x 640; the picture of the photographer is left out.

    Args:
        root: the wheel, or the folder into which it was unpacked.
        name: name of the source in the mix.
    """

    card = SourceCard(
        family="web stereo",
        quality=Quality.LOW,
        kind=LabelKind.AFFINE_DISPARITY,
        unit="inverse depth up to scale and shift",
        density="dense",
        noise="",
        licence="CC BY 4.0",
        citation=f"Nicolas Burrus, stereodemo 0.7, datasets/oak-d; {MATCHER}",
        size="12 pairs",
        read_on_real_files=True,
    )
    layout: ClassVar[str] = "stereodemo/datasets/oak-d"

    def __init__(self, root: str | Path, *, name: str = "oak") -> None:
        super().__init__(root, name=name, inside="stereodemo/datasets/oak-d", leave_out=("selfie",))


def pair_names(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Find the left views among file names and say how their right views must be called.

    Returns:
        Key -> (left, right), sorted by key. The right view need not exist: reading the pair will name it.

    Raises:
        BadSource: two left views have one key.
    """
    pairs: dict[str, tuple[str, str]] = {}
    for path in map(PurePosixPath, sorted(names)):
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        if path.parent == PurePosixPath("left"):
            key, right = path.stem, PurePosixPath("right", path.name)
        elif path.parent == PurePosixPath() and path.stem.endswith("_left"):
            key = path.stem.removesuffix("_left")
            right = path.with_name(f"{key}_right{path.suffix}")
        else:
            continue
        if key in pairs:
            raise BadSource(f"has the same key as {pairs[key][0]}", file=str(path), hint="rename one of them")
        pairs[key] = (str(path), str(right))
    return dict(sorted(pairs.items()))


def search_range(width: int, lowest: float, highest: float) -> tuple[int, int]:
    """Turn shares of the width into the first disparity and the length of the search, multiples of 16.

    Example:
        >>> search_range(640, -0.05, 0.2)
        (-32, 160)
    """
    start = int(np.floor(lowest * width / 16)) * 16
    stop = int(np.ceil(highest * width / 16)) * 16
    return start, max(stop - start, 16)
