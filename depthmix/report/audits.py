"""What the audit says about each set of a run, as the page shows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from markupsafe import Markup

from depthmix.audit import Audit, audit_source
from depthmix.audit.drawings import coverage, coverage_picture, histogram
from depthmix.audit.findings import Finding
from depthmix.audit.run import PreparedSet
from depthmix.errors import DepthmixError
from depthmix.plot.figures import format_number
from depthmix.report.collect import RunFacts, SetFacts
from depthmix.report.encode import as_png
from depthmix.sample import LabelKind

__all__ = ["SetAudit", "audit_sets"]

AUDITED: Final = 24  # samples of each set


@dataclass(frozen=True, slots=True)
class SetAudit:
    """Hold the audit of one set in words and pictures; what a set does not have is empty or None.

    Args:
        name: of the set.
        read: how many samples were read, of how many.
        values: middle of the labels and where 80 % of the samples have theirs.
        valid: the same of the share of pixels with a label, in percent.
        focal: smallest and largest focal length, and field of view.
        unit: what the check of the unit says.
        findings: what looks wrong, worst first.
        histogram: shares of pixels over the logarithm of depth.
        axis: unit of that.
        coverage: where in the picture labels lie, as a data URI.
        coverage_words: the same in words.
    """

    name: str
    read: str
    values: str
    valid: str
    focal: str
    unit: str
    findings: list[Finding]
    histogram: Markup | None
    axis: str
    coverage: str
    coverage_words: str


def audit_sets(facts: RunFacts) -> list[SetAudit]:
    """Audit the sets of a run; findings that are problems stand among the problems of the run, too."""
    return [found for one in facts.sets if one.shards and (found := _audited(facts, one))]


def _audited(facts: RunFacts, one: SetFacts) -> SetAudit | None:
    try:
        audit = audit_source(PreparedSet(one.folder), limit=AUDITED, pairs=False)
    except DepthmixError as error:
        facts.problems.append(str(error))
        return None
    facts.problems += [
        f"{one.name}: {finding.text}"
        for finding in audit.findings
        if finding.level == "problem" and finding.what != "unreadable"  # those are named by themselves
    ]
    summary, where = audit.summary(), coverage(audit)
    return SetAudit(
        name=one.name,
        read=f"{len(audit.samples)} of {audit.count}",
        values=_spread(summary.get("median")),
        valid=_spread(_percent(summary.get("valid"))),
        focal=_focal(audit),
        unit=_unit(audit),
        findings=audit.findings,
        histogram=histogram(audit, width=400),
        axis=audit.card.unit,
        coverage="" if where is None else as_png(coverage_picture(where)),
        coverage_words="" if where is None else _coverage_words(where),
    )


def _percent(values: tuple[float, float, float] | None) -> tuple[float, float, float] | None:
    return None if values is None else (100 * values[0], 100 * values[1], 100 * values[2])


def _spread(values: tuple[float, float, float] | None) -> str:
    if values is None:
        return "-"
    low, middle, high = (format_number(value) for value in values)
    return middle if low == high else f"{middle} ({low} to {high})"


def _focal(audit: Audit) -> str:
    known = [(one.focal, one.fov) for one in audit.samples if one.focal is not None and one.fov is not None]
    if not known:
        return "not known"
    words = [_range([pair[place] for pair in known]) for place in (0, 1)]
    missing = len(audit.samples) - len(known)
    return f"{words[0]} px, {words[1]}°" + (f"; {missing} without" if missing else "")


def _range(values: Sequence[float]) -> str:
    ends = dict.fromkeys(format_number(value) for value in (min(values), max(values)))
    return " to ".join(ends)


def _unit(audit: Audit) -> str:
    if audit.card.kind is not LabelKind.METRIC_DEPTH:
        return "no unit to check"
    suspicious = any(finding.what == "unit" for finding in audit.findings)
    medians = [one.median for one in audit.samples if one.median is not None]
    if not medians:
        return "no label"
    middle = format_number(float(np.median(medians)))
    return f"suspicious: the middle is {middle} m" if suspicious else f"plausible: the middle is {middle} m"


def _coverage_words(where: np.ndarray) -> str:
    thirds = [100 * float(part.mean()) for part in np.array_split(where, 3)]
    top, middle, bottom = (f"{share:.0f} %" for share in thirds)
    return f"labels on {top} of the upper, {middle} of the middle and {bottom} of the lower third"
