"""Audit a raw source or a prepared set: read samples, measure them, say what was found."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from depthmix.audit.findings import LEVELS, Finding, find_all
from depthmix.audit.measures import Measures, measure
from depthmix.audit.pairs import PairMeasures, measure_pair
from depthmix.audit.pictures import Match, matches
from depthmix.errors import BadSample, BadSource, CorruptShard
from depthmix.prepare.pool import check_picklable, ordered_results
from depthmix.sample import Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.store.reader import ShardSet

__all__ = ["WORDS", "Audit", "Job", "PreparedSet", "audit_source", "compare_audits", "spread_out"]

WORDS: Final = {
    "valid": "share of pixels with a label",
    "sky": "share of pixels known as sky",
    "planes": "plane instances",
    "plane_share": "share of pixels on a plane",
    "pairs": "pairs of points",
    "low": "smallest label value",
    "median": "median label value",
    "high": "largest label value",
    "distinct": "distinct values (of 20 000)",
    "downwards": "lower is nearer (rank correlation)",
    "focal": "focal length, px",
    "fov": "horizontal field of view, degrees",
    "sigma": "sigma over value, median",
    "plane_residual": "inverse depth off its plane, share",
    "edge": "label steps on image edges (0.5 = chance)",
    "consistent": "share of pixels that match both ways",
    "bias": "label minus match, px",
    "spread": "label and match apart, px",
    "slope": "match over label disparity",
}
PAIRED: Final = ("consistent", "bias", "spread", "slope")  # the others are of samples

EXTRAS: Final = ("sky", "planes", "plane_share", "pairs")  # what many sources do not have


class PreparedSet(Source):
    """Give a prepared set the form of a source, so that both are audited alike."""

    layout = "a set that `depthmix prepare` wrote"

    def __init__(self, root: str | Path, *, name: str = "") -> None:
        self._shards = ShardSet(root)
        super().__init__(root, name=name or self._shards.name)
        self.card = SourceCard(**self._shards.card)
        self._numbers = {key: number for number, key in enumerate(self._shards.keys)}

    def keys(self) -> Sequence[str]:
        """List the keys in the order of the set."""
        return list(self._numbers)

    def files(self, key: str) -> Sequence[Path]:
        """List the record of the set."""
        return [self.root / "index.json"]

    def read(self, key: str) -> Sample:
        """Read one stored sample."""
        return self._shards[self._numbers[key]]


@dataclass(frozen=True, slots=True)
class Failure:
    """A sample that could not be read, and why."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker needs to turn a key into numbers.

    Args:
        source: the samples.
        pairs: whether the two pictures of stereo pairs are matched, which takes a second each.
    """

    source: Source
    pairs: bool = True

    def run(self, key: str) -> tuple[Measures, PairMeasures | None] | Failure:
        """Measure one sample, or say why it cannot be read."""
        try:
            measured = measure(self.source.read(key))
            views = self.source.views(key) if self.pairs else None
        except (BadSample, BadSource, CorruptShard) as error:
            return Failure(key, str(error))
        return measured, measure_pair(views) if views else None


@dataclass(frozen=True, slots=True)
class Audit:
    """What was measured and found.

    Args:
        name: name of the source.
        root: its folder.
        card: what it says about itself.
        count: samples that it has.
        samples: the measured ones.
        pairs: measures of their stereo pairs, where there are such.
        failures: samples that could not be read.
        findings: what was noticed, worst first.
    """

    name: str
    root: Path
    card: SourceCard
    count: int
    samples: list[Measures]
    pairs: list[PairMeasures]
    failures: list[Failure]
    findings: list[Finding] = field(default_factory=list)

    @property
    def prints(self) -> np.ndarray:
        """Fingerprints of all pictures and of the mirrored ones, (n, 2, 4)."""
        return np.array([one.prints for one in self.samples], np.uint64).reshape(-1, 2, 4)

    def summary(self) -> dict[str, tuple[float, float, float]]:
        """Return the 10 %, 50 % and 90 % quantiles of what was measured, by name.

        What a source has not at all, such as planes, is left out.
        """
        rows = {
            name: [getattr(one, name) for one in (self.pairs if name in PAIRED else self.samples)]
            for name in WORDS
        }
        known = {name: [value for value in values if value is not None] for name, values in rows.items()}
        return {
            name: _quantiles(values)
            for name, values in known.items()
            if values and (name not in EXTRAS or any(values))
        }

    def add(self, findings: Sequence[Finding]) -> None:
        """Add findings; the worst stay first."""
        self.findings.extend(findings)
        self.findings.sort(key=lambda finding: LEVELS.index(finding.level))

    def plain(self) -> dict[str, Any]:
        """Return everything as JSON holds it."""
        return {
            "name": self.name,
            "root": str(self.root),
            "card": self.card.plain(),
            "count": self.count,
            "read": len(self.samples),
            "failed": [{"key": one.key, "reason": one.reason} for one in self.failures],
            "findings": [
                {"level": one.level, "what": one.what, "text": one.text, "samples": list(one.keys)}
                for one in self.findings
            ],
            "summary": {name: list(values) for name, values in self.summary().items()},
            "samples": [one.plain() for one in self.samples],
            "pairs": [one.plain() for one in self.pairs],
        }


def audit_source(
    source: Source,
    *,
    limit: int = 200,
    workers: int = 0,
    pairs: bool = True,
    progress: Callable[[int, int, str], None] | None = None,
) -> Audit:
    """Measure samples of a source, spread evenly over its keys.

    Args:
        source: raw or prepared samples.
        limit: most samples that are read; 0 reads all.
        workers: processes that read; the result does not depend on it.
        pairs: whether stereo pairs are matched again.
        progress: called after every sample with done, total and a note.

    Raises:
        BadSource: there is no sample, or the source cannot be listed.
    """
    keys = list(source.keys())
    chosen = spread_out(keys, limit)
    job = Job(source, pairs)
    if workers:
        check_picklable(job)
    audit = Audit(source.name, source.root, source.card, len(keys), [], [], [])
    for result in ordered_results(job, chosen, workers):
        if isinstance(result, Failure):
            audit.failures.append(result)
        else:
            audit.samples.append(result[0])
            audit.pairs.extend(pair for pair in result[1:] if pair)
        if progress:
            done = len(audit.samples) + len(audit.failures)
            progress(done, len(chosen), f"{len(audit.failures)} unreadable" if audit.failures else "")
    audit.add([*_failed(audit), *find_all(source.card, audit.samples, audit.pairs), *_own(audit)])
    return audit


def compare_audits(audit: Audit, other: Audit, *, evaluation: bool) -> list[Finding]:
    """Find pictures that two sources share.

    Args:
        audit: one source.
        other: another one.
        evaluation: whether the other one is kept for evaluation: what it shares is a leak then.
    """
    shared = _matches(audit, other)
    if not shared:
        return []
    first = tuple(f"{audit.samples[one.first].key} = {other.samples[one.second].key}" for one in shared[:5])
    text = f"{len({one.first for one in shared})} pictures of {audit.name} are also in {other.name}"
    if evaluation:
        return [Finding("problem", "leak", f"{text}, which is kept for evaluation", first)]
    return [Finding("warning", "shared", f"{text}: they weigh twice in a mix of both", first)]


def spread_out(keys: Sequence[str], limit: int) -> list[str]:
    """Choose at most `limit` keys, evenly spaced, the first one included; 0 chooses all."""
    if not limit or len(keys) <= limit:
        return list(keys)
    return [keys[number * len(keys) // limit] for number in range(limit)]


def _failed(audit: Audit) -> list[Finding]:
    if not audit.failures:
        return []
    total = len(audit.failures) + len(audit.samples)
    text = f"{len(audit.failures)} of {total} samples cannot be read; the first: {audit.failures[0].reason}"
    return [Finding("problem", "unreadable", text, tuple(one.key for one in audit.failures[:5]))]


def _own(audit: Audit) -> list[Finding]:
    same = _matches(audit, audit)
    if not same:
        return []
    first = tuple(f"{audit.samples[one.first].key} = {audit.samples[one.second].key}" for one in same[:5])
    involved = len({number for one in same for number in (one.first, one.second)})
    text = (
        f"{involved} of {len(audit.samples)} pictures look the same as another one: frames of one film are "
        "like that; in a collection of photos they are duplicates"
    )
    return [Finding("note", "alike", text, first)]


def _matches(audit: Audit, other: Audit) -> list[Match]:
    if not audit.samples or not other.samples:
        return []
    own = audit.prints[:, 0]
    if audit is other:
        return matches(own, own)
    theirs = other.prints
    return matches(own, theirs[:, 0]) + matches(own, theirs[:, 1], mirrored=True)


def _quantiles(values: list[float]) -> tuple[float, float, float]:
    low, middle, high = np.quantile(np.array(values, np.float64), [0.1, 0.5, 0.9]).tolist()
    return low, middle, high
