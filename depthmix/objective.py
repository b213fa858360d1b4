"""Which loss learns from which rows, how their gradients are balanced, and the one backward pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from depthmix.balance import (
    MOST_TERMS,
    min_norm_orthogonal,
    min_norm_weights,
    share_weights,
    uncertainty_slopes,
    uncertainty_weights,
)
from depthmix.batch import Batch
from depthmix.doubt import Disagreement, RunningDoubt
from depthmix.errors import ConfigError
from depthmix.losses.base import DepthLoss, LearningLoss
from depthmix.masked import at_least_float32
from depthmix.prediction import Prediction
from depthmix.pulls import Measured, combine, measure, over_ranks, with_gradients, world_size
from depthmix.sources.base import SourceCard
from depthmix.terms import Term, check_terms, head_problems, must_be_known, qualities_of, term_problems

__all__ = [
    "ADAPTIVE",
    "Balance",
    "Objective",
    "ObjectiveValue",
    "Term",
    "check_terms",
    "head_problems",
    "term_problems",
]

Balance = Literal["none", "gradient", "uncertainty", "pareto", "pareto_sources"]

ADAPTIVE = ("uncertainty", "pareto", "pareto_sources")  # balances that decide how much a term counts


@dataclass(frozen=True)
class ObjectiveValue:
    """Hold what one step gave.

    Args:
        loss: its value is the weighted sum of the terms over the global batch; its gradient is the balanced
            one, scaled so that an average over ranks is right.
        terms: value of each term: mean over the rows of all ranks that carry it.
        gradients: norm of each term's own gradient at the prediction, over all ranks, before any weight.
        weights: by how much each term's mean was multiplied in the gradient; with "pareto_sources" the sum
            over the sources that carry it.
        per_row: value of each term on each row of this rank, 0 where not carried.
        carried: which rows carry which term.
        finite: whether value and gradient are finite on every rank.
        scores: how far each row of this rank is from the usual loss of its source; None without
            `Disagreement`.
        trust: the weight of each row that follows from it.
        pulls: norm of the gradient of each row at the prediction, with all weights.
    """

    loss: Float[Tensor, ""]
    terms: Float[Tensor, " k"]
    gradients: Float[Tensor, " k"]
    weights: Float[Tensor, " k"]
    per_row: Float[Tensor, "k b"]
    carried: Bool[Tensor, "k b"]
    finite: Bool[Tensor, ""]
    scores: Float[Tensor, " b"] | None = None
    trust: Float[Tensor, " b"] | None = None
    pulls: Float[Tensor, " b"] | None = None


class Objective(nn.Module):
    """Route rows to terms, average each term over the rows that carry it, and balance the terms.

    Every loss is differentiated at the prediction (depth and heads, as one stack of maps), on a detached
    copy; one backward pass then carries the weighted sum of these gradients through the network. So the
    gradient norm of each term is known at no extra cost, and rescaling a term costs one multiplication.
    Losses must not have trainable parameters; what a `LearningLoss` estimates lies in buffers.

    All sums, counts and products are reduced over ranks in one call, so the step does not depend on how a
    global batch is spread over ranks, and a term may lack rows on some or all of them.

    How much a term counts, besides its weight, is up to `balance`:

    - "none": nothing besides. The weighted gradients are added as they are.
    - "gradient": each term's gradient is first divided by its norm, so that a weight is the term's share of
      the pull on the prediction: gradients of the loss families differ by a factor of 10 to 300, and change
      with the contrast of the prediction. The norm is that of the present step: no state to resume, and a
      low-contrast batch whose gradient explodes is tamed at once, where a running mean would let it pass.
      A weight of 1 pulls as hard as the mean absolute error of log depth over the batch would.
    - "uncertainty": by exp(-s), where each term's s is learned with the network; see `uncertainty_weights`.
    - "pareto": by the weights of the shortest vector in the convex hull of the terms' gradients; see
      `min_norm_weights`. Terms that share no rows are orthogonal at the prediction, and each then counts
      1 over its squared norm: a term of large gradients next to nothing, and a head that is trained by one
      term alone, whose gradient fades as it learns, in the end nearly everything.
    - "pareto_sources": the same over sources, which is how MiDaS uses it: the weighted sum of the terms over
      the rows of one source is one objective. Sources never share rows, so it is
      `min_norm_orthogonal`.

    Convention: under both Pareto balances, the weights of terms multiply what is solved for: "pareto" uses
    them after the solution, so that a larger weight is not evened out, and its step is sure to lower every
    term only under equal weights; a term whose weight is 0 takes no part.

    Args:
        terms: the terms by name.
        balance: one of the above.
        cards: card of every source of the mix by name, in the order of `Batch.source`.
        disagreement: how much less a row counts whose loss stands out of its source, in value and gradient
            of every term; None counts all alike. See `RunningDoubt`.

    Raises:
        ConfigError: no terms, too many for "pareto", a term names a source that is not in the mix, or there
            are no cards for "pareto_sources" or `disagreement`.

    Reference: Kendall, Gal and Cipolla (arXiv 1705.07115) for "uncertainty"; Sener and Koltun (arXiv
    1810.04650), section 3.3 for the Pareto step at a shared representation, which here is the prediction.
    """

    def __init__(
        self,
        terms: Mapping[str, Term],
        balance: Balance = "gradient",
        cards: Mapping[str, SourceCard] | None = None,
        disagreement: Disagreement | None = None,
    ) -> None:
        super().__init__()
        self.source_names = list(cards or {})
        _check(terms, balance, self.source_names)
        if disagreement is not None and not self.source_names:
            raise ConfigError("needs the cards of the sources", field="model.disagreement")
        counts = len(terms), len(self.source_names)
        self.doubt = RunningDoubt(disagreement, *counts) if disagreement is not None else None
        self.losses = nn.ModuleDict({name: term.loss for name, term in terms.items()})
        for loss in self._learning().values():
            loss.begin(max(1, len(self.source_names)))
        self.balance = balance
        self.log_variances = nn.Parameter(torch.zeros(len(terms))) if balance == "uncertainty" else None
        self._terms = dict(terms)
        self._sparse = [i for i, card in enumerate((cards or {}).values()) if card.density == "sparse"]

    @property
    def names(self) -> list[str]:
        """Names of the terms, in the order of every axis `k`."""
        return list(self._terms)

    def forward(self, prediction: Prediction, batch: Batch, step: int = 0) -> ObjectiveValue:
        """Evaluate all terms; `loss.backward()` then trains the network that gave `prediction`."""
        maps = prediction.maps
        views = [self._view(name, batch) for name in self.names]
        pairs = zip(self.names, views, strict=True)
        carried = torch.stack([self._carries(name, view) for name, view in pairs])
        per_row, pulls = self._differentiate(prediction, views, carried, step)
        self._learn(prediction, views, carried)
        groups = self._groups(batch)
        weights = _constants([term.weight_at(step) for term in self._terms.values()], per_row.double().sum(1))
        scores, trust = self._judge(per_row, carried & (weights > 0)[:, None], carried, batch)
        heard = per_row
        if trust is not None:
            heard = per_row * trust
            pulls = [pull * trust[:, None, None, None].to(pull.dtype) for pull in pulls]
        found = measure(heard, carried, pulls, groups, self.balance.startswith("pareto"))
        factors = weights[:, None] * self._factors(found, weights)
        # DDP averages gradients over ranks, so each rank brings its part times the number of ranks.
        shares = (factors / found.counts * world_size()) @ groups
        combined = combine(shares, pulls)
        gradients = [(maps, combined)]
        if self.log_variances is not None:
            gradients.append((self.log_variances, self._slopes(found, weights)))
        total = (weights * found.values).sum()
        finite = (found.broken == 0) & total.isfinite()
        used = (factors * found.felt).sum(1)
        loss = with_gradients(total, gradients)
        return ObjectiveValue(
            loss,
            found.values,
            found.norms,
            used,
            per_row,
            carried,
            finite,
            scores,
            trust,
            combined.flatten(1).norm(dim=1),
        )

    def figures(self) -> dict[str, float]:
        """Return what losses have learned of each source as `noise/<term>/<source>`; waits for the device."""
        found = {name: loss.figures(self.source_names) for name, loss in self._learning().items()}
        return {f"noise/{name}/{source}": x for name, own in found.items() for source, x in own.items()}

    def _learning(self) -> dict[str, LearningLoss]:
        return {name: loss for name, loss in self.losses.items() if isinstance(loss, LearningLoss)}

    def _learn(self, prediction: Prediction, views: Sequence[Batch], carried: Bool[Tensor, "k b"]) -> None:
        """Let losses learn from the rows that carry them, for the steps to come."""
        for k, loss in enumerate(self.losses.values()):
            if isinstance(loss, LearningLoss):
                loss.learn(over_ranks(loss.observe(prediction, views[k], carried[k]))[0])

    def carries(self, name: str, batch: Batch) -> Bool[Tensor, " b"]:
        """Tell which rows the term learns from: its tiers and sources, and what its loss needs."""
        return self._carries(name, self._view(name, batch))

    def _view(self, name: str, batch: Batch) -> Batch:
        """Return the batch as the term sees it: without the labels that it shall not read."""
        mask = self._terms[name].edges
        if mask is None:
            return batch
        rows = self._chosen(batch, mask.tiers, mask.sources)[:, None, None, None]
        return replace(batch, valid=batch.valid & (mask.mark(batch) & rows).logical_not())

    def _chosen(
        self, batch: Batch, tiers: Sequence[str] | None, sources: Sequence[str] | None
    ) -> Bool[Tensor, " b"]:
        rows = _is_one_of(batch.quality, [int(quality) for quality in qualities_of(tiers)])
        if sources is not None:
            rows = rows & _is_one_of(batch.source, [self.source_names.index(name) for name in sources])
        return rows

    def _carries(self, name: str, batch: Batch) -> Bool[Tensor, " b"]:
        term = self._terms[name]
        rows = term.loss.bears(batch) & term.loss.supervised(batch)
        rows = rows & self._chosen(batch, term.tiers, term.sources)
        return rows & ~_is_one_of(batch.source, self._sparse) if "dense" in term.loss.needs else rows

    def _judge(
        self,
        per_row: Float[Tensor, "k b"],
        counted: Bool[Tensor, "k b"],
        carried: Bool[Tensor, "k b"],
        batch: Batch,
    ) -> tuple[Float[Tensor, " b"] | None, Float[Tensor, " b"] | None]:
        """Return score and weight of each row by what earlier steps gave, and learn from this one."""
        if self.doubt is None:
            return None, None
        scores, trust = self.doubt(per_row, counted, batch.source)
        self.doubt.learn(per_row, carried, batch.source, lambda sums: over_ranks(sums)[0])
        return scores, trust

    def _differentiate(
        self, prediction: Prediction, views: Sequence[Batch], carried: Bool[Tensor, "k b"], step: int
    ) -> tuple[Float[Tensor, "k b"], list[Float[Tensor, "b c h w"]]]:
        """Evaluate each loss on a detached copy of the map, with the gradient of its sum over the rows."""
        leaf = at_least_float32(prediction.maps.detach()).requires_grad_()
        values, pulls = [], []
        for term, batch, rows in zip(self._terms.values(), views, carried, strict=True):
            with torch.enable_grad():
                # Split anew for each term: its graph is freed with its gradient.
                view = prediction.from_maps(
                    leaf, prediction.intrinsics, prediction.focal_canonical, prediction.heads
                )
                value = _on_rows(term.loss, view, batch, rows, step)
                pulls.append(_gradient(value.sum(), leaf))
            values.append(value.detach())
        return torch.stack(values), pulls

    def _groups(self, batch: Batch) -> Float[Tensor, "g b"]:
        """Mark the rows of each source where sources are balanced, else all rows as one group."""
        if self.balance != "pareto_sources":
            return torch.ones(1, len(batch), dtype=torch.float64, device=batch.source.device)
        numbers = torch.arange(len(self.source_names), device=batch.source.device)
        return (batch.source == numbers[:, None]).double()

    def _factors(self, found: Measured, weights: Float[Tensor, " k"]) -> Float[Tensor, "k g"]:
        """Return how much each term counts in each group of rows, besides its weight."""
        if self.balance == "gradient":
            return (share_weights(found.norms) / found.pixels.sqrt())[:, None]
        if self.log_variances is not None:
            return uncertainty_weights(self.log_variances.detach().double())[:, None]
        if found.products is None:
            return torch.ones_like(weights)[:, None]
        if self.balance == "pareto":
            products = found.products[0] / found.counts / found.counts.T
            return min_norm_weights(products, weights > 0)[:, None]
        means = (weights[:, None] / found.counts).T
        squares = ((found.products @ means[:, :, None])[:, :, 0] * means).sum(1)
        return min_norm_orthogonal(squares).expand(len(weights), -1)

    def _slopes(self, found: Measured, weights: Float[Tensor, " k"]) -> Float[Tensor, " k"]:
        """Return the gradient of the learned logarithms, equal on all ranks; 0 for a term without rows."""
        assert self.log_variances is not None
        slopes = uncertainty_slopes(self.log_variances.detach().double(), found.values)
        return torch.where(found.felt[:, 0], weights * slopes, 0).to(self.log_variances.dtype)


def _check(terms: Mapping[str, Term], balance: str, sources: Sequence[str]) -> None:
    if not terms:
        raise ConfigError("there must be at least one term", field="terms")
    if balance not in get_args(Balance):
        choices = ", ".join(f'"{choice}"' for choice in get_args(Balance))
        raise ConfigError(f"must be one of {choices}, got {balance!r}", field="model.balance")
    if balance == "pareto" and len(terms) > MOST_TERMS:
        reason = f"'pareto' compares at most {MOST_TERMS} terms, got {len(terms)}"
        raise ConfigError(reason, field="model.balance", hint="drop terms, or use 'pareto_sources'")
    if balance == "pareto_sources" and not sources:
        raise ConfigError("'pareto_sources' needs the cards of the sources", field="model.balance")
    for name, term in terms.items():
        if not name.isidentifier():
            raise ConfigError(f"the name of a term must be an identifier, got {name!r}", field="terms")
        for source in term.sources or ():
            must_be_known(source, sources, f"terms.{name}.sources")
        for source in (term.edges.sources if term.edges else None) or ():
            must_be_known(source, sources, f"terms.{name}.edges.sources")


def _constants(numbers: Sequence[float], like: Tensor) -> Float[Tensor, " k"]:
    """Put numbers onto the device by kernels: a copy of a list would wait for it."""
    return torch.stack([torch.full_like(like[0], number) for number in numbers])


def _is_one_of(values: Tensor, choices: Sequence[int]) -> Bool[Tensor, " b"]:
    found = torch.zeros_like(values, dtype=torch.bool)
    for choice in choices:
        found = found | (values == choice)
    return found


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
