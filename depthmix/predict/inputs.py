"""What is to be predicted: photos, folders of them, frames of videos, and lists of all these."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8

from depthmix.errors import BadSource, ConfigError
from depthmix.sources.decode import read_image
from depthmix.sources.listing import matching

__all__ = ["VIDEOS", "Input", "find_inputs", "listed", "pictures_of"]

PHOTOS: Final = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm")
VIDEOS: Final = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v")


@dataclass(frozen=True, slots=True)
class Input:
    """Name one photo or video.

    Args:
        path: the file.
        name: how the files of its prediction begin, below the folder of predictions.
    """

    path: Path
    name: str

    @property
    def is_video(self) -> bool:
        """Whether the file holds frames, by its ending."""
        return self.path.suffix.lower() in VIDEOS


def find_inputs(given: Sequence[Path]) -> list[Input]:
    """Return photos and videos: files as they are given, folders with all that lies below them, sorted.

    Convention: predictions of a folder keep its subfolders; those of a file have its stem.

    Raises:
        ConfigError: nothing is given, or a folder holds no photo.
        BadSource: a folder cannot be listed.
    """
    found: list[Input] = []
    for path in given:
        if not path.is_dir():
            found.append(Input(path, path.stem))
            continue
        below = [path / name for name in matching(path, "**/*")]
        below = [file for file in below if file.suffix.lower() in PHOTOS + VIDEOS]
        if not below:
            hint = f"endings that are taken: {' '.join(PHOTOS + VIDEOS)}"
            raise ConfigError("holds no photo and no video", file=path, hint=hint)
        found += [Input(file, file.relative_to(path).with_suffix("").as_posix()) for file in below]
    if not found:
        raise ConfigError("there is no photo to predict", field="photo", hint="give at least one image file")
    return found


def listed(lines: Iterable[str]) -> list[Path]:
    """Return the paths of a list, one a line; empty lines are passed over."""
    return [Path(line.rstrip("\r\n")) for line in lines if line.strip()]


def pictures_of(one: Input, every: int = 1) -> Iterator[tuple[str, UInt8[np.ndarray, "h w 3"]]]:
    """Yield name and RGB of a photo, or of every n-th frame of a video; only one is in memory at a time.

    Raises:
        BadSource: the file cannot be read.
    """
    if one.is_video:
        yield from _frames(one, every)
    else:
        yield one.name, read_image(one.path)


def _frames(one: Input, every: int) -> Iterator[tuple[str, UInt8[np.ndarray, "h w 3"]]]:
    import cv2

    if not one.path.is_file():
        raise BadSource("no such file", file=one.path)
    video = cv2.VideoCapture(str(one.path))
    try:
        number = 0
        while video.grab():
            if number % every == 0:
                fine, frame = video.retrieve()
                if not fine:
                    raise BadSource(f"frame {number} does not decode", file=one.path)
                yield f"{one.name}_{number:06d}", np.ascontiguousarray(frame[..., ::-1])
            number += 1
    finally:
        video.release()
    if not number:
        hint = "convert it to photos, for example with ffmpeg"
        raise BadSource("is no video that can be decoded here", file=one.path, hint=hint)
