"""Read OpenEXR files without OpenCV, whose builds leave the format out or hide it behind a variable."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from depthmix.errors import BadSource
from depthmix.sources.files import MAX_PIXELS, check_pixels, file_size, refusing

__all__ = ["read_exr"]

_MAGIC = b"\x76\x2f\x31\x01"


def read_exr(
    file: str | Path, channels: Sequence[str] = (), *, max_pixels: int = MAX_PIXELS
) -> Float32[np.ndarray, "h w *c"]:
    """Read channels of an EXR file as float32.

    Args:
        file: the EXR file.
        channels: names of the channels; one gives (h, w), more give (h, w, c). None named takes the only
            one that the file has.
        max_pixels: refuse larger images before they are decoded.

    Raises:
        BadSource: no such file or channel, damaged, too large, or OpenEXR is not installed.
    """
    try:
        import OpenEXR
    except ImportError as error:
        hint = "pip install depthmix[formats]"
        raise BadSource("OpenEXR is needed to read this file", file=file, hint=hint) from error
    file_size(file)
    with refusing(file):
        with Path(file).open("rb") as stream:
            if stream.read(4) != _MAGIC:
                raise BadSource("is no EXR file", file=file)
        with OpenEXR.File(str(file), header_only=True) as header:
            low, high = header.header()["dataWindow"]
            check_pixels(int(high[0] - low[0] + 1), int(high[1] - low[1] + 1), file, max_pixels)
        with OpenEXR.File(str(file), separate_channels=True) as opened:
            found = opened.channels()
            if not channels:
                if len(found) != 1:
                    known = ", ".join(sorted(found))
                    raise BadSource(f"has the channels {known}: which one is meant?", file=file)
                channels = list(found)
            missing = [name for name in channels if name not in found]
            if missing:
                known = ", ".join(sorted(found))
                raise BadSource(f"has no channel {', '.join(missing)}, but {known}", file=file)
            planes = [np.asarray(found[name].pixels).astype(np.float32) for name in channels]
    return planes[0] if len(planes) == 1 else np.stack(planes, -1)
