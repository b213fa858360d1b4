"""Average measures over the images of each evaluation set and tier, on any number of ranks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import Metric

from depthmix.batch import Batch
from depthmix.errors import DepthmixError
from depthmix.metrics.align import ALIGNMENTS, Alignment
from depthmix.metrics.measure import DEFAULT, METRICS, PARTS, measure
from depthmix.metrics.rows import image_rows, letters_of, record_of, set_rows
from depthmix.prediction import Prediction
from depthmix.sample import DEPTH_KINDS, LabelKind

__all__ = ["DepthMetrics", "EvaluationSet"]


@dataclass(frozen=True)
class EvaluationSet:
    """Describe one evaluation set.

    Args:
        name: of the set.
        family: of its label card.
        tier: of its label card.
        kind: name of its `LabelKind`.
        alignments: what to fit before measuring, each giving a row.
        cap: smallest and largest depth in the unit of the labels: labels outside are not read, predictions
            are clamped into it after the alignment.

    Raises:
        ValueError: an alignment is unknown or named twice, or the cap is no range of depth.
    """

    name: str
    family: str
    tier: str
    kind: str
    alignments: tuple[str, ...] = DEFAULT
    cap: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for alignment in self.alignments:
            if alignment not in ALIGNMENTS:
                known = ", ".join(ALIGNMENTS)
                raise ValueError(f"`alignments` of {self.name} must be among {known}, got {alignment!r}")
        if not self.alignments or len(set(self.alignments)) < len(self.alignments):
            raise ValueError(f"`alignments` of {self.name} must be one or more, each once")
        if self.cap is not None:
            if not 0 < self.cap[0] < self.cap[1]:
                raise ValueError(f"`cap` of {self.name} must be 0 < smallest < largest, got {self.cap}")
            if self.kind not in [kind.name for kind in DEPTH_KINDS]:
                raise ValueError(f"`cap` of {self.name} is one of depth, but its labels are {self.kind}")

    @property
    def cap_words(self) -> str | None:
        """The cap as a row says it."""
        unit = " m" if self.kind == LabelKind.METRIC_DEPTH.name else ""
        return None if self.cap is None else "{:g} to {:g}".format(*self.cap) + unit


class DepthMetrics(Metric):
    """Collect every measure of every set: as averages per image, pooled over pixels, and image by image.

    One metric with sums and counts for all sets, and not one logged figure per set: ranks that see
    different sets would log different keys, which Lightning pairs up wrongly without a word.

    Args:
        sets: the evaluation sets; `update` names them by their place in this list.
    """

    full_state_update = False
    higher_is_better = None
    is_differentiable = False
    totals: Float[Tensor, "g a m"]
    counts: Float[Tensor, "g a m"]
    parts: Float[Tensor, "g a k"]
    weights: Float[Tensor, "g a k"]
    constant: Float[Tensor, "g a"]
    seen: Float[Tensor, " g"]
    records: list[Float[Tensor, " r"]]
    letters: list[Int[Tensor, " l"]]

    def __init__(self, sets: Sequence[EvaluationSet]) -> None:
        super().__init__()
        self.sets = list(sets)
        g, a = len(self.sets), len(ALIGNMENTS)
        shapes = {
            "totals": (g, a, len(METRICS)),
            "counts": (g, a, len(METRICS)),
            "parts": (g, a, len(PARTS)),
            "weights": (g, a, len(PARTS)),
            "constant": (g, a),
            "seen": (g,),
        }
        for name, shape in shapes.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("records", [], dist_reduce_fx="cat")
        self.add_state("letters", [], dist_reduce_fx="cat")
        self._begin()

    def reset(self) -> None:
        """Forget all images."""
        super().reset()
        self._begin()

    def _begin(self) -> None:
        # A rank that sees no image must hand over lists of the same type and shape as the others.
        self.records = [torch.zeros(0, dtype=torch.float64, device=self.device)]
        self.letters = [torch.zeros(0, dtype=torch.uint8, device=self.device)]

    def update(self, prediction: Prediction, batch: Batch, group: int) -> None:
        """Add the images of one batch, all of set number `group`.

        Raises:
            DepthmixError: the prediction is not finite.
        """
        broken = ~prediction.log_canonical.isfinite().flatten(1).all(1)
        if broken.any():
            names = [name for name, bad in zip(batch.names, broken.tolist(), strict=False) if bad]
            hint = "the checkpoint is damaged or its training diverged"
            raise DepthmixError("the network's map is not finite", sample=", ".join(names) or None, hint=hint)
        entry = self.sets[group]
        wanted = [one for one in get_args(Alignment) if one in entry.alignments]
        found = measure(prediction, batch, wanted, entry.cap)
        places = [ALIGNMENTS.index(one) for one in wanted]
        measured = ~found.values.isnan()
        self.totals[group, places] += torch.where(measured, found.values, 0).sum(-1)
        self.counts[group, places] += measured.sum(-1)
        self.parts[group, places] += (found.parts * found.weights).sum(-1)
        self.weights[group, places] += found.weights.sum(-1)
        self.constant[group, places] += found.constant.sum(-1)
        self.seen[group] += len(batch)
        self.records.append(record_of(found.values, places, group))
        self.letters.append(letters_of(batch.names or ("",) * len(batch)).to(self.device))

    def compute(self) -> dict[str, Tensor]:
        """Gather the sums of all ranks, and the values of all images."""
        sums = {name: getattr(self, name) for name in ("totals", "counts", "parts", "weights")}
        sums |= {"constant": self.constant, "seen": self.seen}
        lists: dict[str, Any] = {"records": self.records, "letters": self.letters}
        # Gathered from other ranks, they are tensors.
        return sums | {
            name: one if isinstance(one, Tensor) else torch.cat(one) for name, one in lists.items()
        }

    def rows(self, bootstrap: int = 0, seed: int = 0) -> list[dict[str, Any]]:
        """Return one plain row per set and alignment that has a figure, None for what it cannot bear.

        Columns are the facts of the set, `count` (images), `constant` (images that the alignment made
        constant, because no positive scale fits), the measures averaged over images, and with the prefix
        `pooled_` over all pixels of the set.

        Args:
            bootstrap: draws for intervals of the averages over images that hold 95 %, in `<measure>_low` and
                `<measure>_high`; 0 for none.
            seed: of these draws.
        """
        facts, found = self._facts(), []
        for group, entry in enumerate(self.sets):
            card = {"set": entry.name, "family": entry.family, "tier": entry.tier, "kind": entry.kind}
            found += set_rows({**card, "cap": entry.cap_words}, facts, [group], bootstrap, seed)
        return found

    def tiers(self, bootstrap: int = 0, seed: int = 0) -> list[dict[str, Any]]:
        """Return rows as `rows` does for every tier with two sets or more, over all their images.

        Convention: `count` holds the images of those sets that have a figure after the alignment.
        """
        facts, found = self._facts(), []
        for tier in dict.fromkeys(entry.tier for entry in self.sets):
            groups = [number for number, entry in enumerate(self.sets) if entry.tier == tier]
            caps = {self.sets[number].cap_words for number in groups}
            cap = caps.pop() if len(caps) == 1 else "each set's own"
            card = {"set": f"tier {tier}", "family": "", "tier": tier, "kind": "", "cap": cap}
            found += set_rows(card, facts, groups, bootstrap, seed) if len(groups) > 1 else []
        return found

    def images(self) -> list[dict[str, Any]]:
        """Return one plain row per image and alignment that has a figure: what paired bootstraps read."""
        facts = self.compute()
        return image_rows(self.sets, facts["records"].reshape(-1).cpu(), facts["letters"].reshape(-1).cpu())

    def _facts(self) -> dict[str, Tensor]:
        facts = self.compute()
        facts["seen"] = facts["seen"].reshape(-1)  # torchmetrics makes a number of a vector with one entry
        return facts
