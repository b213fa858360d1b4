"""Show audits as one self-contained page: findings, numbers, depth histogram, samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from markupsafe import Markup

from depthmix.audit.drawings import histogram
from depthmix.audit.run import WORDS, Audit, spread_out
from depthmix.errors import DepthmixError
from depthmix.plot.figures import format_number
from depthmix.report import pages
from depthmix.report.strips import Picture, Strip, encode_strips, strip_of
from depthmix.sources.base import Source

__all__ = ["write_page"]

SHOWN: Final = 4


@dataclass(frozen=True, slots=True)
class _Shown:
    """One audit as the page shows it."""

    audit: Audit
    numbers: list[tuple[str, list[str]]]
    histogram: Markup | None
    strips: list[tuple[Strip, list[Picture]]]


def write_page(out: Path, audits: Sequence[tuple[Source, Audit]]) -> Path:
    """Write the page and return its path.

    Args:
        out: the file.
        audits: sources and what was found in them.

    Raises:
        StorageError: the page cannot be written.
    """
    sources = [_shown(source, audit) for source, audit in audits]
    text = pages.fill_template(
        "depthmix.audit",
        "page.html.jinja",
        title=", ".join(audit.name for _, audit in audits),
        problems=sum(finding.level == "problem" for _, audit in audits for finding in audit.findings),
        sources=sources,
    )
    return pages.write_page(out, text)


def _shown(source: Source, audit: Audit) -> _Shown:
    strips = _strips(source, audit)
    numbers = [
        (WORDS[name], [format_number(value) for value in values]) for name, values in audit.summary().items()
    ]
    pictures = encode_strips(strips, budget=1_000_000)
    drawn = list(zip(strips, pictures, strict=True))
    return _Shown(audit, numbers, histogram(audit), drawn)


def _strips(source: Source, audit: Audit) -> list[Strip]:
    strips = []
    for key in _shown_keys(audit):
        try:
            strips.append(strip_of(source.read(key)))
        except DepthmixError:
            continue  # it was readable a moment ago; what cannot be read is listed by the audit
    return strips


def _shown_keys(audit: Audit) -> list[str]:
    """Choose what the findings name, one sample each, worst first; fill up with samples spread over all."""
    read = {one.key for one in audit.samples}
    # Duplicates are named as "first = second".
    named = [finding.keys[0].split(" = ")[0] for finding in audit.findings if finding.keys]
    spread = spread_out([one.key for one in audit.samples], SHOWN)
    return list(dict.fromkeys([*(key for key in named if key in read), *spread]))[:SHOWN]
