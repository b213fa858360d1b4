"""Sizes of images on the command line."""

import re

from depthmix.errors import ConfigError

__all__ = ["parse_size"]


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Return height and width that are written as 384x512; None stays None.

    Raises:
        ConfigError: written otherwise, or too large for any image.
    """
    from depthmix.sources.files import MAX_PIXELS

    if text is None:
        return None
    found = re.fullmatch(r"([1-9][0-9]*)x([1-9][0-9]*)", text)
    if found is None:
        raise ConfigError(f"must be HEIGHTxWIDTH such as 384x512, got {text!r}", field="--size")
    height, width = int(found[1]), int(found[2])
    if height * width > MAX_PIXELS:
        raise ConfigError(f"more than {MAX_PIXELS} pixels, got {text}", field="--size")
    return height, width
