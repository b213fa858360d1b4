"""Draw the figures of docs/concepts.md as SVG: label cards, spaces, views, cameras.

Run `python docs/make_drawings.py` after a change; a test compares what it writes. The files carry their own
background and follow the colour scheme of the reader's system, so they can be read on light and dark pages.
"""

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

FOLDER = Path(__file__).parent / "images"
STYLE = """
:root { --back: #ffffff; --ink: #1b1f24; --soft: #57606a; --line: #8c959f; --box: #f1f4f8;
        --warm: #b3520b; --cool: #1f5fbf; --good: #1a7f37; }
@media (prefers-color-scheme: dark) {
  :root { --back: #1c2027; --ink: #e8eaed; --soft: #a9b1bb; --line: #727b86; --box: #282e38;
          --warm: #f0a35e; --cool: #7db3ff; --good: #63d083; } }
text { font-family: system-ui, "DejaVu Sans", sans-serif; font-size: 15px; fill: var(--ink); }
.soft { fill: var(--soft); font-size: 13px; } .bold { font-weight: 600; }
.warm { fill: var(--warm); } .cool { fill: var(--cool); } .good { fill: var(--good); }
.box { fill: var(--box); stroke: var(--line); } .empty { fill: none; stroke: var(--line); stroke-width: 1.5; }
.edge { stroke: var(--line); stroke-width: 1.5; fill: none; }
.ray { stroke: var(--cool); stroke-width: 1.5; fill: none; } .thick { stroke: var(--warm); stroke-width: 4; }
"""
ARROW = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
    'markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" style="fill: var(--line)"/></marker></defs>'
)


def text(x: float, y: float, words: str, classes: str = "", anchor: str = "start") -> str:
    """Return words at a point; anchor says which part of them lies there."""
    return f'<text x="{x:g}" y="{y:g}" class="{classes}" text-anchor="{anchor}">{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float) -> str:
    """Return a box with round corners."""
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8" class="box"/>'


def line(x0: float, y0: float, x1: float, y1: float, classes: str = "edge", tip: bool = False) -> str:
    """Return a line, with an arrow head at its end if `tip`."""
    end = ' marker-end="url(#tip)"' if tip else ""
    return f'<line x1="{x0:g}" y1="{y0:g}" x2="{x1:g}" y2="{y1:g}" class="{classes}"{end}/>'


def dot(x: float, y: float, classes: str, radius: float = 6) -> str:
    """Return a disc."""
    return f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" class="{classes}"/>'


