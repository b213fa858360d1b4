"""Plain rows of figures: of sets, and of single images as they travel between ranks.

An image travels as numbers: the number of its set and all measures after all alignments, NaN where there is
none; its name travels as bytes, a zero behind each. So ranks need to exchange no Python objects.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from depthmix.metrics.align import ALIGNMENTS
from depthmix.metrics.bootstrap import mean_intervals
from depthmix.metrics.measure import METRICS, POOLED, pooled

__all__ = ["image_rows", "letters_of", "record_of", "set_rows"]

Row = dict[str, Any]
SUMS: Final = ("totals", "counts", "parts", "weights", "constant")
WIDTH: Final = 1 + len(ALIGNMENTS) * len(METRICS)


class Named(Protocol):
    """A set, as far as rows name it."""

    @property
    def name(self) -> str:
        """Its name."""


def record_of(values: Float[Tensor, "a m b"], places: Sequence[int], group: int) -> Float[Tensor, " r"]:
    """Pack the measures of the images of one batch, for the alignments at `places` of `ALIGNMENTS`."""
    table = values.new_full((values.shape[2], WIDTH), torch.nan)
    table[:, 0] = group
    table[:, 1:].view(-1, len(ALIGNMENTS), len(METRICS))[:, list(places)] = values.permute(2, 0, 1)
    return table.flatten()


def letters_of(names: Sequence[str]) -> UInt8[Tensor, " l"]:
    """Pack the names of the images of one batch."""
    coded = b"".join(name.encode().replace(b"\0", b"") + b"\0" for name in names)
    return torch.frombuffer(bytearray(coded), dtype=torch.uint8)


def image_rows(
    sets: Sequence[Named], records: Float[Tensor, " r"], letters: UInt8[Tensor, " l"]
) -> list[Row]:
    """Unpack one row per image and alignment that has a figure; images without a name get set and number."""
    names = bytes(letters.numpy()).split(b"\0")
    count: Counter[int] = Counter()
    found = []
    for record, name in zip(records.view(-1, WIDTH), names, strict=False):
        group = int(record[0])
        image = name.decode() or f"{sets[group].name}/{count[group]}"
        count[group] += 1
        values = record[1:].view(len(ALIGNMENTS), -1)
        for alignment, row in zip(ALIGNMENTS, values.tolist(), strict=True):
            figures = _figures(METRICS, row)
            if any(value is not None for value in figures.values()):
                found.append({"set": sets[group].name, "alignment": alignment, "image": image, **figures})
    return found


def set_rows(
    card: Row, facts: Mapping[str, Tensor], groups: Sequence[int], bootstrap: int, seed: int
) -> list[Row]:
    """Return a row per alignment for the sets in `groups`, taken together.

    Args:
        card: what stands in front.
        facts: sums and records of `DepthMetrics`.
        groups: numbers of the sets.
        bootstrap: draws; 0 for no intervals.
        seed: of the draws.
    """
    found = []
    for place, alignment in enumerate(ALIGNMENTS):
        bearing = [group for group in groups if facts["counts"][group, place].any()]
        if not bearing:
            continue
        total = {name: facts[name][bearing, place].sum(0) for name in SUMS}
        means = torch.where(total["counts"] > 0, total["totals"] / total["counts"].clamp_min(1), torch.nan)
        over_pixels = pooled(total["parts"] / total["weights"].clamp_min(1), total["weights"])
        row = {**card, "count": int(facts["seen"][bearing].sum()), "alignment": alignment}
        row |= {"constant": int(total["constant"]), **_figures(METRICS, means.tolist())}
        row |= _figures([f"pooled_{name}" for name in POOLED], [float(over_pixels[name]) for name in POOLED])
        row |= _intervals(facts["records"], bearing, place, bootstrap, seed) if bootstrap else {}
        found.append(row)
    return found


def _intervals(
    records: Float[Tensor, " r"], groups: Sequence[int], place: int, draws: int, seed: int
) -> dict[str, float | None]:
    table = records.reshape(-1, WIDTH).cpu()
    own = table[torch.isin(table[:, 0], torch.tensor(groups, dtype=table.dtype))]
    values = own[:, 1:].view(len(own), len(ALIGNMENTS), -1)[:, place]
    low, high = mean_intervals(values.numpy(), draws=draws, seed=seed)
    bounds = {"low": low.tolist(), "high": high.tolist()}
    return {
        f"{name}_{end}": value
        for end, figures in bounds.items()
        for name, value in _figures(METRICS, figures).items()
    }


def _figures(names: Sequence[str], values: Sequence[float]) -> dict[str, float | None]:
    return {name: None if value != value else value for name, value in zip(names, values, strict=True)}
