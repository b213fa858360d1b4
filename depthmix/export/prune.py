"""A network with fewer hidden channels: smaller in fact, not by zeros."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from depthmix.errors import ConfigError
from depthmix.export.graph import CanonicalDepth
from depthmix.export.measure import Change, abs_rel_between, labels_of, median_ms
from depthmix.models.blocks import GROUPS, Block
from depthmix.store import ShardSet
from depthmix.trained import Trained

__all__ = ["measured_pruning", "pruned"]

PRUNABLE: Final = ("depthmix.models.LightDepthNet", "depthmix.models.LiteDepthNet")


def pruned(trained: Trained, fraction: float) -> Trained:
    """Return the network without the weakest hidden channels of its blocks.

    A hidden channel lies between the two convolutions of a `Block`. What it can add is the gain of its
    normalisation times the norm of the weights that read it. As many go from each group of the normalisation,
    and each keeps one. The rest of the network, such as an encoder of other layers, stays as it is.

    Args:
        trained: with a `LightDepthNet` or `LiteDepthNet`.
        fraction: of the hidden channels to take away, in (0, 1); rounded in each group.

    Returns:
        A smaller network around copies of the weights; its `spec` rebuilds it. It is not trained anew.

    Raises:
        ConfigError: another network, or a fraction that is none or takes nothing away.
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"must be in (0, 1), got {fraction}", field="prune")
    class_path = (trained.spec or {}).get("class_path")
    if class_path not in PRUNABLE:
        hint = f"only {' and '.join(name.rpartition('.')[2] for name in PRUNABLE)} can be pruned"
        raise ConfigError(f"{type(trained.net).__name__} has no blocks to prune", field="prune", hint=hint)
    blocks = _blocks(trained.net)
    kept = [_strongest(block, fraction) for block in blocks]
    if all(len(rows) == block.first.out_channels for rows, block in zip(kept, blocks, strict=True)):
        hint = "take a larger fraction, or a wider network"
        raise ConfigError(f"{fraction} of the channels of a group is less than one", field="prune", hint=hint)
    spec = _spec(trained.net, [len(rows) for rows in kept])
    net: nn.Module = type(trained.net)(**spec["init_args"])
    net.load_state_dict(_state(trained.net, kept))
    return replace(trained, net=net.eval(), spec=spec)


def measured_pruning(
    trained: Trained, fraction: float, photos: Float[Tensor, "b 3 h w"], shards: ShardSet | None = None
) -> tuple[Trained, Change]:
    """Prune, and measure what it costs: weights, CPU time on one thread, AbsRel on photos and on labels.

    Args:
        trained: the network.
        fraction: as for `pruned`.
        photos: RGB in [0, 1].
        shards: a labelled set to measure on as well.

    Raises:
        ConfigError: as `pruned`, and where the labels bear no AbsRel.
    """
    smaller = pruned(trained, fraction)
    with torch.inference_mode():
        runs = [CanonicalDepth(one.net).eval() for one in (trained, smaller)]
        times = median_ms(runs, photos[:1])
        far = abs_rel_between(runs[0], runs[1], photos)
        size = (photos.shape[-2], photos.shape[-1])
        labels, alignment = labels_of(trained, runs, shards, size) if shards else (None, "none")
    pair = (labels[0], labels[1]) if labels else None
    megabytes = (_megabytes(trained.net), _megabytes(smaller.net))
    return smaller, Change(megabytes, (times[0], times[1]), far, len(photos), pair, alignment)


def _blocks(net: nn.Module) -> list[Block]:
    return [module for module in net.modules() if isinstance(module, Block)]


def _strongest(block: Block, fraction: float) -> Int[Tensor, " n"]:
    """Return the hidden channels to keep, in their order: the strongest of each group."""
    read = block.second.weight.detach().square().sum((0, 2, 3)).sqrt()
    groups = (block.first_norm.weight.detach().abs() * read).reshape(GROUPS, -1)
    size = groups.shape[1]
    count = max(1, size - round(size * fraction))
    best = groups.topk(count, dim=1).indices.sort(dim=1).values
    return (best + size * torch.arange(GROUPS)[:, None]).flatten()


def _spec(net: nn.Module, hidden: Sequence[int]) -> dict[str, Any]:
    old: Any = net.spec
    return {**old, "init_args": {**old["init_args"], "hidden": list(hidden)}}


def _state(net: nn.Module, kept: Sequence[Int[Tensor, " n"]]) -> dict[str, Tensor]:
    state = dict(net.state_dict())
    names = [name for name, module in net.named_modules() if isinstance(module, Block)]
    for name, rows in zip(names, kept, strict=True):
        for part in ("first.weight", "first_norm.weight", "first_norm.bias"):
            state[f"{name}.{part}"] = state[f"{name}.{part}"][rows]
        state[f"{name}.second.weight"] = state[f"{name}.second.weight"][:, rows]
    return state


def _megabytes(net: nn.Module) -> float:
    sizes: list[int] = [weight.nbytes for weight in net.state_dict().values()]
    return sum(sizes) / 1e6
