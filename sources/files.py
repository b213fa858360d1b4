"""Open files whose bytes are not trusted: plain files of bounded size, one error type for all failures."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from depthmix.errors import BadSource, DepthmixError

__all__ = ["DAMAGED", "MAX_PIXELS", "TOO_LARGE", "check_pixels", "file_size", "read_bytes", "refusing"]

MAX_PIXELS: Final = 64_000_000
DAMAGED: Final = "the file is damaged or not of this format: fetch it again"
TOO_LARGE: Final = "raise max_pixels if the image is meant to be that large, or make it smaller"


@contextmanager
def refusing(file: str | Path, hint: str = DAMAGED) -> Iterator[None]:
    """Turn whatever a decoder throws into `BadSource` with the file's name.

    Foreign decoders raise anything: bare `Exception`, struct.error, SyntaxError; kornia_rs panics arrive as a
    BaseException. Only the wish to stop the program passes.

    Raises:
        BadSource: the body raised.
    """
    try:
        yield
    except (DepthmixError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        reason = " ".join(str(error).split())[:200] or "no reason given"
        kind = "" if type(error) is Exception else f"{type(error).__name__}: "  # which says nothing
        raise BadSource(f"cannot be read: {kind}{reason}", file=file, hint=hint) from error


def read_bytes(file: str | Path, *, max_bytes: int = 8 * MAX_PIXELS) -> bytes:
    """Read a whole file that is not larger than `max_bytes`.

    Raises:
        BadSource: there is no such file, it is no plain file, too large, or the system refuses.
    """
    size = file_size(file)
    if size > max_bytes:
        raise BadSource(f"{size} bytes, more than the allowed {max_bytes}", file=file)
    with refusing(file, "check the permissions and the disk"):
        return Path(file).read_bytes()


def file_size(file: str | Path) -> int:
    """Return the size of a plain file in bytes.

    Raises:
        BadSource: there is no such file, or it is a pipe, a device or a folder.
    """
    path = Path(file)
    with refusing(file, "check the path and the permissions"):
        # A pipe or a device has no end; only plain files are ever opened.
        if not path.is_file():
            reason = "is not a plain file" if path.exists() else "no such file"
            raise BadSource(reason, file=file, hint="check that the data set was unpacked completely")
        return path.stat().st_size


def check_pixels(width: int, height: int, file: str | Path, max_pixels: int) -> None:
    """Check the size that a header states, before anything of that size is allocated.

    Raises:
        BadSource: empty, or more than `max_pixels`.
    """
    if width < 1 or height < 1:  # a header may state negative numbers, too
        raise BadSource(f"{width} x {height} pixels: empty", file=file)
    if width * height > max_pixels:
        raise BadSource(f"{width} x {height} pixels, more than {max_pixels}", file=file, hint=TOO_LARGE)
