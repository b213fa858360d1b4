"""Which weights learn at which rate, and which do not learn at all."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from depthmix.errors import ConfigError
from depthmix.schedule import Rates

__all__ = ["Group", "adamw", "freeze", "in_order_of", "parameter_groups", "regrouped", "stages_of"]


@dataclass(frozen=True)
class Group:
    """Hold the weights that learn alike.

    Args:
        parameters: those of the network that learn at all.
        factor: of the learning rate.
        decays: whether weight decay pulls them to zero.
    """

    parameters: list[nn.Parameter]
    factor: float
    decays: bool


def stages_of(net: nn.Module, option: str) -> tuple[nn.Module, ...]:
    """Return the encoder of a network from the image inwards, for an option that needs to know it.

    Raises:
        ConfigError: the network does not say what its encoder is.
    """
    found = getattr(net, "stages", None)
    if not isinstance(found, tuple):
        reason = f"needs a network with stages, and {type(net).__name__} has none"
        hint = "give its class a property `stages`: the modules of its encoder from the image inwards"
        raise ConfigError(reason, field=f"model.{option}", hint=hint)
    return found


def parameter_groups(net: nn.Module, layer_decay: float = 1.0) -> list[Group]:
    """Sort the weights of a network that learn; those that decay come first, groups without weights nowhere.

    Every stage of the encoder learns more slowly than the one behind it, by the factor `layer_decay`: the
    first ones see edges and textures, which differ least between tasks. What is not in a stage is decoder,
    and learns at the full rate. Biases and norms do not decay.

    Args:
        net: with the property `stages` where `layer_decay` is not 1.
        layer_decay: factor from each stage to the one before it.

    Raises:
        ConfigError: the network does not say what its encoder is.

    Reference: Howard and Ruder (arXiv 1801.06146), section 3.2, with one factor for every step as in
    Clark et al. (arXiv 2003.10555).
    """
    factors = _factors(net, layer_decay)
    found: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for parameter in net.parameters():
        if parameter.requires_grad:
            key = (parameter.ndim > 1, factors.get(id(parameter), 1.0))
            found.setdefault(key, []).append(parameter)
    order = sorted(found, key=lambda key: (not key[0], -key[1]))
    return [Group(found[decays, factor], factor, decays) for decays, factor in order]


def adamw(
    groups: Sequence[Group], learned: Iterable[nn.Parameter], rates: Rates, *, fused: bool
) -> torch.optim.AdamW:
    """Return the optimiser of a training; the factors of its groups are up to the schedule.

    Args:
        groups: weights of the network.
        learned: what the terms learn besides; it does not decay.
        rates: of the training.
        fused: whether one kernel does all of a step.

    Raises:
        ConfigError: nothing learns.
    """
    wanted: list[dict[str, Any]] = [
        {"params": group.parameters, "weight_decay": rates.weight_decay if group.decays else 0.0}
        for group in groups
    ]
    if not wanted:
        raise ConfigError("no weight of the network learns", field="model.net", hint="freeze less of it")
    # Only where there are some: checkpoints keep the groups.
    wanted += [{"params": terms, "weight_decay": 0.0}] if (terms := list(learned)) else []
    for group in wanted:
        group["layer_decay"] = rates.layer_decay
    return torch.optim.AdamW(wanted, lr=rates.learning_rate, fused=fused)


def in_order_of(
    parameters: Iterable[nn.Parameter], optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> dict[str, Any]:
    """Number the weights in the state of an optimiser by their place in a module.

    torch numbers them group by group, and takes any numbers back. Lightning takes them for places in the
    module where it splits weights over ranks, and would hand moments to the wrong weights.

    Args:
        parameters: of the module, all of them.
        optimizer: whose state it is.
        state: as torch made it; one with other numbers comes back as it is.
    """
    place = {id(parameter): number for number, parameter in enumerate(parameters)}
    found = [place.get(id(p)) for group in optimizer.param_groups for p in group["params"]]
    groups = state.get("param_groups", [])
    if None in found or [k for group in groups for k in group["params"]] != list(range(len(found))):
        return state
    moments = {found[k]: values for k, values in state["state"].items()}
    groups = [group | {"params": [found[k] for k in group["params"]]} for group in groups]
    return {**state, "state": moments, "param_groups": groups}


def regrouped(
    parameters: Iterable[nn.Parameter],
    groups: Sequence[Group],
    learned: Sequence[nn.Parameter],
    state: dict[str, Any],
) -> dict[str, Any]:
    """Hand the moments of a checkpoint to the weights that learn now; what did not learn starts without.

    Args:
        parameters: of the module, all of them.
        groups: of now.
        learned: what the terms learn besides.
        state: of an optimiser of `adamw`, numbered by `in_order_of`; any other comes back as it is.
    """
    place = {id(parameter): number for number, parameter in enumerate(parameters)}
    now = [*groups, *([Group(list(learned), 1.0, False)] if learned else [])]
    wanted = [[place[id(parameter)] for parameter in group.parameters] for group in now]
    saved = state.get("param_groups") or [{}]
    if "layer_decay" not in saved[0] or [group["params"] for group in saved] == wanted:
        return state
    decay, rate = max(group["weight_decay"] for group in saved), saved[0]["lr"]
    options = [
        {"weight_decay": decay if group.decays else 0.0, "lr": rate * group.factor, "params": numbers}
        for group, numbers in zip(now, wanted, strict=True)
    ]
    kept = {number for numbers in wanted for number in numbers}
    moments = {number: values for number, values in state["state"].items() if number in kept}
    return {**state, "state": moments, "param_groups": [saved[0] | option for option in options]}


def freeze(net: nn.Module, count: int) -> tuple[nn.Module, ...]:
    """Let the first stages of a network keep their weights, in eval mode, and return them.

    Raises:
        ConfigError: the network does not say what its encoder is, or has fewer stages.
    """
    if not count:
        return ()
    stages = stages_of(net, "frozen_stages")
    if not 0 <= count <= len(stages):
        reason = f"must be from 0 to {len(stages)}, the stages of {type(net).__name__}, got {count}"
        raise ConfigError(reason, field="model.frozen_stages")
    for stage in stages[:count]:
        stage.requires_grad_(False).eval()
    return stages[:count]


def _factors(net: nn.Module, layer_decay: float) -> dict[int, float]:
    """Return the factor of each weight of the encoder by its identity."""
    if layer_decay == 1:
        return {}
    stages: Sequence[nn.Module] = stages_of(net, "layer_decay")
    return {
        id(parameter): layer_decay**distance
        for distance, stage in enumerate(reversed(stages), start=1)
        for parameter in stage.parameters()
    }
