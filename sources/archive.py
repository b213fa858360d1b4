"""Read files below a folder or inside a zip archive (a wheel is one) by the same two functions."""

from pathlib import Path
from zipfile import ZipFile

from depthmix.errors import BadSource
from depthmix.sources.decode import MAX_PIXELS, read_bytes, refusing
from depthmix.sources.listing import matching

__all__ = ["list_files", "read_file"]


def list_files(root: Path, inside: str = "") -> list[str]:
    """List the files in `root/inside` and in its direct subfolders, as sorted names with forward slashes.

    Raises:
        BadSource: a folder that cannot be listed, or an archive that cannot be read.
    """
    if root.is_dir():
        base = root / inside
        found = sorted(name for pattern in ("*", "*/*") for name in matching(base, pattern))
        with refusing(base, "check the permissions and the disk"):
            return [name for name in found if (base / name).is_file()]
    prefix = f"{inside.strip('/')}/" if inside.strip("/") else ""
    with refusing(root, "fetch the archive again"), ZipFile(root) as archive:
        names = [name.removeprefix(prefix) for name in archive.namelist() if name.startswith(prefix)]
    return sorted(name for name in names if name.count("/") <= 1 and not name.endswith("/") and name)


def read_file(root: Path, name: str, inside: str = "", *, max_bytes: int = 8 * MAX_PIXELS) -> bytes:
    """Read one file as `list_files` names it; an archive is never unpacked to the disk.

    The archive is opened anew each time, because a file handle that forked workers share mixes up their
    positions. Its checksum is verified.

    Raises:
        BadSource: no such file, damaged, or larger than `max_bytes`.
    """
    if root.is_dir():
        return read_bytes(root / inside / name, max_bytes=max_bytes)
    member = f"{inside.strip('/')}/{name}".lstrip("/")
    with refusing(root, "fetch the archive again"), ZipFile(root) as archive:
        size = archive.getinfo(member).file_size
        if size > max_bytes:
            raise BadSource(f"{size} bytes, more than the allowed {max_bytes}", file=root / member)
        return archive.read(member)
