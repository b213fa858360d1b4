"""Which loss learns from which rows, how their gradients are balanced, and the one backward pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch import distributed as dist

from depthmix.batch import Batch
from depthmix.errors import ConfigError
from depthmix.losses.base import DepthLoss
from depthmix.masked import at_least_float32
from depthmix.prediction import Prediction
from depthmix.sources.base import SourceCard
from depthmix.terms import Term, check_terms, must_be_known, term_problems

__all__ = ["Objective", "ObjectiveValue", "Term", "check_terms", "term_problems"]

Balance = Literal["gradient", "none"]

_SMALLEST_NORM = 1e-12  # below it a term is at its optimum and gets no say instead of amplified rounding


@dataclass(frozen=True)
class ObjectiveValue:
    """Hold what one step gave.

    Args:
        loss: its value is the weighted sum of the terms over the global batch; its gradient is the balanced
            one, scaled so that an average over ranks is right.
        terms: value of each term: mean over the rows of all ranks that carry it.
        gradients: norm of each term's own gradient at the prediction, over all ranks, before any weight.
        per_row: value of each term on each row of this rank, 0 where not carried.
        carried: which rows carry which term.
        finite: whether value and gradient are finite on every rank.
    """

    loss: Float[Tensor, ""]
    terms: Float[Tensor, " k"]
    gradients: Float[Tensor, " k"]
    per_row: Float[Tensor, "k b"]
    carried: Bool[Tensor, "k b"]
    finite: Bool[Tensor, ""]


class Objective(nn.Module):
    """Route rows to terms, average each term over the rows that carry it, and balance the terms.

    Every loss is differentiated at the prediction, on a detached copy; one backward pass then carries the
    weighted sum of these gradients through the network. So the gradient norm of each term is known at no
    extra cost, and rescaling a term costs one multiplication. Losses must not have trainable parameters.

    All sums, counts and squared norms are reduced over ranks in one call, so the step does not depend on
    how a global batch is spread over ranks, and a term may lack rows on some or all of them.

    Args:
        terms: the terms by name.
        balance: "none" adds weight times gradient. "gradient" first divides each term's gradient by its
            norm, so that a weight is the term's share of the pull on the prediction: gradients of the loss
            families differ by a factor of 10 to 300, and change with the contrast of the prediction.
            The norm is that of the present step: no state to resume, and a low-contrast batch whose
            gradient explodes is tamed at once, where a running mean would let it pass. A weight of 1 pulls
            as hard as the mean absolute error of log depth over the batch would.
        cards: card of every source of the mix by name, in the order of `Batch.source`.

    Raises:
        ConfigError: no terms, or a term names a source that is not in the mix.
    """

    def __init__(
        self,
        terms: Mapping[str, Term],
        balance: Balance = "gradient",
        cards: Mapping[str, SourceCard] | None = None,
    ) -> None:
        super().__init__()
        if not terms:
            raise ConfigError("there must be at least one term", field="terms")
        if balance not in ("gradient", "none"):
            raise ConfigError(f'must be "gradient" or "none", got {balance!r}', field="balance")
        self.source_names = list(cards or {})
        for name, term in terms.items():
            if not name.isidentifier():
                raise ConfigError(f"the name of a term must be an identifier, got {name!r}", field="terms")
            for source in term.sources or ():
                must_be_known(source, self.source_names, f"terms.{name}.sources")
        self.losses = nn.ModuleDict({name: term.loss for name, term in terms.items()})
        self.balance = balance
        self._terms = dict(terms)
        self._sparse = [i for i, card in enumerate((cards or {}).values()) if card.density == "sparse"]

    @property
    def names(self) -> list[str]:
        """Names of the terms, in the order of every axis `k`."""
        return list(self._terms)

    def forward(self, prediction: Prediction, batch: Batch, step: int = 0) -> ObjectiveValue:
        """Evaluate all terms; `loss.backward()` then trains the network that gave `prediction`."""
        maps = prediction.maps
        carried = torch.stack([self.carries(name, batch) for name in self.names])
        per_row, pulls = self._differentiate(prediction, batch, carried, step)
        sums, counts, squares, broken, pixels = _over_ranks(per_row, carried, pulls)
        counts = counts.clamp_min(1)
        terms, gradients = sums / counts, squares.sqrt() / counts
        weights = terms.new_tensor([term.weight_at(step) for term in self._terms.values()])
        # DDP averages gradients over ranks, so each rank brings its part times the number of ranks.
        shares = weights / counts * self._rescaling(gradients, pixels) * _world_size()
        pull = torch.einsum("k,k...->...", shares.to(pulls.dtype), pulls)
        total = (weights * terms).sum()
        finite = (broken == 0) & total.isfinite()
        return ObjectiveValue(_with_gradient(maps, pull, total), terms, gradients, per_row, carried, finite)

    def carries(self, name: str, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows the term learns from: its tiers and sources, and what its loss needs."""
        term = self._terms[name]
        rows = term.loss.bears(batch) & term.loss.supervised(batch)
        rows = rows & _is_one_of(batch.quality, [int(quality) for quality in term.qualities])
        if "dense" in term.loss.needs:
            rows = rows & ~_is_one_of(batch.source, self._sparse)
        if term.sources is not None:
            rows = rows & _is_one_of(batch.source, [self.source_names.index(name) for name in term.sources])
        return rows

    def _differentiate(
        self, prediction: Prediction, batch: Batch, carried: Bool[Tensor, "k b"], step: int
    ) -> tuple[Float[Tensor, "k b"], Float[Tensor, "k b c h w"]]:
        """Evaluate each loss on a detached copy of the map, with the gradient of its sum over the rows."""
        leaf = at_least_float32(prediction.maps.detach()).requires_grad_()
        values, pulls = [], []
        for term, rows in zip(self._terms.values(), carried, strict=True):
            with torch.enable_grad():
                # Split anew for each term: its graph is freed with its gradient.
                view = prediction.from_maps(
                    leaf, prediction.intrinsics, prediction.focal_canonical, prediction.heads
                )
                value = _on_rows(term.loss, view, batch, rows, step)
                pulls.append(_gradient(value.sum(), leaf))
            values.append(value.detach())
        return torch.stack(values), torch.stack(pulls)

    def _rescaling(self, gradients: Float[Tensor, " k"], pixels: Float[Tensor, ""]) -> Float[Tensor, " k"]:
        if self.balance == "none":
            return torch.ones_like(gradients)
        felt = gradients > _SMALLEST_NORM
        return torch.where(felt, 1 / (torch.where(felt, gradients, 1) * pixels.sqrt()), 0)


