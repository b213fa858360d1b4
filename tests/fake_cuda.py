"""Run code on a pretended CUDA device on machines that have none: device mix-ups and waits are refused."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode


@contextmanager
def fake_cuda() -> Iterator[None]:
    """Make tensors of `device="cuda:0"` possible; without gradients, which would abort the process."""
    with FakeTensorMode(), torch.no_grad(), _IndexByOperations():
        yield


class _IndexByOperations(TorchFunctionMode):
    """Replace `x[...]`, which asks the absent driver for a device guard, by the operations behind it."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return _index(*args) if func is Tensor.__getitem__ else func(*args, **(kwargs or {}))


def _index(x: Tensor, key: object) -> Tensor:
    keys = list(key) if isinstance(key, tuple) else [key]
    named = sum(k is not None and k is not Ellipsis for k in keys)
    if Ellipsis in keys:
        place = keys.index(Ellipsis)
        keys[place : place + 1] = [slice(None)] * (x.dim() - named)
    dim = 0
    for k in keys:
        if isinstance(k, int):
            x = x.select(dim, k)
            continue
        if k is None:
            x = x.unsqueeze(dim)
        elif isinstance(k, slice):
            x = torch.ops.aten.slice.Tensor(x, dim, k.start, k.stop, 1 if k.step is None else k.step)
        else:
            raise TypeError(f"data-dependent index {k!r}")
        dim += 1
    return x
