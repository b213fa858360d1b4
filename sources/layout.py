"""What folder layouts have in common: files by stem, look-up by key, labels of the image's size."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from depthmix.errors import BadSource
from depthmix.sources.files import refusing

__all__ = ["IMAGE_SUFFIXES", "check_size", "files_by_stem", "look_up", "visible"]

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
        label, picture = (f"{shape[0]} x {shape[1]}" for shape in (array.shape, image.shape))
        reason = f"is {label}, but its image {image_file} is {picture} (rows x columns)"
        raise BadSource(reason, file=file, hint="use files of one release of the data set")
