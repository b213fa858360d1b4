"""Networks that torch.compile has made faster."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from depthmix.errors import ConfigError

__all__ = ["compile_in_place", "compiler_errors"]


def compile_in_place(net: nn.Module) -> None:
    """Let a network be compiled when it is first called; names in its state stay what they are."""
    if getattr(net, "_compiled_call_impl", None) is None:
        net.compile()


@contextmanager
def compiler_errors() -> Iterator[None]:
    """Say in one line that a network cannot be compiled here.

    Raises:
        ConfigError: there is no compiler, or it fails.
    """
    from torch._dynamo.exc import TorchDynamoException

    try:
        yield
    except TorchDynamoException as error:
        cause = str(getattr(error, "inner_exception", error)).strip().partition("\n")[0]
        hint = "install a compiler (g++; on a GPU, Triton), or set `compile: false`"
        raise ConfigError(f"torch.compile failed: {cause}", field="model.compile", hint=hint) from error
