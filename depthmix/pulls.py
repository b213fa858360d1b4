"""What the terms say about one step over the rows of all ranks, and the gradient that comes of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch import distributed as dist

from depthmix.masked import at_least_float32

__all__ = ["Measured", "combine", "measure", "over_ranks", "with_gradients", "world_size"]


@dataclass(frozen=True)
class Measured:
    """Hold what is known of a step, equal on all ranks, in float64.

    Args:
        values: mean of each term over the rows that carry it.
        counts: rows that carry each term, in each group of rows; at least 1, to divide by.
        felt: whether a group has rows that carry the term.
        norms: norm of the gradient of each of these means.
        products: inner products of the terms' gradient sums within each group, where asked for.
        broken: how many sums or norms are not finite.
        pixels: of one channel of the prediction.
    """

    values: Float[Tensor, " k"]
    counts: Float[Tensor, "k g"]
    felt: Bool[Tensor, "k g"]
    norms: Float[Tensor, " k"]
    products: Float[Tensor, "g k k"] | None
    broken: Float[Tensor, ""]
    pixels: Float[Tensor, ""]


def measure(
    per_row: Float[Tensor, "k b"],
    carried: Bool[Tensor, "k b"],
    pulls: Sequence[Float[Tensor, "b c h w"]],
    groups: Float[Tensor, "g b"],
    products: bool,
) -> Measured:
    """Add values, rows and gradients over the rows of all ranks, in one call.

    Args:
        per_row: value of each term on each row.
        carried: which rows carry which term.
        pulls: gradient of the sum of each term over its rows.
        groups: 1 where a row belongs to a group, else 0, in float64.
        products: whether to compare the gradients with each other, not only to measure them.
    """
    lengths = _products(pulls, groups) if products else _squares(pulls)
    sums = per_row.double().sum(1)
    broken = (~sums.isfinite()).sum() + (~lengths.isfinite()).sum()
    pixels = torch.full((), pulls[0][:, 0].numel(), dtype=torch.float64, device=sums.device)
    sums, counts, lengths, broken, pixels = over_ranks(
        sums, carried.double() @ groups.T, lengths, broken.double(), pixels
    )
    carriers = counts.sum(1).clamp_min(1)
    squares = lengths.sum(0).diagonal() if products else lengths
    return Measured(
        sums / carriers,
        counts.clamp_min(1),
        counts > 0,
        squares.sqrt() / carriers,
        lengths if products else None,
        broken,
        pixels,
    )


def combine(
    shares: Float[Tensor, "k b"], pulls: Sequence[Float[Tensor, "b c h w"]]
) -> Float[Tensor, "b c h w"]:
    """Add the terms' gradients, each row of each times its share."""
    # Not as a product of matrices: autocast would round it to half precision, where small gradients vanish.
    total = torch.zeros_like(pulls[0])
    for share, pull in zip(shares.to(pulls[0].dtype), pulls, strict=True):
        total = total.addcmul(share[:, None, None, None], pull)
    return total


def with_gradients(value: Float[Tensor, ""], gradients: Sequence[tuple[Tensor, Tensor]]) -> Float[Tensor, ""]:
    """Return a scalar that has `value`, and for each (x, gradient) that gradient with respect to x."""
    surrogate = torch.stack([(at_least_float32(x) * gradient).sum() for x, gradient in gradients]).sum()
    return surrogate + (value - surrogate).detach()


def world_size() -> int:
    """Return the number of ranks, 1 without a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _squares(pulls: Sequence[Float[Tensor, "b c h w"]]) -> Float[Tensor, " k"]:
    return torch.stack([pull.double().square().sum() for pull in pulls])


def _products(
    pulls: Sequence[Float[Tensor, "b c h w"]], groups: Float[Tensor, "g b"]
) -> Float[Tensor, "g k k"]:
    rows = torch.stack([pull.flatten(1).double() for pull in pulls], 1)
    products = groups @ (rows @ rows.transpose(1, 2)).flatten(1)
    return products.view(-1, len(pulls), len(pulls))


def over_ranks(*parts: Float[Tensor, "..."]) -> list[Tensor]:
    """Add tensors over all ranks, in one call."""
    if world_size() == 1:
        return list(parts)
    packed = torch.cat([part.flatten() for part in parts])
    dist.all_reduce(packed)
    flat = packed.split_with_sizes([part.numel() for part in parts])
    return [values.view(part.shape) for values, part in zip(flat, parts, strict=True)]
