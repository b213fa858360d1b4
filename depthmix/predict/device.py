"""Where a network computes."""

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from depthmix.errors import ConfigError

if TYPE_CHECKING:
    from depthmix.trained import Trained

__all__ = ["DEVICES", "on_device"]

DEVICES: Final = ("auto", "cpu", "cuda")


def on_device(trained: "Trained", device: str) -> "Trained":
    """Return the network on a device; "auto" is a GPU where there is one that torch can use, else the CPU.

    Raises:
        ConfigError: an unknown device, or one that is not there or has no room.
    """
    import torch

    if device not in DEVICES:
        raise ConfigError(f"must be one of {', '.join(DEVICES)}, got {device!r}", field="device")
    there = torch.cuda.is_available()
    if device == "auto":
        device = "cuda" if there else "cpu"
    hint = "predict with --device cpu"
    if device == "cuda" and not there:
        reason = (
            "torch was built without CUDA" if torch.version.cuda is None else "torch finds no CUDA device"
        )
        raise ConfigError(reason, field="device", hint=hint)
    try:
        return replace(trained, net=trained.net.to(device))
    except RuntimeError as error:
        reason = f"the network cannot be moved to {device}: {str(error).splitlines()[0]}"
        raise ConfigError(reason, field="device", hint=hint) from error
