"""Photos as a network sees them."""

from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from depthmix.errors import ConfigError
from depthmix.predict.inputs import find_inputs
from depthmix.sources.decode import read_image

__all__ = ["network_image", "photos_of"]


def network_image(
    image: UInt8[np.ndarray, "h w 3"], height: int, width: int
) -> Float[Tensor, "1 3 height width"]:
    """Return RGB in [0, 1] at another size, by the filters of training: area or, where it grows, linear."""
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255


def photos_of(folder: Path, height: int, width: int, most: int) -> Float[Tensor, "b 3 height width"]:
    """Return photos below a folder at one size, evenly taken where there are more than `most`.

    Raises:
        ConfigError: no such folder, or there is no photo in it.
        BadSource: a photo cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError("no such folder", file=folder, hint="give a folder of photos")
    found = [one.path for one in find_inputs([folder]) if not one.is_video]
    if not found:
        raise ConfigError("holds no photo", file=folder)
    taken = found[:: -(-len(found) // most)]
    return torch.cat([network_image(read_image(file), height, width) for file in taken])
