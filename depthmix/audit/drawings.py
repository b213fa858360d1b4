"""Pictures of what many samples of a source have in common: which depths, and where labels lie."""

from typing import Final

import numpy as np
from jaxtyping import Float64, UInt8
from markupsafe import Markup

from depthmix.audit.measures import BINS
from depthmix.audit.run import Audit

__all__ = ["coverage", "coverage_picture", "histogram"]

COLOURS: Final = "cividis"


def histogram(audit: Audit, width: int = 720) -> Markup | None:
    """Draw the shares of the valid pixels over the logarithm of depth; None for labels that are no depth.

    Args:
        audit: its samples are counted.
        width: of the picture in pixels at which its numbers are of the usual size.
    """
    counted = [one.histogram for one in audit.samples if one.histogram is not None]
    if not counted:
        return None
    # Each sample weighs the same, whatever its number of pixels.
    shares = np.mean([np.array(counts) / max(1, sum(counts)) for counts in counted], axis=0)
    used = np.flatnonzero(shares)
    if not used.size:
        return None
    first, last = int(used[0]), int(used[-1]) + 1
    step, most_ticks = (width - 20) / (last - first), width // 80
    bars = [
        f'<rect x="{10 + step * place:.1f}" y="{110 - 100 * share / shares.max():.1f}" '
        f'width="{max(step - 1, 0.5):.1f}" height="{100 * share / shares.max():.1f}"/>'
        for place, share in enumerate(shares[first:last])
    ]
    ticks = [
        f'<text x="{10 + step * (place - first):.1f}" y="126" text-anchor="middle">{BINS[place]:.3g}</text>'
        for place in range(first, last + 1)
        if (place - first) % max(1, -(-(last - first) // most_ticks)) == 0
    ]
    unit = f" {audit.card.unit}" if audit.card.unit else ""
    most = int(shares.argmax())
    label = (
        f"histogram of depth of {audit.name}: from {BINS[first]:.3g} to {BINS[last]:.3g}{unit}, "
        f"most between {BINS[most]:.3g} and {BINS[most + 1]:.3g}{unit}"
    )
    # Numbers at the ends reach beyond the outer bars.
    frame = '<svg class="bars" viewBox="-20 0 {} 132" role="img" aria-label="{}">{}</svg>'
    return Markup(frame).format(width + 40, label, Markup("".join(bars + ticks)))


def coverage(audit: Audit) -> Float64[np.ndarray, "r c"] | None:
    """Return the share of samples that have a label at each place of the picture; None without any label."""
    maps = [one.coverage for one in audit.samples]
    if not maps or not any(one.valid for one in audit.samples):
        return None
    return np.asarray(np.mean(maps, axis=0, dtype=np.float64))


def coverage_picture(shares: Float64[np.ndarray, "r c"]) -> UInt8[np.ndarray, "h w 3"]:
    """Colour the map from dark blue (never a label) to yellow (always one), each part 8 pixels wide."""
    from depthmix.plot.colour import Scale

    return np.asarray(Scale(0, 1, colours=COLOURS).rgb(shares).repeat(8, 0).repeat(8, 1))
