"""A term of the objective: one loss, its weight and whom it learns from; checked against the mix."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from depthmix.errors import ConfigError
from depthmix.losses.base import DepthLoss, Need
from depthmix.losses.fattening import EdgeMask
from depthmix.prediction import HEADS, Head
from depthmix.sample import LabelKind, Quality
from depthmix.sources.base import SourceCard

__all__ = ["Term", "check_terms", "head_problems", "qualities_of", "term_problems"]

_KIND_TEXT = {
    LabelKind.NONE: "no depth at all",
    LabelKind.ORDINAL: "pairs of points, which is nearer",
    LabelKind.AFFINE_DISPARITY: "inverse depth, unknown scale and shift",
    LabelKind.SCALED_DEPTH: "depth up to one unknown factor",
    LabelKind.METRIC_DEPTH: "depth in metres",
}


# Without depth, the regions of an image are the label: planes, and with them what is sky.
_LABEL_ITSELF: dict[LabelKind, set[Need]] = {LabelKind.NONE: {"planes", "sky"}, LabelKind.ORDINAL: {"pairs"}}


@dataclass(frozen=True, eq=False)
class Term:
    """Name one loss, its weight and, if it shall not learn from all rows that can bear it, from which.

    Args:
        loss: the loss; it routes itself by the kinds of label that it accepts.
        weight: share of the term; see `Objective` for what it means under each balance.
        tiers: qualities to learn from: weak, low, middle, high; None for all.
        sources: names of the sources to learn from; None for all.
        start: optimiser step up to which the weight is 0.
        end: step from which on the weight is whole; from `start` to there it grows linearly. None for a
            jump at `start`.
        edges: pixels near steps of the label that the term does not read; None reads all. A row that is left
            without supervision does not take part in the term.

    Raises:
        ConfigError: a negative weight or step, an end before the start, or a tier that does not exist.
    """

    loss: DepthLoss
    weight: float = 1.0
    tiers: list[str] | None = None
    sources: list[str] | None = None
    start: int = 0
    end: int | None = None
    edges: EdgeMask | None = None

    def __post_init__(self) -> None:
        for field in ("weight", "start", "end"):
            value = getattr(self, field)
            if value is not None and not 0 <= value < float("inf"):
                raise ConfigError(f"must be finite and not negative, got {value}", field=field)
        if self.end is not None and self.end < self.start:
            raise ConfigError(f"must not lie before `start` ({self.start}), got {self.end}", field="end")
        masked = self.edges.tiers if self.edges else None
        for field, tiers in (("tiers", self.tiers), ("edges.tiers", masked)):
            for tier in tiers or ():
                must_be_known(tier.lower(), [quality.name.lower() for quality in Quality], field)

    def weight_at(self, step: int) -> float:
        """Return the weight at an optimiser step, ramp included."""
        end = self.start if self.end is None else self.end
        if step >= end:
            return self.weight
        return 0.0 if step <= self.start else self.weight * (step - self.start) / (end - self.start)

    @property
    def qualities(self) -> list[Quality]:
        """The tiers as `Quality`."""
        return qualities_of(self.tiers)


def qualities_of(tiers: Sequence[str] | None) -> list[Quality]:
    """Return tiers as `Quality`; None stands for all."""
    return list(Quality) if tiers is None else [Quality[tier.upper()] for tier in tiers]


def check_terms(terms: Mapping[str, Term], cards: Mapping[str, SourceCard]) -> None:
    """Refuse terms that the labels of a mix cannot bear.

    Args:
        terms: the terms by name.
        cards: the card of every training source by name.

    Raises:
        ConfigError: lists every problem that `term_problems` finds.
    """
    problems = term_problems(terms, cards)
    if problems:
        raise ConfigError("\n".join(problems))


def term_problems(terms: Mapping[str, Term], cards: Mapping[str, SourceCard]) -> list[str]:
    """List, in one line each, what does not fit between terms and sources."""
    problems = [line for name, term in terms.items() for line in _problems_of(name, term, cards)]
    for source, card in cards.items():
        if not any(_learns(term, source, card) for term in terms.values()):
            reason = f"no term learns from it ({_describe(card)})"
            problems.append(f"sources.{source}: {reason}; add a term that can, or leave the source out")
    return problems


def head_problems(terms: Mapping[str, Term], heads: Sequence[Head]) -> list[str]:
    """List, in one line each, heads that a term reads but the network lacks, and heads that none trains.

    Args:
        terms: the terms by name.
        heads: channels that the network predicts besides depth.
    """
    read = {head for term in terms.values() for head in _heads_of(term)}
    wanted = ", ".join([*heads, *(head for head in HEADS if head in read and head not in heads)])
    problems = []
    for name, term in terms.items():
        for head in _heads_of(term):
            if head not in heads:
                reason = f"{type(term.loss).__name__} needs the head {head!r}, which the network lacks"
                problems.append(f"terms.{name}: {reason}; set `model.heads: [{wanted}]`, or drop the term")
    trained = {head for term in terms.values() if term.weight > 0 for head in _heads_of(term)}
    for head in heads:
        if head not in trained:
            reason = f"no term trains the head {head!r}"
            problems.append(f"model.heads: {reason}; add a term whose loss does, or leave the head out")
    return problems


def learns_metres(terms: Mapping[str, Term], cards: Mapping[str, SourceCard]) -> bool:
    """Tell whether some term compares metres with the metric label of some source."""
    metric = {name: card for name, card in cards.items() if card.kind is LabelKind.METRIC_DEPTH}
    bound = [
        term
        for term in terms.values()
        # A log loss whose variance focus is 1 leaves the scale free.
        if term.loss.accepts == {LabelKind.METRIC_DEPTH} and getattr(term.loss, "variance_focus", 0) < 1
    ]
    return any(_learns(term, name, card) for term in bound for name, card in metric.items())


def _problems_of(name: str, term: Term, cards: Mapping[str, SourceCard]) -> list[str]:
    loss, field = type(term.loss).__name__, f"terms.{name}"
    lists = {"sources": term.sources, "edges.sources": term.edges.sources if term.edges else None}
    unknown = [(where, name) for where, names in lists.items() for name in names or () if name not in cards]
    if unknown:
        return [f"{field}.{where}: {_not_one_of(name, list(cards))}" for where, name in unknown]
    named = [
        f"{field}: {loss} {_wants(term)}, but source {source!r} gives {_describe(cards[source])}; "
        f"leave it out of `sources`" + _alternative(cards[source])
        for source in term.sources or ()
        if _refusal(term, source, cards[source]) == "label"
    ]
    if named or any(_refusal(term, source, card) is None for source, card in cards.items()):
        return named
    chosen = [s for s, card in cards.items() if _refusal(term, s, card) == "label"]
    found = ", ".join(f"{s!r} gives {_describe(cards[s])}" for s in chosen) or f"tiers are {term.tiers}"
    return [f"{field}: {loss} {_wants(term)}, but no source can bear it: {found}; drop the term"]


def _refusal(term: Term, source: str, card: SourceCard) -> Literal["choice", "label"] | None:
    """Say why a source does not take part in a term: the user left it out, or its label cannot bear it."""
    if (term.sources is not None and source not in term.sources) or card.quality not in term.qualities:
        return "choice"
    fits = card.kind in term.loss.accepts and not ("dense" in term.loss.needs and card.density == "sparse")
    return None if fits else "label"


def _learns(term: Term, source: str, card: SourceCard) -> bool:
    # A source may have planes, pairs or sky besides its label, its card does not say: a term that needs them
    # is by itself no use of it, unless they are the label; nor is one of a camera alone.
    sure = term.loss.needs & {"planes", "pairs", "sky", "focal"} <= _LABEL_ITSELF.get(card.kind, set())
    return term.weight > 0 and sure and _refusal(term, source, card) is None


def _heads_of(term: Term) -> list[Head]:
    return [head for head in HEADS if head in term.loss.needs]


def _wants(term: Term) -> str:
    if LabelKind.NONE in term.loss.accepts:
        return "needs " + " and ".join(sorted(term.loss.needs) or ["a label"])
    if term.loss.accepts == {LabelKind.ORDINAL}:
        return "needs ordinal pairs"
    metric = term.loss.accepts == frozenset({LabelKind.METRIC_DEPTH})
    dense = "dense " if "dense" in term.loss.needs else ""
    return f"needs {dense}metric depth" if metric else f"needs {dense}depth"


def _describe(card: SourceCard) -> str:
    density = "sparse " if card.density == "sparse" else ""
    return f"{density}{card.kind.name} ({_KIND_TEXT[card.kind]})"


def _alternative(card: SourceCard) -> str:
    return " or use ScaleShiftInvariantLoss" if card.kind is LabelKind.AFFINE_DISPARITY else ""


def must_be_known(name: str, choices: Sequence[str], field: str) -> None:
    """Refuse a name that is not among the choices.

    Raises:
        ConfigError: names the nearest choice.
    """
    if name not in choices:
        raise ConfigError(_not_one_of(name, choices), field=field)


def _not_one_of(name: str, choices: Sequence[str]) -> str:
    close = get_close_matches(name, choices, 1)
    guess = f"; did you mean {close[0]!r}?" if close else ""
    return f"{name!r} is not one of {', '.join(choices) or '(none)'}{guess}"
