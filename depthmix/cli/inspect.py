"""`depthmix inspect`: how good the labels of a raw data set or of prepared sets really are."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from depthmix.errors import ConfigError, visible

if TYPE_CHECKING:
    from depthmix.audit import Audit
    from depthmix.sources.base import Source

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("raw", type=Path, nargs="+", help="raw data (with --source), or prepared sets")
    parser.add_argument("--source", help="class name of the source that reads the raw data")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE",
                        help="an option of the source, as for prepare")  # fmt: skip
    parser.add_argument(
        "--options", type=Path, metavar="FILE", help="options of the source as YAML, as for prepare"
    )
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="PREPARED|SOURCE=RAW",
        help="set kept for evaluation, prepared or raw: pictures in both are a leak",
    )
    parser.add_argument("--limit", type=int, default=200, help="samples read of each source; 0 reads all")
    parser.add_argument("--workers", type=int, default=0, help="processes that read")
    parser.add_argument("--no-pairs", action="store_true", help="do not match stereo pairs again")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--page", type=Path, metavar="FILE.html", help="write a page with pictures, too")


def run(options: argparse.Namespace) -> int:
    """Print numbers and findings; exit code 1 if there is a problem among them."""
    from depthmix.audit import compare_audits

    for name in ("limit", "workers"):
        if getattr(options, name) < 0:
            raise ConfigError(f"must not be negative, got {getattr(options, name)}", field=f"--{name}")
    sources, evaluation = _sources(options), [one for stated in options.against for one in _kept(stated)]
    audited = [(source, _audit(source, options)) for source in sources]
    kept = [_audit(source, options) for source in evaluation]
    for number, (_, audit) in enumerate(audited):
        for _, other in audited[number + 1 :]:
            audit.add(compare_audits(audit, other, evaluation=False))
        for other in kept:
            audit.add(compare_audits(audit, other, evaluation=True))
    if options.json:
        print(json.dumps([audit.plain() for _, audit in audited], indent=1))
    else:
        print(visible("\n\n".join(_text(audit) for _, audit in audited), "\n"))
    if options.page:
        from depthmix.audit.page import write_page

        print(f"page: {write_page(options.page, audited)}", file=sys.stderr)
    return int(any(finding.level == "problem" for _, audit in audited for finding in audit.findings))


def _sources(options: argparse.Namespace) -> "list[Source]":
    from depthmix.cli.prepare import construct

    if options.source:
        return [construct(options.source, raw, options.option, file=options.options) for raw in options.raw]
    if options.option or options.options:
        raise ConfigError("only a source has options; name it by --source", field="--option")
    return [source for root in options.raw for source in _prepared(root)]


def _kept(stated: str) -> "list[Source]":
    from depthmix.cli.prepare import construct

    name, equals, raw = stated.partition("=")
    # A folder may have a sign of equality in its name.
    if equals and not Path(stated).exists():
        return [construct(name, Path(raw), [])]
    return _prepared(Path(stated))


def _prepared(root: Path) -> "list[Source]":
    from depthmix.audit.run import PreparedSet
    from depthmix.errors import StorageError
    from depthmix.store.local import find_sets

    sets = find_sets(root)
    if not sets:
        hint = "for raw data say which source reads it: --source NAME, see `depthmix sources list`"
        raise StorageError("no prepared set here (no index.json)", file=root, hint=hint)
    return [PreparedSet(folder) for folder in sets]


def _audit(source: "Source", options: argparse.Namespace) -> "Audit":
    from depthmix.audit import audit_source
    from depthmix.cli.progress import bar

    with bar(f"inspect {source.name}") as update:
        return audit_source(
            source,
            limit=options.limit,
            workers=options.workers,
            pairs=not options.no_pairs,
            progress=update,
        )


def _text(audit: "Audit") -> str:
    """Say numbers and findings of one source in lines."""
    card, read = audit.card, len(audit.samples) + len(audit.failures)
    from depthmix.audit.run import WORDS

    lines = [
        f"{audit.name}: {card.quality.name} {card.kind.name}, {read} of {audit.count} samples read",
        f"  licence: {card.licence}",
        f"  {'':44} {'10 %':>9} {'median':>9} {'90 %':>9}",
    ]
    for name, values in audit.summary().items():
        lines.append(f"  {WORDS[name]:44} " + " ".join(f"{value:9.4g}" for value in values))
    for finding in audit.findings:
        lines.append(f"  {finding.level}: {finding.text}")
        lines += [f"    {key}" for key in finding.keys]
    return "\n".join(lines if audit.findings else [*lines, "  nothing was found to be wrong"])
