"""Photos as a network sees them."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from depthmix.errors import ConfigError
from depthmix.predict import find_inputs, network_image
from depthmix.sources.decode import read_image

__all__ = ["photos_of"]


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
    return torch.stack([network_image(read_image(file), (height, width)) for file in taken])
