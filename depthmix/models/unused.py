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

    Returns:
        Their names; none where the network cannot be run without values.
    """
    with torch.device("meta"), torch.enable_grad():
        net = build().train()
        try:
            run(net, torch.empty(2, 3, *size)).backward()
        except (NotImplementedError, RuntimeError):  # it looks at values, which there are none of
            return frozenset()
    return frozenset(name for name, weight in net.named_parameters() if weight.grad is None)
