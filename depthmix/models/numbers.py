"""What the numbers of a depth network mean, and how they become log canonical depth."""

import math
from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

from jaxtyping import Float
from torch import Tensor

from depthmix.errors import ConfigError

__all__ = [
    "MEANINGS",
    "SMALLEST",
    "Meaning",
    "focal_shift",
    "log_from_inverse",
    "log_from_metric",
    "log_from_relative",
    "meaning_of",
]

Meaning = Literal["metric", "inverse", "relative"]

MEANINGS: Final[Mapping[Meaning, str]] = {
    "metric": "depth z in metres",
    "inverse": "inverse depth 1/z in 1/metres",
    "relative": "inverse depth up to a scale and a shift that nobody knows",
}
# Networks whose numbers mean one thing by their construction.
BY_KIND: Final[Mapping[str, Meaning]] = {
    "depth_pro": "inverse",
    "glpn": "metric",
    "tipsv2_dpt": "metric",
    "zoedepth": "metric",
}
SMALLEST: Final = 1e-5  # metres or 1/metres; what is below, and no depth, counts as this much


def meaning_of(config: Any, given: Meaning | None) -> Meaning:
    """Return what the numbers of a network mean: as given, or else as its configuration says.

    Raises:
        ConfigError: neither says it, or they contradict each other.
    """
    choices = "; ".join(f"{name}: {words}" for name, words in MEANINGS.items())
    if given is not None and given not in get_args(Meaning):
        raise ConfigError(
            f"must be one of {', '.join(MEANINGS)}, got {given!r}", field="meaning", hint=choices
        )
    stated = BY_KIND.get(config.model_type)
    kind = getattr(config, "depth_estimation_type", None)  # of DepthAnything
    if kind in ("metric", "relative"):
        stated = kind
    if given is None and stated is None:
        reason = f"the configuration of {config.model_type} does not say what its numbers mean"
        raise ConfigError(reason, field="meaning", hint=f"say it, {choices}")
    if given is not None and stated is not None and given != stated:
        reason = f"is {given!r}, but {config.model_type} says that its numbers are {stated!r}"
        raise ConfigError(reason, field="meaning", hint="leave it out")
    found = given or stated
    assert found is not None
    return found


def focal_shift(focal_canonical: float | None, focal_per_width: float | None, width: int) -> float:
    """Return log(f_c / (p w)), what turns metres seen through a camera of focal length p w canonical.

    A network that was trained with one camera, or with its labels divided by the focal length, gives the
    depth that is right for a focal length of p image widths. Canonical depth is z f_c / f, so with f = p w
    it is that depth times f_c / (p w). Without p the metres count as canonical depth as they are.
    """
    if focal_canonical is None or focal_per_width is None:
        return 0.0
    return math.log(focal_canonical / (focal_per_width * width))


def log_from_metric(metres: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Return log z."""
    return metres.clamp(min=SMALLEST).log()


def log_from_inverse(inverse: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Return log z of 1/z."""
    return -inverse.clamp(min=SMALLEST).log()


def log_from_relative(
    relative: Float[Tensor, "b 1 h w"], log_scale: Float[Tensor, ""], log_shift: Float[Tensor, ""]
) -> Float[Tensor, "b 1 h w"]:
    """Return -log(s r + t): s r + t is inverse canonical depth, and positive because s and t are.

    What is infinitely far has r = 0, so 1/t is the largest depth. Losses that leave scale and shift of
    inverse depth open, such as `ScaleShiftInvariantLoss`, have the same value for all s and t.
    """
    return -(log_scale.exp() * relative.clamp(min=0) + log_shift.exp()).log()
