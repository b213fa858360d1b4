"""Mean absolute derivatives of a map with holes, level by level of a pyramid."""

from collections.abc import Iterator
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import avg_pool2d, pad

__all__ = ["Filter", "has_stencil", "mean_derivative"]

Filter = Literal["scharr", "laplace"]


def mean_derivative(
    x: Float[Tensor, "b 1 h w"], valid: Bool[Tensor, "b 1 h w"], scales: int, kind: Filter
) -> Float[Tensor, " b"]:
    """Average the magnitude of a derivative over the pixels of each level, then over the levels, per row.

    Args:
        x: finite where valid, 0 elsewhere.
        valid: where `x` holds.
        scales: levels at most; one smaller than the stencil, 3 x 3, ends the pyramid.
        kind: "scharr" adds the magnitudes of the two components of the gradient, "laplace" takes the sum of
            the four neighbours less four times the middle. A ramp of slope 1 has gradient 1.

    Convention: a level is the mean over the valid ones of 2 x 2 pixels, valid where two or more are. A
    derivative counts where its whole stencil is valid, 3 x 3 pixels or a cross of five; levels without one
    are left out of the mean. 0 where no level has one.
    """
    means, found = [], []
    for level, weight in _pyramid(x, valid, scales):
        whole = _whole(weight, kind)
        count = whole.flatten(1).sum(1)
        mean = _MeanDerivative.apply(level, whole, 1 / count.clamp_min(1), kind)  # type: ignore[no-untyped-call]
        means.append(mean)
        found.append(count > 0)
    if not means:
        return (0 * x).flatten(1).sum(1)
    return torch.stack(means).sum(0) / torch.stack(found).sum(0).clamp_min(1)


def has_stencil(valid: Bool[Tensor, "b 1 h w"], scales: int, kind: Filter) -> Bool[Tensor, " b"]:
    """Tell for which rows `mean_derivative` has something to average."""
    nothing = torch.zeros(valid.shape, device=valid.device)
    found = [(_whole(weight, kind) > 0).flatten(1).any(1) for _, weight in _pyramid(nothing, valid, scales)]
    return torch.stack([valid.new_zeros(len(valid)), *found]).any(0)


class _MeanDerivative(torch.autograd.Function):
    """Filter, and send the signs back through the mirrored filter."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Float[Tensor, "b 1 h w"],
        whole: Float[Tensor, "b 1 h2 w2"],
        share: Float[Tensor, " b"],
        kind: Filter,
    ) -> Float[Tensor, " b"]:
        parts = [part.mul_(whole) for part in _derivatives(x, kind)]
        ctx.save_for_backward(share, *parts)
        ctx.kind = kind
        return share * torch.stack([part.abs().flatten(1).sum(1) for part in parts]).sum(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Float[Tensor, " b"]) -> tuple[Tensor, None, None, None]:
        share, *parts = ctx.saved_tensors
        pull = (gradient * share)[:, None, None, None]
        spread = [pad(part.sign().mul_(pull), (2, 2, 2, 2)) for part in parts]
        if ctx.kind == "laplace":
            return _laplacian(spread[0]), None, None, None
        # A first derivative changes its sign when it is mirrored.
        return _along_u(spread[0]).add_(_along_v(spread[1])).neg_(), None, None, None


def _pyramid(x: Tensor, valid: Tensor, scales: int) -> Iterator[tuple[Tensor, Tensor]]:
    weight = valid.to(x.dtype)
    for k in range(scales):
        if min(x.shape[-2:]) < 3:
            return
        yield x, weight
        if k + 1 < scales:
            part = avg_pool2d(weight, 2)
            weight = (part >= 0.5).to(x.dtype)
            x = avg_pool2d(x, 2) * (weight / part.clamp_min(0.5))


def _whole(weight: Float[Tensor, "b 1 h w"], kind: Filter) -> Float[Tensor, "b 1 h2 w2"]:
    """Return 1 where all pixels under the stencil are valid, else 0."""
    beside = weight[..., 2:] * weight[..., 1:-1] * weight[..., :-2]
    if kind == "scharr":
        return beside[..., 2:, :] * beside[..., 1:-1, :] * beside[..., :-2, :]
    return beside[..., 1:-1, :] * (weight[..., 2:, 1:-1] * weight[..., :-2, 1:-1])


def _derivatives(x: Float[Tensor, "b 1 h w"], kind: Filter) -> list[Float[Tensor, "b 1 h2 w2"]]:
    return [_laplacian(x)] if kind == "laplace" else [_along_u(x), _along_v(x)]


def _laplacian(x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h2 w2"]:
    around = x[..., 2:, 1:-1] + x[..., :-2, 1:-1]
    return around.add_(x[..., 1:-1, 2:]).add_(x[..., 1:-1, :-2]).sub_(x[..., 1:-1, 1:-1], alpha=4)


def _along_u(x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h2 w2"]:
    smooth = (x[..., 2:, :] + x[..., :-2, :]).mul_(3 / 32).add_(x[..., 1:-1, :], alpha=10 / 32)
    return smooth[..., 2:] - smooth[..., :-2]


def _along_v(x: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b 1 h2 w2"]:
    smooth = (x[..., 2:] + x[..., :-2]).mul_(3 / 32).add_(x[..., 1:-1], alpha=10 / 32)
    return smooth[..., 2:, :] - smooth[..., :-2, :]
