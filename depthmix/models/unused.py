"""Which weights of a network its output does not depend on."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["unused_weights"]


def unused_weights(
    build: Callable[[], nn.Module], run: Callable[[nn.Module, Tensor], Tensor], size: tuple[int, int]
) -> frozenset[str]:
    """Name the weights without a gradient, by a step of the same network that computes shapes alone.

    Depth networks of transformers carry some: the token for masked patches, a branch of the first fusion.
    Training on several devices waits for the gradient of every weight that asks for one, so these must not.

    Args:
        build: makes the network; called under `torch.device("meta")`.
        run: gives a number that depends on its whole output.
        size: height and width of an image that it takes.

    Raises:
        RuntimeError: the network does not take this size, or looks at values, which there are none of.
    """
    with torch.device("meta"), torch.enable_grad():
        net = build().train()
        weights = dict(net.named_parameters())
        number = run(net, torch.empty(2, 3, *size))
        gradients = torch.autograd.grad(number, list(weights.values()), allow_unused=True)
    return frozenset(name for name, one in zip(weights, gradients, strict=True) if one is None)