def drawing(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    """Return the file: background, title for screen readers, parts."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">'
    )
    back = f'<rect width="{width}" height="{height}" rx="10" style="fill: var(--back)"/>'
    return "\n".join(
        [head, f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>", ARROW, back, *parts, "</svg>\n"]
    )


def label_card() -> str:
    """Draw the card of each family and the losses that it can bear."""
    families = [
        ("LiDAR, laser", "HIGH", "METRIC_DEPTH", "metres, sparse", "x-xxo"),
        ("calibrated stereo", "MIDDLE", "METRIC_DEPTH", "metres, noise like z²", "xxxxo"),
        ("web stereo", "LOW", "AFFINE_DISPARITY", "scale and shift unknown", "xx--o"),
        ("planar instances", "WEAK", "NONE", "no depth at all", "----x"),
    ]
    rows = [
        ("shape", "inverse depth up to scale and shift"),
        ("edges", "needs dense labels"),
        ("metres", "needs a camera"),
        ("surfaces", "needs a camera"),
        ("planes", "needs plane instances"),
    ]
    parts = []
    for column, (family, quality, kind, words, marks) in enumerate(families):
        x = 235 + column * 180
        parts += [box(x, 20, 168, 128), text(x + 84, 46, family, "bold", "middle")]
        parts += [
            text(x + 84, 76, quality, "warm bold", "middle"),
            text(x + 84, 102, kind, "cool bold", "middle"),
        ]
        parts.append(text(x + 84, 130, words, "soft", "middle"))
        for row, mark in enumerate(marks):
            y = 186 + row * 46
            discs = {"x": dot(x + 84, y, "good", 8), "o": dot(x + 84, y, "empty", 7)}
            parts.append(discs.get(mark) or text(x + 84, y + 5, mark, "soft", "middle"))
    parts += [text(20, 76, "quality", "warm bold"), text(20, 94, "how far to trust it", "soft")]
    parts += [text(20, 120, "kind", "cool bold"), text(20, 138, "what the numbers mean", "soft")]
    for row, (name, needs) in enumerate(rows):
        y = 186 + row * 46
        parts += [line(20, y - 23, 944, y - 23), text(20, y, name, "bold"), text(20, y + 17, needs, "soft")]
    parts += [dot(245, 410, "good", 6), text(258, 415, "takes part", "soft")]
    parts += [
        dot(355, 410, "empty", 6),
        text(368, 415, "takes part where the sample has what the loss needs", "soft"),
    ]
    parts.append(text(735, 415, "-  takes no part", "soft"))
    return drawing(964, 435, "Label cards of four families and the losses that each of them can bear", parts)


def ruler(y: float, name: str, words: str, places: Sequence[tuple[float, str]], classes: str) -> list[str]:
    """Draw one number line with named points at places from 0 to 1."""
    parts = [text(20, y - 4, name, f"bold {classes}"), text(20, y + 14, words, "soft")]
    parts.append(line(300, y, 920, y, tip=True))
    for place, label in places:
        x = 310 + 590 * place
        parts += [dot(x, y, classes), text(x, y - 14, label, "soft", "middle")]
    return parts


def spaces() -> str:
    """Draw the same points as depth, inverse depth, disparity of the web, and inverted by mistake."""
    depths = [1.0, 2.0, 4.0, 8.0]
    far = [f"{z:g} m" for z in depths]
    inverse = [*(1 / z for z in depths), 0.0]
    web = [0.25 + 0.6 * value for value in inverse]  # scale and shift that nobody knows
    wrong = [0.25 / value for value in web]
    names = [*far, "∞"]
    parts = ruler(60, "depth", "z, metres", [(z / 9, n) for z, n in zip(depths, far, strict=True)], "cool")
    parts.append(text(925, 90, "∞ has no place here", "soft", "end"))
    parts += ruler(150, "inverse depth", "1/z, per metre", list(zip(inverse, names, strict=True)), "cool")
    parts += ruler(
        240, "web disparity", "s/z + t, s and t unknown", list(zip(web, names, strict=True)), "good"
    )
    parts.append(
        text(310, 275, "equal steps stay equal: a fit of s and t brings it onto inverse depth", "soft")
    )
    parts += ruler(
        340, "1 / web disparity", "what looks like depth", list(zip(wrong, names, strict=True)), "warm"
    )
    parts.append(text(310, 375, "no scale and shift turns this into depth: it is never computed", "soft"))
    return drawing(
        944, 400, "The same points as depth, inverse depth and disparity of unknown scale and shift", parts
    )


def views() -> str:
    """Draw the one map of the network and what is read from it."""
    rows = [
        ("depth = exp(y) · f / f_c", "metres", "losses on metres"),
        ("inverse depth = exp(-y)", "up to scale and shift", "losses on shape, edges, order"),
        ("points = unproject(depth, K)", "metres in space", "losses on surfaces and planes"),
    ]
    parts = [
        box(20, 92, 110, 70),
        text(75, 132, "image", "bold", "middle"),
        line(130, 127, 180, 127, tip=True),
    ]
    parts += [
        box(182, 92, 120, 70),
        text(242, 132, "network", "bold", "middle"),
        line(302, 127, 352, 127, tip=True),
    ]
    parts += [box(354, 82, 150, 90), text(429, 118, "y", "bold warm", "middle")]
    parts.append(text(429, 144, "log (z · f_c / f)", "soft", "middle"))
    for row, (formula, unit, losses) in enumerate(rows):
        y = 20 + row * 76
        parts += [line(504, 127, 558, y + 31, tip=True), box(560, y, 262, 62)]
        parts += [text(574, y + 26, formula, "cool bold"), text(574, y + 48, unit, "soft")]
        parts += [line(822, y + 31, 856, y + 31, tip=True), text(864, y + 36, losses, "good")]
    return drawing(1110, 256, "One predicted map y and the three views that losses read from it", parts)


def cameras() -> str:
    """Draw two cameras that take the same picture of an object at two distances, and the pixel convention."""
    parts = []
    for row, (focal, depth, name) in enumerate([(100, 2, "wide lens"), (200, 4, "long lens")]):
        y, x = 85 + row * 150, 130
        eye, plane, thing = x, x + focal * 0.45, x + depth * 82
        parts += [text(20, y - 8, name, "bold"), text(20, y + 12, f"f = {focal} px", "soft")]
        parts += [dot(eye, y, "cool", 5), line(plane, y - 45, plane, y + 45)]
        parts += [line(eye, y, thing, y - 30, "ray"), line(eye, y, thing, y + 30, "ray")]
        height = 30 * (plane - eye) / (thing - eye)
        parts += [
            line(plane, y - height, plane, y + height, "thick"),
            line(thing, y - 30, thing, y + 30, "thick"),
        ]
        parts.append(text(thing + 12, y + 5, f"z = {depth} m", "bold warm"))
        parts.append(text(plane, y + 62, "picture", "soft", "middle"))
    parts.append(text(20, 330, "The same picture: only the focal length tells 2 m from 4 m.", "bold"))
    parts.append(
        text(20, 352, "z · f_c / f is 2 · 100/100 = 4 · 100/200 = 2 for f_c = 100: this is learned.", "soft")
    )
    left, top, side = 640, 70, 44
    for row in range(4):
        for column in range(5):
            x, y = left + column * side, top + row * side
            parts.append(f'<rect x="{x}" y="{y}" width="{side}" height="{side}" class="empty"/>')
            parts.append(dot(x + side / 2, y + side / 2, "cool", 3))
    for column in range(5):
        parts.append(text(left + side * (column + 0.5), top - 12, f"{column}", "soft", "middle"))
    for row in range(4):
        parts.append(text(left - 14, top + side * (row + 0.5) + 5, f"{row}", "soft", "middle"))
    parts += [text(left, 40, "u", "bold"), text(left - 30, top + 12, "v", "bold")]
    parts.append(dot(left + 2.5 * side, top + 2 * side, "warm", 6))
    parts.append(text(left, 278, "5 x 4 pixels, centres at integers", "bold"))
    parts.append(text(left, 300, "principal point in the middle: cx = 2, cy = 1.5", "soft"))
    parts.append(text(left, 322, "counted from the corner it would be 2.5, 2:", "soft"))
    parts.append(text(left, 342, "take half a pixel off", "soft"))
    return drawing(944, 372, "Two cameras that take the same picture, and where pixel centres lie", parts)


DRAWINGS = {"label-card": label_card, "spaces": spaces, "views": views, "cameras": cameras}


def main() -> None:
    """Write the files."""
    for name, draw in DRAWINGS.items():
        (FOLDER / f"{name}.svg").write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
