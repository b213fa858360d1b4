"""Which size of image a network of transformers takes."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from depthmix.errors import ConfigError

__all__ = ["SizeRule", "resized", "side_of", "size_rule"]

USUAL = 384  # side for which networks are made that do not say it


@dataclass(frozen=True, slots=True)
class SizeRule:
    """Say which sizes a network takes.

    Args:
        multiple: of which height and width are.
        side: pixels of the side that is brought to this length; None keeps the size of the image.
        square: whether the image becomes a square of `side`, whatever its shape.
    """

    multiple: int
    side: int | None = None
    square: bool = False

    def of(self, height: int, width: int) -> tuple[int, int]:
        """Return the size at which the network sees an image.

        That side is brought to `side` which is nearer to it in ratio, then both are rounded to multiples:
        as the image processor of DPT does it, so that a pipeline of transformers sees the same.

        Example:
            >>> SizeRule(14).of(37, 50), SizeRule(14, side=56).of(480, 640), SizeRule(16, 32, True).of(9, 90)
            ((42, 56), (56, 70), (32, 32))
        """
        if self.square:
            assert self.side is not None
            return self.side, self.side
        ratios = [1.0] if self.side is None else [self.side / height, self.side / width]
        ratio = ratios[-1] if abs(1 - ratios[-1]) < abs(1 - ratios[0]) else ratios[0]
        rows, columns = (
            max(round(length * ratio / self.multiple), 1) * self.multiple for length in (height, width)
        )
        return rows, columns


def size_rule(config: Any, side: int | None = None) -> SizeRule:
    """Return what sizes the network of a configuration takes.

    Args:
        config: of transformers, of a depth network or a backbone.
        side: pixels of the side to which images are brought; None keeps their size, or for networks that
            take squares only, takes the size that they were made for.

    Raises:
        ConfigError: the network does not take this side.
    """
    if side is not None and side < 1:
        raise ConfigError(f"must be at least 1, got {side}", field="side")
    if config.model_type == "depth_pro":  # its smallest copy of the image must be one patch
        own = round(config.patch_size / min(config.scaled_images_ratios))
        if side not in (None, own):
            raise ConfigError(f"depth_pro takes squares of {own} pixels only, got {side}", field="side")
        return SizeRule(own, own, square=True)
    if config.model_type == "dpt" and (config.is_hybrid or config.backbone_config is None):
        # It arranges its tokens in a square.
        multiple = 2 * _patch(config)
        wanted = side or side_of(config)
        return SizeRule(multiple, max(round(wanted / multiple), 1) * multiple, square=True)
    inner = getattr(config, "backbone_config", None) or config
    multiple = _patch(inner)
    # These two halve the grid of patches once; an odd grid would shift what they predict.
    if config.model_type in ("dpt", "zoedepth") and not hasattr(inner, "depths"):
        multiple *= 2
    return SizeRule(multiple, side)


def side_of(config: Any) -> int:
    """Return the side of the images for which the network of a configuration was made."""
    inner = getattr(config, "backbone_config", None) or config
    return _one(getattr(inner, "image_size", None) or USUAL)


def resized(maps: Float[Tensor, "b c h w"], size: tuple[int, int]) -> Float[Tensor, "b c rows columns"]:
    """Resize bilinearly; what becomes smaller is averaged, not skipped."""
    if tuple(maps.shape[-2:]) == size:
        return maps
    shrinks = size[0] < maps.shape[-2] or size[1] < maps.shape[-1]
    return functional.interpolate(maps, size, mode="bilinear", align_corners=False, antialias=shrinks)


def _patch(config: Any) -> int:
    """Return the multiple of an encoder: its patch, or 32 where it halves the size stage by stage."""
    patch = getattr(config, "patch_size", None)
    return 32 if patch is None or hasattr(config, "depths") else _one(patch)


def _one(value: Any) -> int:
    return int(max(value)) if isinstance(value, list | tuple) else int(value)
