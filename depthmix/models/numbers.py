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
    "focals",
    "log_from_inverse",
    "log_from_metric",
    "log_from_relative",
    "meaning_of",
    "scale_shift",
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
SCALE, SHIFT = 0.1, 0.01  # of relative numbers, until training or `fit` finds better ones
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


def focals(config: Any, meaning: Meaning, options: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Return `focal_canonical` and `focal_per_width` of the options, both or none.

    Raises:
        ConfigError: only one is known, one is not positive, or the numbers are relative.
    """
    canonical, per_width = options["focal_canonical"], options["focal_per_width"]
    if config.model_type == "depth_pro":
        per_width = 1.0 if per_width is None else per_width
    if meaning == "relative" and (canonical is not None or per_width is not None):
        reason = "relative numbers hold for any focal length"
        raise ConfigError(reason, field="focal_per_width", hint="leave both focal lengths out")
    if (canonical is None) != (per_width is None):
        missing = "focal_canonical" if canonical is None else "focal_per_width"
        hint = "`focal_canonical` is that of the training, `focal_per_width` that of the network's own metres"
        raise ConfigError("the other focal length needs it", field=missing, hint=hint)
    for name, value in {"focal_canonical": canonical, "focal_per_width": per_width}.items():
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"must be positive, got {value}", field=name)
    return canonical, per_width


def scale_shift(meaning: Meaning, options: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Return `scale` and `shift` of the options, or where they are None those to start with.

    Raises:
        ConfigError: one is not positive, or the numbers are not relative.
    """
    scale, shift = options["scale"], options["shift"]
    if meaning != "relative":
        if scale is not None or shift is not None:
            reason = f"is for relative numbers, those of this network are {meaning}"
            raise ConfigError(reason, field="scale" if scale is not None else "shift", hint="leave it out")
        return None, None
    scale, shift = SCALE if scale is None else scale, SHIFT if shift is None else shift
    for name, value in {"scale": scale, "shift": shift}.items():
        if not 0 < value < math.inf:
            raise ConfigError(f"must be positive, got {value}", field=name)
    return scale, shift


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
