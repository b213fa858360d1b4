"""Canonical camera space in its image form: images are resized until their focal length is the canonical one.

The label form needs nothing of this: the image stays as it is, and the metres of a map follow its focal
length (`Prediction.focal_ratio`). Both say the same. The image form shows a network an object at one distance
in one size, whatever the camera; the label form shows it the whole image at one size. A focal length that
could not be met exactly (sizes are whole numbers, and limited) is made up for by the label form, so metres
are never off by that.
"""

import math
from typing import TYPE_CHECKING, Final, Literal, get_args

from depthmix.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Bool, Float
    from torch import Tensor

__all__ = ["MINIMUM_SIDE", "Form", "canonical_maps", "canonical_size", "checked_form", "form_of"]

Form = Literal["label", "image"]

REACH: Final = 2.0  # how much longer or shorter than at the training area the sides of an image may become
MINIMUM_SIDE: Final = 32  # the shortest side that networks are asked to take


def canonical_size(
    size: tuple[int, int], focal: float, focal_canonical: float, area: float
) -> tuple[int, int]:
    """Return the size at which an image has the canonical focal length, or as near as it may come to it.

    Args:
        size: height and width.
        focal: its focal length in pixels, the geometric mean of fx and fy.
        focal_canonical: the one that is wanted.
        area: pixels of a training image; the result has a quarter of them at least and four times as many
            at most. No side falls below `MINIMUM_SIDE`, which distorts strips that are many times longer.

    Example:
        >>> canonical_size((600, 800), focal=500, focal_canonical=100, area=96 * 128)
        (120, 160)

    Reference: Yin et al., Metric3D (arXiv 2307.10984), section 3.1, transforming input images.
    """
    natural = math.sqrt(area / (size[0] * size[1]))
    least = max(natural / REACH, MINIMUM_SIDE / min(size))
    scale = min(max(focal_canonical / focal, least), natural * REACH)
    rows, columns = (max(MINIMUM_SIDE, round(side * scale)) for side in size)
    return rows, columns


def canonical_maps(
    net: "Callable[[Tensor], Tensor]",
    image: "Float[Tensor, 'b 3 h w']",
    intrinsics: "Float[Tensor, 'b 4']",
    known: "Bool[Tensor, ' b']",
    focal_canonical: float,
    area: float,
) -> "Float[Tensor, 'b c h w']":
    """Let a network see images at the canonical focal length; its maps come back in the size of the images.

    Args:
        net: maps RGB in [0, 1] to log canonical depth and the heads.
        image: RGB in [0, 1].
        intrinsics: fx, fy, cx, cy in pixels.
        known: rows whose camera is known; the others are shown as they are.
        focal_canonical: focal length in pixels of the canonical camera.
        area: pixels of a training image, see `canonical_size`.

    Convention: the log canonical depth that comes back belongs to `intrinsics`, as if the image had never
    been resized. It waits for the device: a tool of evaluation.
    """
    import torch
    from torch.nn.functional import interpolate

    size = (image.shape[-2], image.shape[-1])
    focals = (intrinsics[:, 0] * intrinsics[:, 1]).sqrt().tolist()
    shown = [
        canonical_size(size, focal, focal_canonical, area) if has else size
        for focal, has in zip(focals, known.tolist(), strict=True)
    ]
    found: list[Tensor] = [image] * len(shown)
    for other in dict.fromkeys(shown):
        rows = [row for row, one in enumerate(shown) if one == other]
        some = image[rows]
        if other != size:
            some = interpolate(some, other, mode="bilinear", antialias=True)
        maps = net(some).float()
        if other != size:
            maps = interpolate(maps, size, mode="bilinear")
            maps[:, 0] += math.log(other[0] * other[1] / (size[0] * size[1])) / 2
        for row, one in zip(rows, maps, strict=True):
            found[row] = one
    return torch.stack(found)


def checked_form(value: object) -> Form:
    """Return the form that a checkpoint states.

    Raises:
        ValueError: there is no such form.
    """
    for form in get_args(Form):
        if value == form:
            known: Form = form
            return known
    raise ValueError(f"`form` must be one of {', '.join(get_args(Form))}, got {value!r}")


def form_of(augment: object, focal_canonical: float, heads: "Sequence[str]" = ()) -> Form:
    """Return the form in which augmentation options show images to a model of this canonical focal length.

    Raises:
        ConfigError: images are resized to another focal length, or the model has a focal head, which could
            learn but one number from them.
    """
    focal = getattr(augment, "canonical_focal", None)
    if focal is None:
        return "label"
    if focal != focal_canonical:
        reason = f"must be that of the model, {focal_canonical:g}, got {focal:g}"
        hint = "give `model.focal_canonical` the same number"
        raise ConfigError(reason, field="data.augment.canonical_focal", hint=hint)
    if "focal" in heads:
        reason = "brings all images to one focal length, so the head 'focal' has nothing to learn"
        hint = "leave the head out, or leave this out to train in the label form"
        raise ConfigError(reason, field="data.augment.canonical_focal", hint=hint)
    return "image"
