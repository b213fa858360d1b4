"""Everything that a benchmark found, ready to be printed, written as JSON, or put on a page."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from depthmix import __version__
from depthmix.bench.compare import compare, wins
from depthmix.bench.corpus import Corpus
from depthmix.bench.results import MEAN, Results, summary
from depthmix.bench.settings import Settings
from depthmix.bench.tables import COUNTED

__all__ = ["Benchmark"]


@dataclass(frozen=True)
class Benchmark:
    """Hold the table, the comparisons and the facts of one benchmark.

    Args:
        facts: settings, corpus, block, versions, looks and problems.
        rows: the table; see `summary`.
        pairs: every recipe against every other; see `compare`.
        results: what both were made from.
    """

    facts: dict[str, Any]
    rows: list[dict[str, Any]]
    pairs: list[dict[str, Any]]
    results: Results

    @classmethod
    def of(
        cls,
        results: Results,
        settings: Settings,
        corpus: Corpus,
        on: str,
        looks: Mapping[str, Any],
        problems: Sequence[str],
    ) -> "Benchmark":
        """Make table and comparisons."""
        facts: dict[str, Any] = {
            "settings": asdict(settings),
            "corpus": {"sha256": corpus.sha256, "images": corpus.images},
            "block": on,
            "versions": {
                "depthmix": __version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
            "looks": {name: looks[name] for name in results.recipes if name in looks},
            "problems": list(problems),
            "cpu_seconds": results.cpu_seconds,
        }
        return cls(facts, list(summary(results)), list(compare(results)), results)

    def plain(self) -> dict[str, Any]:
        """Return all of it as plain values, the learning curves included."""
        return {**self.facts, "rows": self.rows, "pairs": self.pairs, "curves": self.results.curves}

    def wins(self) -> dict[str, list[tuple[int, int]]]:
        """Count wins and losses of every recipe in the counted columns, on the mean of the families."""
        columns = [wins(self.results.recipes, self.pairs, MEAN, kind, metric) for metric, kind in COUNTED]
        return {recipe: [column[recipe] for column in columns] for recipe in self.results.recipes}

    def wins_text(self) -> str:
        """Write wins and losses as a Markdown table."""
        heads = [f"{metric}, {alignment}" for metric, alignment in COUNTED]
        lines = [
            "others beaten / others that beat it, by paired 95 % intervals (mean of the families)",
            "",
            f"| recipe | {' | '.join(heads)} |",
            "|---|" + "---|" * len(heads),
        ]
        for recipe, counts in self.wins().items():
            cells = [f"{won} / {lost}" for won, lost in counts]
            lines.append(f"| {recipe} | {' | '.join(cells)} |")
        return "\n".join(lines)
