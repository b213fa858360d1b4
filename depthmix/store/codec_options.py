"""How much precision a prepared set keeps."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["CodecOptions"]


@dataclass(frozen=True, slots=True)
class CodecOptions:
    """Choose how much precision a prepared set keeps.

    Args:
        image: `jpeg` is quality 92 with chroma at half resolution (4:2:0), as most photos are stored;
            `jpeg444` is quality 95 with full chroma; `png` is lossless.
        label: `code16` stores `target` and `sigma` in 16 bits a pixel, with the worst-case errors of
            `log16_error` and `affine16_error`; `float32` is lossless.
    """

    image: Literal["jpeg", "jpeg444", "png"] = "jpeg"
    label: Literal["code16", "float32"] = "code16"

    def __post_init__(self) -> None:
        for name, allowed in (("image", ("jpeg", "jpeg444", "png")), ("label", ("code16", "float32"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"`{name}` must be one of {allowed}, got {getattr(self, name)!r}")
