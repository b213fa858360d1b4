"""How a network wants the colours of its images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn

from depthmix.errors import ConfigError

__all__ = ["Normalisation", "normalisation_of"]

IMAGENET: Final = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF: Final = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
NONE: Final = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
# Where no file says it: what these were published with. Everything else takes that of ImageNet.
PUBLISHED: Final = {"depth_pro": HALF, "dpt": HALF, "glpn": NONE, "zoedepth": HALF}


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Hold what is subtracted from RGB in [0, 1] and what the rest is divided by.

    Args:
        mean: of each colour.
        std: of each colour.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != 3 or len(self.std) != 3 or not all(0 < s < float("inf") for s in self.std):
            reason = f"must be three numbers, `std` positive, got {list(self.mean)} and {list(self.std)}"
            raise ConfigError(reason, field="mean, std")

    def buffers(self) -> tuple[nn.Buffer, nn.Buffer]:
        """Return both [3 1 1] for a module; its state has no part in them, its spec has."""
        mean, std = torch.tensor(self.mean), torch.tensor(self.std)
        return nn.Buffer(mean[:, None, None], persistent=False), nn.Buffer(
            std[:, None, None], persistent=False
        )


def normalisation_of(
    kind: str,
    preprocessor: Mapping[str, Any],
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Normalisation:
    """Return mean and standard deviation as given, as a file states them, or as published.

    Args:
        kind: `model_type` of the network.
        preprocessor: content of `preprocessor_config.json`; empty where there is none.
        mean: of RGB in [0, 1]; goes with `std`.
        std: of RGB in [0, 1].

    Raises:
        ConfigError: one is given without the other, or a number is none.
    """
    if (mean is None) != (std is None):
        raise ConfigError("one needs the other", field="mean, std")
    if mean is not None and std is not None:
        return Normalisation(tuple(mean), tuple(std))
    if "image_mean" not in preprocessor and "do_normalize" not in preprocessor:
        return Normalisation(*PUBLISHED.get(kind, IMAGENET))
    try:
        # What the image processors do to bytes, said for numbers in [0, 1].
        whole = float(preprocessor.get("rescale_factor", 1 / 255)) * 255
        whole = whole if preprocessor.get("do_rescale", True) else 255.0
        normal = preprocessor.get("do_normalize", True)
        stated = [preprocessor[f"image_{name}"] if normal else one for name, one in (("mean", 0), ("std", 1))]
        return Normalisation(*(tuple(value / whole for value in _three(numbers)) for numbers in stated))
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        reason = f"preprocessor_config.json states no mean and deviation of colours: {error!r}"[:200]
        raise ConfigError(reason, field="mean, std", hint="give both as options") from error


def _three(numbers: Any) -> list[float]:
    values = numbers if isinstance(numbers, list | tuple) else [numbers]
    return [float(value) for value in values] * (3 if len(values) == 1 else 1)
