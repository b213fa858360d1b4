"""What folder layouts have in common: files by stem, look-up by key, labels of the image's size."""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import UInt8

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics
from depthmix.sources.files import refusing
from depthmix.sources.listing import matching

__all__ = [
    "IMAGE_SUFFIXES",
    "check_size",
    "files_below",
    "files_by_stem",
    "image_of_size",
    "look_up",
    "path_below",
    "visible",
]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


def files_by_stem(folder: Path, suffixes: Iterable[str] = IMAGE_SUFFIXES) -> dict[str, Path]:
    """List the files of a folder by their name without suffix, sorted, without opening any.

    Names that begin with a dot are left out: they are what operating systems add, not data.

    Raises:
        BadSource: no such folder, it cannot be listed, no such file in it, or two files that differ only in
            their suffix.
    """
    wanted = tuple(suffixes)
    if not folder.is_dir():
        raise BadSource("no such folder", file=folder, hint="check that the data set was unpacked completely")
    found: dict[str, Path] = {}
    for path in visible(folder):
        if path.suffix.lower() not in wanted:
            continue
        if path.stem in found:
            reason = f"has the same stem as {found[path.stem].name}: which one is meant?"
            raise BadSource(reason, file=path, hint="remove or rename one of them")
        found[path.stem] = path
    if not found:
        raise BadSource(f"holds no {', '.join(wanted)} file", file=folder, hint="give the folder of raw data")
    return dict(sorted(found.items()))


def visible(folder: Path) -> list[Path]:
    """List what lies in a folder, sorted, without names that begin with a dot.

    Raises:
        BadSource: the folder cannot be listed.
    """
    with refusing(folder, "check the permissions and the disk"):
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def look_up(files: Mapping[str, Path], key: str, *, root: Path, source: str) -> Path:
    """Return the file of `key`.

    Raises:
        BadSource: there is no such key.
    """
    if key not in files:
        raise BadSource("no sample has this key", file=root, sample=f"{source}/{key}", hint="see keys()")
    return files[key]


def check_size(array: np.ndarray, file: Path, image: np.ndarray, image_file: Path) -> None:
    """Check that a label has the rows and columns of its image.

    Raises:
        BadSource: they differ; the message names both files.
    """
    if array.shape[:2] != image.shape[:2]:
        label, picture = (" x ".join(map(str, values.shape[:2])) or "one number" for values in (array, image))
        reason = f"is {label}, but its image {image_file} is {picture} (rows x columns)"
        raise BadSource(reason, file=file, hint="use files of one release of the data set")


def path_below(name: object) -> str:
    """Return a name that a table gives to a file if it cannot lead out of the folder of the data.

    Raises:
        ValueError: no text, empty, absolute, or it climbs.
    """
    parts = PurePosixPath(name).parts if isinstance(name, str) else ()
    if not parts or parts[0] == "/" or ".." in parts or "\0" in str(name):
        raise ValueError(f"must be a path below the root, got {name!r}")
    return str(name)


def files_below(root: Path, pattern: str, *, expected: str) -> list[str]:
    """List the files that match a pattern, as sorted names below `root` with forward slashes.

    Names with a part that begins with a dot are left out: they are what operating systems add, not data.

    Args:
        root: folder of the data set.
        pattern: as of `Path.glob`, such as "*/rgb/*.png".
        expected: the layout in words, for the hint.

    Raises:
        BadSource: a folder cannot be listed, or nothing matches.
    """
    names = matching(root, pattern)
    if not names:
        raise BadSource(f"holds no {pattern}", file=root, hint=f"expected {expected}")
    return names


def image_of_size(
    image: UInt8[np.ndarray, "h w 3"], intrinsics: Intrinsics | None, size: tuple[int, int]
) -> tuple[UInt8[np.ndarray, "h2 w2 3"], Intrinsics | None]:
    """Bring an image to the rows and columns of its label, and its camera along.

    For data sets whose depth camera has fewer pixels than the colour camera: depth is never interpolated, so
    the image gives way. Pixels are averaged when the image shrinks.
    """
    import cv2

    height, width = size
    rows, columns = image.shape[:2]
    if (rows, columns) == (height, width):
        return image, intrinsics
    shrinks = height <= rows and width <= columns
    resized = cv2.resize(
        image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return np.asarray(resized), intrinsics.resized(width / columns, height / rows) if intrinsics else None
