"""Pictures as they are predicted: a few at a time, in order, with the focal length of each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from depthmix.errors import BadSource
from depthmix.predict.inputs import Input, pictures_of
from depthmix.predict.photo import Focal, camera_of, find_focal
from depthmix.sample import Intrinsics

__all__ = ["OnBad", "Picture", "focal_of", "picture_windows"]

OnBad = Literal["error", "skip"]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Hold one picture of a photo or video.

    Args:
        path: the file.
        name: how the files of its prediction begin.
        image: RGB.
        focal: its focal length, where that is known.
    """

    path: Path
    name: str
    image: UInt8[np.ndarray, "h w 3"]
    focal: Focal | None

    @property
    def camera(self) -> Intrinsics | None:
        """The camera of the picture, which was not cropped."""
        return camera_of(self.focal, (self.image.shape[0], self.image.shape[1])) if self.focal else None


def picture_windows(
    inputs: Sequence[Input], most: int, every: int, given: Mapping[str, float | None], on_bad: OnBad
) -> Iterator[list[Picture] | BadSource]:
    """Yield pictures, up to so many together, and what is wrong with files that are skipped, in order.

    Args:
        inputs: photos and videos.
        most: pictures that are in memory together.
        every: take every n-th frame of a video.
        given: see `find_focal`.
        on_bad: "error" raises what is wrong with a file, "skip" yields it.

    Raises:
        BadSource: a file can not be read and none is to be skipped; all pictures before it were yielded.
    """
    waiting: list[Picture] = []
    for one in inputs:
        bad: BadSource | None = None
        try:
            for name, image in pictures_of(one, every):
                focal = focal_of(one, (image.shape[0], image.shape[1]), given)
                waiting.append(Picture(one.path, name, image, focal))
                if len(waiting) == most:
                    yield waiting
                    waiting = []
        except BadSource as error:
            bad = error
        if bad is not None:
            if waiting:
                yield waiting
                waiting = []
            if on_bad == "error":
                raise bad
            yield bad
    if waiting:
        yield waiting


def focal_of(one: Input, size: tuple[int, int], given: Mapping[str, float | None]) -> Focal | None:
    """Return the focal length of a photo or of the frames of a video; see `find_focal`."""
    # The data of a video file say nothing about its lens.
    if one.is_video and not any(given.values()):
        return None
    return find_focal(one.path, size, **given)
