"""WSVD: frames of 3D films from the web, both views in one picture, labelled by matching them."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8

from depthmix.errors import BadSource
from depthmix.sample import LabelKind, Quality
from depthmix.sources.archive import read_file
from depthmix.sources.base import SourceCard
from depthmix.sources.decode import decode_image, refusing
from depthmix.sources.layout import IMAGE_SUFFIXES
from depthmix.sources.stereo_pairs import MATCHER, StereoPairs
from depthmix.sources.unpickle import read_pickle

__all__ = ["Wsvd", "read_clips"]

Arrangement = Literal["side by side", "top bottom"]
Clips = dict[str, tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]]
DARK = 16  # black of video is coded as 16


class Wsvd(StereoPairs):
    """Make labels for the left views of frames of 3D films.

    WSVD is published as names of YouTube videos and, in a pickle, the frames to take from them; neither the
    videos nor any depth come with it. Layout: `<root>/<clips>` (the pickle) and
    `<root>/<video>/<frame>.png|jpg`, the whole frame with both views as the video shows it, named by the
    number that the pickle gives it (leading zeros do not matter). Only frames of the pickle are samples;
    those that are not there are left out, because videos vanish from the web. The pickle is read without
    running anything that it may hold.

    Convention: as `StereoPairs`: disparities of any sign, inverse depth up to scale and shift, larger is
    nearer. Clips with the label `swapped_label` show the right view first; their views are changed back.
    Black bars around the picture are not valid. No sky, no camera.

    Args:
        root: folder of the frames and the pickle.
        name: name of the source in the mix.
        clips: the pickle; with "" every frame is taken and no views are changed back, for films that are not
            of this set.
        arrangement: how a frame holds its two views; the films of the set are taken to be "side by side".
        squeezed: whether each view has half its true width (height in "top bottom"), as is usual on the
            web; then the other side is halved too, so that no pixel is made up.
        swapped_label: label of the clips whose right view comes first. The list does not say what its labels
            mean; -1 is what others who split these videos take for it.
        lowest: smallest disparity searched, as a share of the image width; the publisher states no range.
        highest: largest disparity searched, as a share of the image width.
        min_share: share of pixels that must match both ways; a frame below it is refused.

    Raises:
        BadSource: no such folder, or it holds no frames.
        ValueError: an option is out of range.
    """

    card = SourceCard(
        family="web stereo",
        quality=Quality.LOW,
        kind=LabelKind.AFFINE_DISPARITY,
        unit="inverse depth up to scale and shift",
        density="dense",
        noise="",
        licence="that of each video on YouTube; the list states none",
        citation="Wang, Lucey, Perazzi, Wang: Web Stereo Video Supervision for Depth Prediction from Dynamic "
        f"Scenes, 3DV 2019; {MATCHER}",
        size="553 videos with about 1.5 million frames, as commonly stated; many are gone",
    )
    layout: ClassVar[str] = "wsvd_train_clip_frame_ids.pkl and <video>/<frame>.png"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "wsvd",
        clips: str = "wsvd_train_clip_frame_ids.pkl",
        arrangement: Arrangement = "side by side",
        squeezed: bool = True,
        swapped_label: int = -1,
        lowest: float = -0.1,
        highest: float = 0.1,
        min_share: float = 0.1,
    ) -> None:
        if arrangement not in get_args(Arrangement):
            raise ValueError(f"`arrangement` must be one of {get_args(Arrangement)}, got {arrangement!r}")
        self.clips, self.arrangement, self.squeezed = clips, arrangement, squeezed
        self.swapped_label = swapped_label
        self._listed: Clips | None = None
        super().__init__(root, name=name, lowest=lowest, highest=highest, min_share=min_share)

    def find_pairs(self, names: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Return the frame of each key twice, since it holds both views."""
        found: dict[str, tuple[str, str]] = {}
        for path in map(PurePosixPath, names):
            frame = len(path.parts) == 2 and path.suffix.lower() in IMAGE_SUFFIXES
            if frame and path.stem.isdecimal() and not path.parent.name.startswith("."):
                found[str(path.with_suffix(""))] = (str(path), str(path))
        return dict(sorted(found.items()))

    def keys(self) -> Sequence[str]:
        """List the frames as `<video>/<frame>`.

        Raises:
            BadSource: the pickle cannot be read, or none of its frames are here.
        """
        keys = [key for key in self._pairs if self._label_of(key) is not None]
        if not keys:
            raise BadSource("lists none of the frames", file=self.root / self.clips, hint=self.layout)
        return keys

    def files(self, key: str) -> Sequence[Path]:
        """List the pickle and the frame."""
        return [*([self.root / self.clips] if self.clips else []), self.root / self._names(key)[0]]

    def both(self, key: str) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]]:
        """Read a frame and take its two views apart, the left one first."""
        label, name = self._label_of(key), self._names(key)[0]
        if label is None:
            raise BadSource(
                "does not list this frame", file=self.root / self.clips, sample=f"{self.name}/{key}"
            )
        frame = decode_image(read_file(self.root, name), self.root / name)
        axis = 1 if self.arrangement == "side by side" else 0
        if frame.shape[axis] % 2:
            reason = f"{frame.shape[axis]} {('rows', 'columns')[axis]} can not hold two equal views"
            raise BadSource(reason, file=self.root / name, hint="give whole frames of the video")
        first, second = (
            _unsqueezed(view, axis) if self.squeezed else view for view in np.split(frame, 2, axis)
        )
        return (second, first) if label == self.swapped_label and self.clips else (first, second)

    def match(
        self, left: UInt8[np.ndarray, "h w 3"], right: UInt8[np.ndarray, "h w 3"]
    ) -> tuple[Float32[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
        """Match as `StereoPairs`, and keep only what lies inside the picture."""
        disparity, valid = super().match(left, right)
        return disparity, valid & _inside_bars(left)

    def _label_of(self, key: str) -> int | None:
        if not self.clips:
            return 0
        if self._listed is None:
            self._listed = read_clips(self.root / self.clips)
        video, _, frame = key.partition("/")
        if video not in self._listed or not frame.isdecimal():
            return None
        frames, labels = self._listed[video]
        place = int(np.searchsorted(frames, int(frame)))
        return int(labels[place]) if place < len(frames) and frames[place] == int(frame) else None


def read_clips(file: Path) -> Clips:
    """Read which frames of which video WSVD takes.

    Returns:
        By video: the numbers of its frames, ascending, and the label of the clip that each belongs to.

    Raises:
        BadSource: no such file, damaged, it names something that is no plain data, or has another form.
    """
    content = read_pickle(file)
    with refusing(file, "give wsvd_train_clip_frame_ids.pkl or wsvd_test_clip_frame_ids.pkl"):
        # Some names end in the format that a download tool added: <id>.f137.
        return {video["name"].split(".")[0]: _frames_and_labels(video["clips"]) for video in content}


def _frames_and_labels(
    clips: list[dict[str, Any]],
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    numbers = [np.array(clip["frames"], np.int64).ravel() for clip in clips]
    frames = np.concatenate([np.zeros(0, np.int64), *numbers])
    labels = np.repeat(np.array([int(clip["label"]) for clip in clips], np.int64), [len(n) for n in numbers])
    order = np.argsort(frames, kind="stable")
    return frames[order], labels[order]


def _unsqueezed(view: UInt8[np.ndarray, "h w 3"], axis: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    import cv2

    height, width = view.shape[:2]
    size = (width, max(height // 2, 1)) if axis == 1 else (max(width // 2, 1), height)
    return np.asarray(cv2.resize(view, size, interpolation=cv2.INTER_AREA))


def _inside_bars(view: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    bright = view.max(axis=2) > DARK
    inside = np.zeros(bright.shape, np.bool_)
    rows, columns = (np.flatnonzero(bright.any(axis=axis)) for axis in (1, 0))
    if len(rows):
        inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return inside
