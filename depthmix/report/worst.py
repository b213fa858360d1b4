"""The samples that the network gets most wrong: in training by `worst.json`, in evaluation by image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from depthmix.errors import DepthmixError
from depthmix.plot.figures import format_number
from depthmix.report.collect import RunFacts, SetFacts
from depthmix.report.strips import Strip, strip_of
from depthmix.report.tables import is_number

__all__ = ["WorstRow", "WorstTable", "worst_in_evaluation", "worst_in_training"]

LISTED: Final = 20
DRAWN: Final = 4
# The first that a set bears; each is an error, and lower is better.
JUDGED_BY: Final = ("abs_rel", "ssi", "whdr", "planarity_rms")


@dataclass(frozen=True, slots=True)
class WorstRow:
    """Hold one sample: its name, its set, and what makes it one of the worst."""

    sample: str
    source: str
    numbers: list[str]


@dataclass(frozen=True, slots=True)
class WorstTable:
    """Hold the list, the heads of its numbers, and pictures of the first few samples."""

    heads: list[str]
    rows: list[WorstRow]
    strips: list[Strip]


def worst_in_training(facts: RunFacts) -> WorstTable | None:
    """Return the samples whose loss stands out most from that of their source; None without a list."""
    if not facts.worst:
        return None
    terms = sorted({str(term) for entry in facts.worst for term in entry["losses"]})
    rows = []
    for entry in facts.worst[:LISTED]:
        losses = [_number(entry["losses"].get(term)) for term in terms]
        told = [_number(entry["mean_score"]), _number(entry["weight"]), _number(entry["seen"]), *losses]
        rows.append(WorstRow(entry["sample"], entry["source"], told))
    heads = ["mean score", "weight", "seen", *(f"loss {term}" for term in terms)]
    places = [(one, facts.training) for one in rows[:DRAWN]]
    return WorstTable(heads, rows, _strips(facts, places))


def worst_in_evaluation(facts: RunFacts) -> WorstTable | None:
    """Return the worst image of each evaluation set, those first that are farthest from the others."""
    found: list[tuple[float, WorstRow]] = []
    for name in dict.fromkeys(row["set"] for row in facts.images):
        own = [row for row in facts.images if row["set"] == name]
        own = [row for row in own if row["alignment"] == own[0]["alignment"]]
        measure = next((one for one in JUDGED_BY if any(one in row for row in own)), None)
        values = {row["image"]: float(row[measure]) for row in own if measure in row} if measure else {}
        if measure is None or len(values) < 2:
            continue  # one image is no worst one
        image, worst = max(values.items(), key=lambda pair: pair[1])
        middle = float(np.median(list(values.values())))
        told = [measure.replace("_", " "), _number(worst), _number(middle), str(len(values))]
        found.append((worst / max(middle, 1e-9), WorstRow(image, name, told)))
    if not found:
        return None
    rows = [row for _, row in sorted(found, key=lambda pair: -pair[0])][:LISTED]
    places = [(one, facts.evaluation) for one in rows[:DRAWN]]
    return WorstTable(["measure", "this image", "median of the set", "images"], rows, _strips(facts, places))


def _strips(facts: RunFacts, rows: Sequence[tuple[WorstRow, Sequence[SetFacts]]]) -> list[Strip]:
    strips = []
    for row, sets in rows:
        one = next((one for one in sets if one.name == row.source and one.shards), None)
        number = _place(one, row.sample) if one else None
        if one is None or one.shards is None or number is None:
            continue  # the list may name what is not among the sets any more
        try:
            strips.append(strip_of(one.shards[number], facts.trained))
        except DepthmixError as error:
            facts.problems.append(str(error))
    return strips


def _place(one: SetFacts, sample: str) -> int | None:
    assert one.shards is not None
    key = sample.removeprefix(f"{one.shards.name}/")
    try:
        return one.shards.keys.index(key)
    except (ValueError, DepthmixError):
        return None


def _number(value: Any) -> str:
    return format_number(float(value)) if is_number(value) else "-"
