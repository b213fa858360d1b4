"""What the numbers of many samples say about a source, in words: one rule a function."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from depthmix.audit.edges import REACH
from depthmix.audit.measures import Measures
from depthmix.audit.pairs import PairMeasures
from depthmix.sample import DEPTH_KINDS, LabelKind
from depthmix.sources.base import SourceCard

__all__ = ["LEVELS", "Finding", "find_all"]

Level = Literal["problem", "warning", "note"]
Found = Iterator["Finding"]
LEVELS: Final = ("problem", "warning", "note")

NEAREST_M, FARTHEST_M = 0.05, 200.0  # medians outside are no pictures that people or cars take
FEWEST: Final = 5  # samples that a statement about the whole source needs


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was noticed.

    Args:
        level: a problem makes labels wrong or evaluation unfair; a warning may; a note is good to know.
        what: short name of the rule.
        text: what was found, with numbers, and what it usually means.
        keys: samples that show it best, at most five.
    """

    level: Level
    what: str
    text: str
    keys: tuple[str, ...] = ()


def find_all(card: SourceCard, samples: Sequence[Measures], pairs: Sequence[PairMeasures]) -> list[Finding]:
    """Apply every rule."""
    found = [finding for rule in _RULES for finding in rule(card, samples)] if samples else []
    return [*found, *_pairs(pairs)]


def _unit(card: SourceCard, samples: Sequence[Measures]) -> Found:
    medians = [one.median for one in samples if one.median is not None]
    if card.kind is not LabelKind.METRIC_DEPTH or not medians:
        return
    median = float(np.median(medians))
    if median > FARTHEST_M:
        text = f"the median depth is {median:g} m: are these millimetres ({median / 1000:g} m then)?"
        yield Finding("problem", "unit", text)
    elif median < NEAREST_M:
        largest = max(one.high for one in samples if one.high is not None)
        meaning = "a map scaled to 0..1" if largest <= 1 else "metres divided once too often"
        yield Finding("problem", "unit", f"the median depth is {median:g} m: is this {meaning}?")


def _sentinels(card: SourceCard, samples: Sequence[Measures]) -> Found:
    # A laser or a matcher never gives one and the same extreme number for a twentieth of a picture.
    for name, share, value in (("largest", "at_high", "high"), ("smallest", "at_low", "low")):
        held = [one for one in samples if (getattr(one, share) or 0) > 0.05 and (one.distinct or 0) > 16]
        if len(held) * 4 < len(samples) or not held:
            continue
        worst = max(held, key=lambda one: getattr(one, share))
        text = (
            f"in {len(held)} of {len(samples)} samples more than 5 % of valid pixels hold the {name} value; "
            f"in {worst.key} {getattr(worst, share):.0%} hold {getattr(worst, value):g}: "
            "is that a code for sky, far or invalid?"
        )
        level: Level = "warning" if card.kind in DEPTH_KINDS else "note"
        yield Finding(level, "sentinel", text, _keys(held))


def _steps(card: SourceCard, samples: Sequence[Measures]) -> Found:
    # A depth camera may have few values, too, but they lie closer together near by: 8 bits do not hold them.
    few = [
        one
        for one in samples
        if one.distinct is not None and one.distinct <= 256 and (one.codes or 0) <= 256 and one.valid > 0.05
    ]
    if card.kind is LabelKind.METRIC_DEPTH and len(few) * 2 > len(samples):
        most = max(one.distinct or 0 for one in few)
        text = f"labels have at most {most} distinct values: were they saved with 8 bits?"
        yield Finding("warning", "few values", text, _keys(few))
    flat = [one for one in samples if one.distinct == 1 and one.valid > 0]
    if flat:
        yield Finding("problem", "flat", f"{len(flat)} labels hold one single value", _keys(flat))


def _density(card: SourceCard, samples: Sequence[Measures]) -> Found:
    share = float(np.median([one.valid for one in samples]))
    if (card.density == "dense" and share < 0.3) or (card.density == "sparse" and share > 0.5):
        text = f"said to be {card.density}, but the median share of valid pixels is {share:.0%}"
        yield Finding("warning", "density", text)
    thin = [one for one in samples if 0 < one.valid < 0.001]
    if thin:
        text = f"{len(thin)} samples have a label on less than 0.1 % of their pixels"
        yield Finding("warning", "density", text, _keys(thin))


