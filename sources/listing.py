"""List the files of raw folders by patterns; a folder that may not be looked into is never passed over.

`Path.glob` takes a folder without permission for an empty one, and from Python 3.13 on one with a failing
disk, too: a training would go on without these data, and nobody would know.
"""

import errno
import fnmatch
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from depthmix.sources.files import refusing

__all__ = ["matching"]

_HINT: Final = "check the permissions and the disk"
_SYSTEM: Final = "lost+found"  # of the file system, at the root of many disks, and root's alone
# A name that leads nowhere is not there: a link to nothing, or to itself.
_ABSENT: Final = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP))


def matching(root: Path, pattern: str) -> list[str]:
    """List what matches a pattern, as sorted names below `root` with forward slashes; perhaps nothing.

    Names with a part that begins with a dot are left out: they are what operating systems add, not data.
    Links to folders are followed by `*`, and not by `**`, which would not end where they lead in circles.

    Args:
        root: folder of the data set.
        pattern: as of `Path.glob`, such as "*/rgb/*.png", down to a name of files.

    Raises:
        BadSource: a folder cannot be listed or looked into; the message names it.
    """
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    return sorted(set(_below(f"{root}/", "", parts))) if _is_there(str(root), folder=True) else []


def _below(root: str, folder: str, parts: list[str]) -> Iterator[str]:
    """Yield what lies in a folder, "" or with a slash at its end, and matches the parts of a pattern."""
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _below(root, folder, rest)
        for name in _listed(root + folder, folders=True, links=False):
            yield from _below(root, f"{folder}{name}/", parts)
        return
    if re.search(r"[*?\[]", part):
        named = re.compile(fnmatch.translate(part)).match
        names = _listed(root + folder, named, folders=bool(rest))
    else:
        names = [part] if _is_there(root + folder + part, folder=bool(rest)) else []
    for name in names:
        if rest:
            yield from _below(root, f"{folder}{name}/", rest)
        else:
            yield folder + name


def _listed(
    folder: str, named: Callable[[str], object] = bool, *, folders: bool, links: bool = True
) -> list[str]:
    """List the names in a folder that are wanted, or of these only the folders."""
    with refusing(folder, _HINT), os.scandir(folder) as entries:
        return [
            entry.name
            for entry in entries
            if not entry.name.startswith(".")
            and named(entry.name)
            and (not folders or (entry.name != _SYSTEM and _is_folder(entry, links)))
        ]


def _is_folder(entry: os.DirEntry[str], links: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=links)
    except OSError as error:
        if error.errno in _ABSENT:
            return False
        raise


def _is_there(path: str, *, folder: bool) -> bool:
    """Tell whether a path exists, as a folder where one is wanted."""
    with refusing(Path(path).parent, _HINT):  # the folder that lets nobody look is the one above
        try:
            return stat.S_ISDIR(Path(path).stat().st_mode) or not folder
        except OSError as error:
            if error.errno in _ABSENT:
                return False
            raise
