"""Build networks that somebody else describes, within bounds."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident

from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

__all__ = ["at_most"]

MOST_TENSORS = 100_000


@contextmanager
def at_most(numbers: int) -> Iterator[None]:
    """Refuse modules that are built inside with more weights in all; other threads are left alone.

    Memory that is asked for but never written to is not taken, so a layer of any width is stopped in time.

    Args:
        numbers: how many weights, counted in single numbers.

    Raises:
        ValueError: from inside, at the first weight that is too much.
    """
    thread, counts = get_ident(), [0, 0]

    def count(module: nn.Module, name: str, weight: nn.Parameter) -> None:
        if get_ident() != thread:
            return
        counts[0], counts[1] = counts[0] + weight.numel(), counts[1] + 1
        if counts[0] > numbers or counts[1] > MOST_TENSORS:
            raise ValueError(f"would have more than {numbers} weights or {MOST_TENSORS} tensors")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
