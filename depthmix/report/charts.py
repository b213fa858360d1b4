"""Line charts as inline SVG: colours from the page's style, every line also told apart by its dashes."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
from markupsafe import Markup, escape

from depthmix.plot.figures import format_number
from depthmix.report.curves import Curve

__all__ = ["Chart", "line_chart", "run_charts"]

WIDTH, HEIGHT = 420, 200
LEFT, RIGHT, TOP, BOTTOM = 58, 8, 8, 24
POINTS: Final = 160  # a longer curve is averaged down: more points than pixels only make the page large
ALL_POINTS: Final = 50_000  # of all charts of a page, at most 12 bytes each
DASHES: Final = ("", "6 3", "2 2", "8 3 2 3", "1 4", "12 4")
STYLES: Final = len(DASHES)
DOT: Final = 4  # radius of a value that has no neighbour, half of it the width of its line
LETTERS: Final = 11  # height of a line of text
VALIDATION: Final = ("abs_rel", "abs_rel_aligned", "delta1_aligned", "ssi", "planarity_angle", "normal_angle")


@dataclass(frozen=True, slots=True)
class Chart:
    """Hold one chart: heading, picture and a legend of (style number, dashes, name, last value)."""

    title: str
    svg: Markup
    legend: list[tuple[int, str, str, str]]


def run_charts(curves: Mapping[str, Curve]) -> list[Chart]:
    """Draw the charts of a run: losses, terms by source, gradients, weights, validation errors."""
    points = max(16, min(POINTS, ALL_POINTS // max(1, len(curves))))
    terms = _below(curves, "train/terms/")
    charts = _validation(curves, points)
    if "train/loss" in curves:
        charts.append(line_chart("total loss", {"all terms": curves["train/loss"]}, points))
    for term, curve in terms.items():
        by_source = _below(curves, f"train/sources/{term}/")
        charts.append(line_chart(f"loss {term}", {"all sources": curve, **by_source}, points))
    gradients = _below(curves, "train/gradients/")
    if gradients:
        charts.append(line_chart("gradient norm at the prediction", gradients, points))
    weights = _below(curves, "train/weights/")
    if weights:
        charts.append(line_chart("weight of each term as the balance chose it", weights, points))
    shares = _below(curves, "train/pulls/")
    if shares:
        charts.append(line_chart("share of the gradient by source", shares, points))
    return charts


def line_chart(title: str, curves: Mapping[str, Curve], points: int = POINTS) -> Chart:
    """Draw curves over the training step; log scale where they span more than a factor of 20.

    Args:
        title: what the numbers are.
        curves: the lines by name; gaps stay gaps.
        points: a longer curve is averaged down to so many.
    """
    reduced = {name: _reduced(curve, points) for name, curve in curves.items()}
    known = [value for _, values in reduced.values() for value in values if value is not None]
    if not known:
        return Chart(title, Markup("<p class=note>No finite value was logged.</p>"), [])
    steps = [step for curve in curves.values() for step in curve.steps]
    axis = _Axis.over(known)
    frame = _Frame.over(steps, axis)
    lines = [_line(frame, i, *points) for i, points in enumerate(reduced.values())]
    lines += _labels(frame, reduced)
    spoken = "; ".join(f"{name} ends at {_last(curve)}" for name, curve in curves.items())
    label = escape(f"{title} over training steps: {spoken}")
    svg = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>').format(
        WIDTH, HEIGHT, label, frame.grid(), Markup("").join(lines)
    )
    legend = [
        (i % STYLES, DASHES[i % STYLES], name, _last(curve)) for i, (name, curve) in enumerate(curves.items())
    ]
    return Chart(title + (", log scale" if axis.log else ""), svg, legend)


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    log: bool
    ticks: list[float]

    @classmethod
    def over(cls, values: Sequence[float]) -> "_Axis":
        """Choose an axis for the values: log beyond a factor of 20, else linear between round numbers."""
        low, high = min(values), max(values)
        if low > 0 and high / low > 20:
            return cls(low, high, True, np.geomspace(low, high, 4).tolist())
        low = 0.0 if 0 < low < 0.5 * high else low
        # A curve that does not move gets room around it, and steps that float64 can tell apart.
        largest = max(abs(low), abs(high))
        span = max(high - low, (0.2 if low == high else 1e-3) * largest) or 1.0
        step = _round_step(max(span / 3, sys.float_info.min))  # a third of the smallest number is 0
        first, last = math.floor(low / step), math.ceil(high / step)
        ticks = [step * number for number in range(first, max(last, first + 1) + 1)]
        return cls(ticks[0], ticks[-1], False, ticks)

    def place(self, value: float) -> float:
        """Return the height of a value: 0 at the lower end, 1 at the upper."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        return ((math.log(value) if self.log else value) - low) / (high - low)


