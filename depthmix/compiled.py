"""Networks that torch.compile makes faster."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from depthmix.errors import ConfigError

__all__ = ["Call", "compiled"]

Call = Callable[[Float[Tensor, "b 3 h w"]], Float[Tensor, "b c h w"]]


def compiled(net: nn.Module) -> Call:
    """Return a way to call a network that compiles it when it is first called; the network stays as it is.

    Each size of a batch is compiled for itself: one graph for all sizes would be slower.

    Raises:
        ConfigError: when called, there is no compiler, or it fails.
    """
    from torch._dynamo.exc import TorchDynamoException

    fast = torch.compile(net, dynamic=False)

    def call(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h w"]:
        try:
            maps: Tensor = fast(image)
        except TorchDynamoException as error:
            cause = str(getattr(error, "inner_exception", error)).strip().partition("\n")[0]
            hint = "install a compiler (g++; on a GPU, Triton), or set `compile: false`"
            raise ConfigError(f"torch.compile failed: {cause}", field="model.compile", hint=hint) from error
        return maps

    return call
