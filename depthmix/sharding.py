"""Split the weights of a network over ranks (FSDP2), and reach them there."""

from typing import Any

import torch
from torch import Tensor, nn

from depthmix.errors import ConfigError

__all__ = ["check_strategy", "fill", "local", "shard", "whole"]


def shard(net: nn.Module, mesh: Any) -> None:
    """Let each rank keep its part of every weight, gradient and moment; changes the network in place.

    Stages of the encoder are gathered one by one, what is left of the network in one piece.

    Args:
        net: with the property `stages`, or it is one piece.
        mesh: the device mesh of Lightning's `ModelParallelStrategy`.
    """
    from torch.distributed.fsdp import FSDPModule, fully_shard

    if isinstance(net, FSDPModule):
        return
    data = mesh["data_parallel"]
    for stage in getattr(net, "stages", ()):
        fully_shard(list(stage) if isinstance(stage, nn.ModuleList) else stage, mesh=data)
    # Else the outermost piece would stay gathered behind a validation, and its shards out of reach.
    fully_shard(net, mesh=data, reshard_after_forward=True)


def check_strategy(strategy: Any) -> None:
    """Refuse what `ModelParallelStrategy` offers, but nothing here could go on from or load.

    Raises:
        ConfigError: tensor parallelism, or checkpoints in many files.
    """
    field = "trainer.strategy"
    if getattr(strategy, "_save_distributed_checkpoint", False):
        reason = "checkpoints that are split over files cannot be loaded by `depthmix`"
        raise ConfigError(reason, field=field, hint="set `save_distributed_checkpoint: false`")
    mesh = getattr(strategy, "_device_mesh", None)
    if mesh is not None and mesh["tensor_parallel"].size() > 1:
        reason = f"splits layers over {mesh['tensor_parallel'].size()} ranks, which these networks do not"
        hint = "set `tensor_parallel_size: 1` and `data_parallel_size` to the number of ranks"
        raise ConfigError(reason, field=field, hint=hint)


def local(tensor: Tensor) -> Tensor:
    """Return the part of a tensor that lies on this rank: all of it where it is not split."""
    found: Tensor = tensor.to_local() if _is_split(tensor) else tensor  # type: ignore[attr-defined]
    return found


def whole(tensor: Tensor) -> Tensor:
    """Return all of a tensor that may be split, on the CPU where it is; every rank must ask."""
    found: Tensor = tensor.full_tensor().cpu() if _is_split(tensor) else tensor  # type: ignore[attr-defined]
    return found


def fill(tensor: Tensor, values: Tensor) -> None:
    """Copy values, which every rank has in whole, into a tensor that may be split."""
    if _is_split(tensor):
        from torch.distributed.tensor import distribute_tensor

        mesh, placements = tensor.device_mesh, tensor.placements  # type: ignore[attr-defined]
        given = values.to(device=tensor.device, dtype=tensor.dtype)
        values = distribute_tensor(given, mesh, placements, src_data_rank=None)
    local(tensor).copy_(local(values))


def _is_split(tensor: Tensor) -> bool:
    if not torch.distributed.is_available():
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)
