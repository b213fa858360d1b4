"""Pictures as data URIs, as small as their kind allows."""

from base64 import b64encode
from io import BytesIO

import numpy as np
from jaxtyping import UInt8

__all__ = ["as_jpeg", "as_png"]


def as_jpeg(rgb: UInt8[np.ndarray, "h w 3"]) -> str:
    """Encode a photo."""
    from PIL import Image

    target = BytesIO()
    Image.fromarray(rgb).save(target, format="JPEG", quality=85)
    return "data:image/jpeg;base64," + b64encode(target.getvalue()).decode("ascii")


def as_png(rgb: UInt8[np.ndarray, "h w 3"]) -> str:
    """Encode a map of at most 256 colours."""
    from PIL import Image

    target = BytesIO()
    # A palette halves the file; the maps have at most 256 colours and two patterns anyway.
    small = Image.fromarray(rgb).quantize(256, dither=Image.Dither.NONE)
    small.save(target, format="PNG", optimize=True)
    return "data:image/png;base64," + b64encode(target.getvalue()).decode("ascii")