def _round_step(step: float) -> float:
    """Return the next larger 1, 2 or 5 times a power of ten."""
    power: float = 10.0 ** math.floor(math.log10(step))
    return min(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


@dataclass(frozen=True, slots=True)
class _Frame:
    first: int
    last: int
    axis: _Axis
    marks: list[tuple[int, str]]  # steps that are named below the frame, and where their text is anchored

    @classmethod
    def over(cls, steps: Sequence[int], axis: _Axis) -> "_Frame":
        """Reach from the first step to the last; a single one stands in the middle."""
        first, last = min(steps), max(steps)
        if first == last:
            return cls(first - 1, last + 1, axis, [(first, "middle")])
        return cls(first, last, axis, [(first, "start"), (last, "end")])

    def x(self, step: float) -> float:
        return LEFT + (step - self.first) / (self.last - self.first) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return TOP + (1 - self.axis.place(value)) * (HEIGHT - TOP - BOTTOM)

    def grid(self) -> Markup:
        parts = []
        for tick in self.axis.ticks:
            y = self.y(tick)
            parts.append(
                f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{format_number(tick)}</text>'
            )
        for step, anchor in self.marks:
            parts.append(
                f'<text x="{self.x(step):.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">step {step}</text>'
            )
        return Markup("".join(parts))  # numbers only


def _line(frame: _Frame, number: int, steps: list[float], values: list[float | None]) -> Markup:
    """Draw one curve as a path that starts anew after each gap; a lonely value becomes a dot."""
    style, dashes = number % STYLES, DASHES[number % STYLES]
    path, dots = [], []
    for known, stretch in groupby(zip(steps, values, strict=True), lambda point: point[1] is not None):
        places = [f"{frame.x(step):.1f} {frame.y(value):.1f}" for step, value in stretch if value is not None]
        if known and len(places) == 1:
            x, y = places[0].split()
            dots.append(f'<circle class="dot s{style}" cx="{x}" cy="{y}" r="2"/>')
        elif known:
            path.append("M" + "L".join(places))
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    line = f'<path class="line s{style}"{dashed} d="{"".join(path)}"/>' if path else ""
    return Markup(line + "".join(dots))  # numbers only


def _labels(frame: _Frame, curves: Mapping[str, tuple[list[float], list[float | None]]]) -> list[Markup]:
    """Write the value beside each curve that is one dot: its dashes, which tell lines apart, do not show."""
    dots = []
    for steps, values in curves.values():
        found = [(step, value) for step, value in zip(steps, values, strict=True) if value is not None]
        if len(found) == 1:
            dots.append((frame.y(found[0][1]), frame.x(found[0][0]), format_number(found[0][1])))
    dots.sort()
    below, texts = float(TOP), []
    for y, x, text in dots:
        place = max(y + 4, below + LETTERS)
        below = place
        side, anchor = (2 * DOT, "start") if x <= (LEFT + WIDTH - RIGHT) / 2 else (-2 * DOT, "end")
        texts.append(f'<text x="{x + side:.1f}" y="{place:.1f}" text-anchor="{anchor}">{text}</text>')
    return [Markup("".join(texts))] if below <= HEIGHT - BOTTOM + 4 else []  # numbers only; more have no room


def _reduced(curve: Curve, points: int) -> tuple[list[float], list[float | None]]:
    """Average the curve down to at most so many points; a stretch without a finite value is a gap."""
    stretches = np.array_split(np.arange(len(curve.steps)), min(points, len(curve.steps)))
    steps, values = [], []
    for stretch in stretches:
        steps.append(float(np.mean([curve.steps[i] for i in stretch])))
        known = [value for i in stretch if (value := curve.values[i]) is not None]
        values.append(float(np.mean(known)) if known else None)
    return steps, values


def _last(curve: Curve) -> str:
    known = [value for value in curve.values if value is not None]
    return format_number(known[-1]) if known else "no value"


def _below(curves: Mapping[str, Curve], prefix: str) -> dict[str, Curve]:
    return {name.removeprefix(prefix): curve for name, curve in curves.items() if name.startswith(prefix)}


def _validation(curves: Mapping[str, Curve], points: int) -> list[Chart]:
    """Draw the main validation measures, each with one line per set."""
    measures: dict[str, dict[str, Curve]] = {}
    for name, curve in _below(curves, "val/").items():
        group, _, measure = name.rpartition("/")
        measures.setdefault(measure, {})[group or "all sets"] = curve
    return [
        line_chart(f"validation {name}", measures[name], points) for name in VALIDATION if name in measures
    ]
