"""Which terms the labels of a training came under, the most restrictive first."""

import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["by_strictness", "hub_licence"]

# The first pattern that a licence's words hold decides; what nothing is known about counts as strictest.
RANKS: Final = (
    r"none|no licence|not found|does not state|states none|that of|those of",
    r"no redistribution|academic|research|education|terms of",
    r"\bNC\b|non-?commercial",
    r"\bSA\b|\bND\b|share ?alike|\bGPL\b",
    r"\bCC[ -]BY\b",
    r"\bMIT\b|\bApache\b|\bBSD\b|\bCC0\b|public domain",
)
HUB: Final = {
    **{f"CC BY{kind} {version}": f"cc-by{kind.lower()}-{version}"
       for kind in ("", "-SA", "-NC", "-ND", "-NC-SA", "-NC-ND") for version in ("3.0", "4.0")},
    **{"MIT": "mit", "Apache-2.0": "apache-2.0", "CC0 1.0": "cc0-1.0"},
}  # fmt: skip


def by_strictness(sources: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return name and licence of each source, the most restrictive first.

    Convention: read from the words of the licence alone; sources without one come first.

    Args:
        sources: label cards by name.
    """
    stated = [(name, str(card.get("licence", ""))) for name, card in sources.items()]
    return sorted(stated, key=lambda one: (_rank(one[1]), one[0]))


def hub_licence(sources: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return the identifier that the hub has for the one licence of all sources; None where they differ."""
    stated = {str(card.get("licence", "")) for card in sources.values()}
    return HUB.get(stated.pop()) if len(stated) == 1 else None


def _rank(licence: str) -> int:
    found = [rank for rank, words in enumerate(RANKS) if re.search(words, licence, re.IGNORECASE)]
    return found[0] if found else 0
