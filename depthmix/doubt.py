"""Count samples less whose loss stands out of their source: their label may be wrong."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from depthmix.errors import ConfigError
from depthmix.running import running_share

__all__ = ["Disagreement", "RunningDoubt"]

NORMAL = math.sqrt(math.pi / 2)  # standard deviation over mean absolute deviation, of a normal distribution
CLIP = 3.0  # mean absolute deviations: what lies farther out moves the statistics no more than this
TINY = 1e-9  # smallest loss whose logarithm is told apart
LEAST_SPREAD = 1e-3  # of the logarithm of a loss


@dataclass(frozen=True)
class Disagreement:
    """Say how much less a sample counts that disagrees with the network more than others of its source.

    Args:
        tolerance: robust z-score up to which a sample counts fully; beyond, it counts tolerance / z.
        floor: smallest weight; above 0, so no sample is ever left out.
        memory: what is left of the statistics after each further sample of a source.
        warmup: samples of a source, for each term, that are only looked at before any counts less.
        listed: how many of the worst samples `worst.json` in the run folder names.

    Raises:
        ConfigError: an option is out of its range.
    """

    tolerance: float = 2.0
    floor: float = 0.1
    memory: float = 0.998
    warmup: int = 200
    listed: int = 100

    def __post_init__(self) -> None:
        field = "model.disagreement"
        if not 0 < self.tolerance < math.inf:
            reason = f"must be positive and finite, got {self.tolerance}"
            raise ConfigError(reason, field=f"{field}.tolerance")
        for name in ("floor", "memory"):
            if not 0 < getattr(self, name) <= (1 if name == "floor" else 1 - 1e-9):
                reason = f"must be above 0 and {'at most' if name == 'floor' else 'below'} 1"
                raise ConfigError(f"{reason}, got {getattr(self, name)}", field=f"{field}.{name}")
        for name in ("warmup", "listed"):
            if getattr(self, name) < 1:
                raise ConfigError(f"must be at least 1, got {getattr(self, name)}", field=f"{field}.{name}")


class RunningDoubt(nn.Module):
    """Keep the usual loss of each source under each term, and weigh samples by how far they are from it.

    The logarithm of a loss is compared, so a loss that falls tenfold over a training changes no score. Centre
    and mean absolute deviation are running means in which an outlier moves things by `CLIP` deviations at
    most. They are part of the state, equal on all ranks, and a step is judged by what came before it.

    Args:
        options: how much less a sample counts.
        terms: number of terms.
        sources: number of sources.
    """

    seen: Float[Tensor, "k s"]
    centre: Float[Tensor, "k s"]
    spread: Float[Tensor, "k s"]

    def __init__(self, options: Disagreement, terms: int, sources: int) -> None:
        super().__init__()
        self.options = options
        for name, start in (("seen", 0.0), ("centre", 0.0), ("spread", 1.0)):
            self.register_buffer(name, torch.full((terms, sources), start, dtype=torch.float64))

    @torch.no_grad()
    def forward(
        self, per_row: Float[Tensor, "k b"], counted: Bool[Tensor, "k b"], source: Int[Tensor, " b"]
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """Return the robust z-score of each sample, and its weight in [floor, 1].

        Args:
            per_row: value of each term on each row.
            counted: where a row carries a term that counts in this step.
            source: of each row.

        Convention: the score is the mean over the terms that a row carries; 0 where none of them has seen
            `warmup` samples of the source yet, or where a loss is not finite.
        """
        x, ripe = _logarithm(per_row), self.seen.index_select(1, source) >= self.options.warmup
        spread = self.spread.index_select(1, source).clamp_min(LEAST_SPREAD)
        z = (x - self.centre.index_select(1, source)) / (NORMAL * spread)
        known = counted & ripe & x.isfinite()
        score = torch.where(known, z, 0).sum(0) / known.sum(0).clamp_min(1)
        limit, floor = self.options.tolerance, self.options.floor
        return score, torch.where(score > limit, (limit / score).clamp_min(floor), 1)

    @torch.no_grad()
    def learn(
        self,
        per_row: Float[Tensor, "k b"],
        carried: Bool[Tensor, "k b"],
        source: Int[Tensor, " b"],
        over_ranks: Callable[[Tensor], Tensor],
    ) -> None:
        """Take the losses of a step into the statistics.

        Args:
            per_row: value of each term on each row.
            carried: where a row carries a term.
            source: of each row.
            over_ranks: adds a tensor over all ranks.
        """
        x = _logarithm(per_row)
        used = carried & x.isfinite()
        known = self.seen.index_select(1, source) > 0
        limit = torch.where(known, CLIP * self.spread.index_select(1, source), torch.inf)
        away = torch.where(used, x - self.centre.index_select(1, source), 0)
        away = torch.maximum(torch.minimum(away, limit), -limit)
        # As a product of matrices: added up one by one, the sums would depend on the order on a GPU.
        member = (source[:, None] == torch.arange(self.seen.shape[1], device=source.device)).double()
        count, total, size = over_ranks(torch.stack([used.double(), away, away.abs()]) @ member)
        share = running_share(count, self.seen, self.options.memory)
        mean = count.clamp_min(1)
        self.spread += torch.where(self.seen > 0, share * (size / mean - self.spread), 0)
        self.centre += share * total / mean
        self.seen += count


def _logarithm(per_row: Float[Tensor, "k b"]) -> Float[Tensor, "k b"]:
    return per_row.detach().double().clamp_min(TINY).log()
