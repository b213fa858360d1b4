"""The stages of an encoder, from the image inwards."""

from itertools import pairwise, zip_longest
from typing import Any

from torch import nn

__all__ = ["encoders_of", "stages_of"]

PARTS = ("backbone", "dpt", "glpn")  # how depth networks of transformers name their encoder


def encoders_of(net: nn.Module) -> tuple[nn.Module, ...]:
    """Return the encoders of a depth network of transformers; empty where they are not known."""
    whole: Any = getattr(net, "depth_pro", None)
    if whole is not None:  # one sees the whole image, the other its parts; side by side
        encoder = whole.encoder
        return encoder.image_encoder.model, encoder.patch_encoder.model
    return tuple(getattr(net, part) for part in PARTS if getattr(net, part, None) is not None)[:1]


def stages_of(*encoders: nn.Module) -> tuple[nn.Module, ...]:
    """Group all modules of encoders by depth: the stem, then one group for each layer.

    The layers are the entries of the largest list of modules. What was made before it belongs to the stem,
    what was made behind it to the last layer. Lists of the same length beside it count layer by layer.
    Encoders that stand side by side share their stages.
    """
    each = [_stages(encoder) for encoder in encoders]
    return tuple(
        nn.ModuleList([module for group in groups for module in group])
        for groups in zip_longest(*each, fillvalue=[])
    )


def _stages(encoder: nn.Module) -> list[list[nn.Module]]:
    path = _path_to_layers(encoder)
    if not path:
        return [[encoder]]
    parent, layers = path[-2], path[-1]
    assert isinstance(layers, nn.ModuleList)
    beside = [m for m in parent.children() if isinstance(m, nn.ModuleList) and len(m) == len(layers)]
    groups = [[m[index] for m in beside] for index in range(len(layers))]
    before: list[nn.Module] = []
    behind: list[nn.Module] = []
    for outer, inner in pairwise(path):
        passed = False
        for child in outer.children():
            passed = passed or child is inner
            if child is not inner and child not in beside:
                (behind if passed else before).append(child)
    groups[-1] += behind
    return [before, *groups] if before else groups


def _path_to_layers(encoder: nn.Module) -> list[nn.Module]:
    """Return the modules from the encoder down to its largest list; empty where it has none."""
    found = [name for name, m in encoder.named_modules() if isinstance(m, nn.ModuleList) and len(m) > 1]
    if not found:
        return []
    name = max(found, key=lambda name: _weights(encoder.get_submodule(name)))  # of equals the outermost
    parts = name.split(".")
    return [encoder.get_submodule(".".join(parts[:count])) for count in range(len(parts) + 1)]


def _weights(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())