def _is_one_of(values: Tensor, choices: Sequence[int]) -> Bool[Tensor, " b"]:
    return torch.isin(values, torch.tensor(choices, dtype=values.dtype, device=values.device))


def _on_rows(
    loss: DepthLoss, prediction: Prediction, batch: Batch, rows: Bool[Tensor, " b"], step: int
) -> Float[Tensor, " b"]:
    """Evaluate a loss; the value of rows that it is not given is 0."""
    if rows.is_cuda or bool(rows.all()):
        return torch.where(rows, loss(prediction, batch, step=step), 0)
    # Half of the work of a mixed batch is on rows that a loss may not see. A CPU can leave them out; on a
    # GPU, waiting for the number of rows would cost more than the rows.
    chosen = rows.nonzero()[:, 0]
    value = prediction.log_canonical.new_zeros(len(batch))
    if not len(chosen):
        return value
    selected = loss(prediction.select(chosen), batch.select(chosen), step=step)
    return value.index_put((chosen,), selected.to(value.dtype))


def _gradient(value: Float[Tensor, ""], leaf: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    if not value.requires_grad:  # a loss may return a constant where no row can bear it
        return torch.zeros_like(leaf)
    return torch.autograd.grad(value, leaf, materialize_grads=True)[0]


def _over_ranks(
    per_row: Float[Tensor, "k b"], carried: Bool[Tensor, "k b"], pulls: Float[Tensor, "k b c h w"]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Add sums, counts, squared gradient norms, non-finite parts and pixels over ranks, in one call."""
    sums, counts = per_row.double().sum(1), carried.double().sum(1)
    squares = pulls.flatten(1).double().square().sum(1)
    broken = (~(sums.isfinite() & squares.isfinite())).double().sum()
    pixels = torch.full((), pulls[0, :, 0].numel(), dtype=torch.float64, device=pulls.device)
    packed = torch.cat([sums, counts, squares, torch.stack([broken, pixels])])
    if _world_size() > 1:
        dist.all_reduce(packed)
    sums, counts, squares = packed[:-2].view(3, len(per_row)).unbind()
    return sums, counts, squares, packed[-2], packed[-1]


def _world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _with_gradient(
    maps: Float[Tensor, "b c h w"], gradient: Float[Tensor, "b c h w"], value: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """Return a scalar that has `value`, and `gradient` with respect to `maps`."""
    surrogate = (at_least_float32(maps) * gradient).sum()
    return surrogate + (value - surrogate).detach()