def _upright(card: SourceCard, samples: Sequence[Measures]) -> Found:
    known = [one.downwards for one in samples if one.downwards is not None]
    if len(known) < FEWEST:
        return
    share = float(np.mean(np.array(known) < -0.2))
    if share > 0.6:
        what = "larger values lie lower" if card.kind in DEPTH_KINDS else "smaller values lie lower"
        text = (
            f"in {share:.0%} of the samples what is lower in the picture is farther ({what}): "
            "are pictures upside down, or was depth taken for inverse depth or the other way round?"
        )
        yield Finding("problem", "order", text)
    low = [one for one in samples if one.sky_height is not None and one.sky > 0.02 and one.sky_height > 0.6]
    if len(low) * 4 > len(samples):
        yield Finding("warning", "sky", f"{len(low)} samples have their sky in the lower part", _keys(low))


def _camera(card: SourceCard, samples: Sequence[Measures]) -> Found:
    without = [one for one in samples if one.fov is None]
    if without and len(without) < len(samples):
        text = f"{len(without)} of {len(samples)} samples have no camera"
        yield Finding("note", "camera", text, _keys(without))
    odd = [one for one in samples if one.fov is not None and not 15 <= one.fov <= 150]
    if odd:
        views = sorted(one.fov for one in odd if one.fov is not None)
        ends = dict.fromkeys(f"{view:.0f}" for view in (views[0], views[-1]))
        text = (
            f"{len(odd)} of {len(samples)} cameras see {' to '.join(ends)} degrees across: "
            "do they belong to pictures of this size?"
        )
        yield Finding("problem", "camera", text, _keys(odd))
    squeezed = [one for one in samples if one.aspect is not None and not 0.9 <= one.aspect <= 1.1]
    if squeezed:
        text = f"{len(squeezed)} cameras have fx and fy that differ by more than 10 %"
        yield Finding("warning", "camera", text, _keys(squeezed))
    off = [one for one in samples if one.off_centre is not None and one.off_centre > 0.15]
    if off:
        text = f"{len(off)} principal points are more than 15 % off the middle: were pictures cropped?"
        yield Finding("warning", "camera", text, _keys(off))


def _edges(card: SourceCard, samples: Sequence[Measures]) -> Found:
    scored = [one for one in samples if one.scores is not None]
    if len(scored) < FEWEST:
        return
    mean = np.mean(np.array([one.scores for one in scored], np.float64), axis=0)
    row, column = (int(place) for place in np.unravel_index(mean.argmax(), mean.shape))
    here, best = float(mean[REACH, REACH]), float(mean[row, column])
    far = max(abs(row - REACH), abs(column - REACH))
    if far > 1 and best > 0.6 and best - here > 0.05:
        stride = float(np.mean([one.stride for one in scored]))
        down, right = ((place - REACH) * stride for place in (row, column))
        text = (
            f"the label's steps fit image edges best {right:+.0f} px to the right and {down:+.0f} px down "
            f"(score {best:.2f}, {here:.2f} in place): does the label belong to this picture and size?"
        )
        yield Finding("warning", "edges", text)
    elif best < 0.55:
        text = f"the label's steps lie on image edges hardly more often than by chance (score {best:.2f})"
        yield Finding("warning", "edges", text)


def _planes(card: SourceCard, samples: Sequence[Measures]) -> Found:
    known = [one for one in samples if one.plane_residual is not None]
    bent = [one for one in known if (one.plane_residual or 0) > 0.05]
    if bent and len(bent) * 4 > len(known):
        text = f"in {len(bent)} of {len(known)} samples the label leaves its own planes by more than 5 %"
        yield Finding("warning", "planes", text, _keys(bent))


def _pairs(pairs: Sequence[PairMeasures]) -> Found:
    if not pairs:
        return
    consistent = float(np.median([one.consistent for one in pairs]))
    if consistent < 0.2:
        text = f"only {consistent:.0%} of the pixels match both ways: are the pairs rectified and in order?"
        yield Finding("warning", "pairs", text)
    slopes = [one.slope for one in pairs if one.slope is not None]
    slope = float(np.median(slopes)) if slopes else 1.0
    if abs(np.log(max(slope, 1e-6))) > 0.1:
        text = f"a matcher finds {slope:.2f} times the label's disparity: is the scale of the encoding right?"
        yield Finding("problem", "pairs", text)
    biases = [one.bias for one in pairs if one.bias is not None]
    bias = float(np.median(biases)) if biases else 0.0
    if abs(bias) > 2 and abs(np.log(max(slope, 1e-6))) <= 0.1:
        text = f"labels differ from a matcher by {bias:+.1f} px: is the offset of the principal points right?"
        yield Finding("warning", "pairs", text)


def _keys(samples: Sequence[Measures]) -> tuple[str, ...]:
    return tuple(one.key for one in samples[:5])


_RULES: Final[tuple[Callable[[SourceCard, Sequence[Measures]], Found], ...]] = (
    _unit, _sentinels, _steps, _density, _upright, _camera, _edges, _planes,
)  # fmt: skip
