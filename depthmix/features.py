"""Look at what a module inside a network gives while the network runs."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from depthmix.errors import ConfigError

__all__ = ["features_of", "layer_of"]


def layer_of(net: nn.Module, name: str, field: str) -> nn.Module:
    """Return the module of a network that has a name; "" is the last of its `stages`, or its `encoder`.

    Args:
        net: the network.
        name: as in `net.named_modules()`.
        field: option that gave the name, for messages.

    Raises:
        ConfigError: there is no such module.
    """
    if name:
        try:
            return net.get_submodule(name)
        except AttributeError as error:
            reason = f"{type(net).__name__} has no module {name!r}"
            known = ", ".join(child for child, _ in net.named_children())
            raise ConfigError(reason, field=field, hint=f"it has {known}") from error
    stages = getattr(net, "stages", None)
    last = stages[-1] if stages else getattr(net, "encoder", None)
    while isinstance(last, nn.ModuleList) and len(last):
        last = last[-1]  # a list of modules is never called itself
    if not isinstance(last, nn.Module) or isinstance(last, nn.ModuleList):
        reason = f"{type(net).__name__} does not say what its encoder is"
        raise ConfigError(reason, field=field, hint="name the module whose features are compared")
    return last


def features_of(
    layer: nn.Module, work: Callable[[], Any], field: str
) -> tuple[Any, Float[Tensor, "b c h w"]]:
    """Do some work, and return with its result what a layer gave meanwhile.

    Args:
        layer: a module of the network that works.
        work: what runs the network.
        field: option that named the layer, for messages.

    Raises:
        ConfigError: the layer gives no map of features.
    """
    found: list[Any] = []
    # Hooked for the moment only: a copy of the network, such as a running average, has no use for it.
    handle = layer.register_forward_hook(lambda module, inputs, output: found.append(output))
    try:
        result = work()
    finally:
        handle.remove()
    features = found[-1] if found else None
    features = getattr(features, "feature_maps", features)  # of a backbone of transformers
    if isinstance(features, list | tuple) and features:
        features = features[-1]  # the coarsest of an encoder's maps
    if not isinstance(features, Tensor) or features.dim() != 4:
        seen = f"a tensor {tuple(features.shape)}" if isinstance(features, Tensor) else "no tensor"
        reason = f"must give a map of features [b c h w], gave {seen}"
        raise ConfigError(reason, field=field, hint="name a module that does")
    return result, features
