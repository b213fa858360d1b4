"""Turn depth, planes, normals and errors into colours; what is not known gets a pattern, never a colour."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

__all__ = [
    "Scale",
    "colour_depth",
    "colour_normals",
    "colour_planes",
    "colour_signed",
    "colour_valid",
    "fair_range",
    "mark_unknown",
    "thicken",
]

CHECKER = (np.array([196, 196, 196]), np.array([150, 150, 150]))
SKY = (np.array([186, 218, 240]), np.array([128, 178, 214]))


@dataclass(frozen=True, slots=True)
class Scale:
    """Map numbers to colours, and say in which unit.

    Args:
        low: value of the first colour.
        high: value of the last colour.
        unit: unit of the numbers, in words.
        log: whether equal ratios, not equal differences, get equal steps of colour.
        colours: name of a matplotlib colour map.

    Convention: numbers beyond the ends get the colour of the end.
    """

    low: float
    high: float
    unit: str = ""
    log: bool = False
    colours: str = "magma"

    def position(self, values: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        """Return where each number lies between the ends: 0 at `low`, 1 at `high`; 0 where not finite."""
        values = np.asarray(values, np.float64)
        low, high = self.low, self.high
        if self.log:
            values = np.log(np.where(values > 0, values, low))
            low, high = np.log(low), np.log(high)
        values = np.where(np.isnan(values), low, values)
        return np.asarray(np.clip((values - low) / max(high - low, 1e-12), 0, 1))

    def rgb(self, values: Float[np.ndarray, "*n"]) -> UInt8[np.ndarray, "*n 3"]:
        """Return the colour of each number."""
        table = colour_table(self.colours)
        return np.asarray(table[np.rint(self.position(values) * (len(table) - 1)).astype(np.intp)])

    def ticks(self, count: int = 3) -> list[float]:
        """Return `count` numbers at equal distances along the colour bar."""
        if self.log:
            return [float(tick) for tick in np.geomspace(self.low, self.high, count)]
        return [float(tick) for tick in np.linspace(self.low, self.high, count)]


def colour_table(name: str) -> UInt8[np.ndarray, "256 3"]:
    """Return the 256 colours of a matplotlib colour map."""
    import matplotlib  # half a second: only for those who draw

    colours = matplotlib.colormaps[name](np.linspace(0, 1, 256))[:, :3]
    return np.asarray(np.rint(np.asarray(colours) * 255), np.uint8)


def fair_range(
    values: Float[np.ndarray, "*n"], valid: Bool[np.ndarray, "*n"], *, share: float = 0.98
) -> tuple[float, float]:
    """Return the ends between which the middle `share` of the valid numbers lies.

    Convention: never empty: one number alone gets a range around it, no number gives (0, 1).
    """
    known = np.asarray(values, np.float64)[valid]
    known = known[np.isfinite(known)]
    if not known.size:
        return 0.0, 1.0
    low, high = (float(q) for q in np.quantile(known, [(1 - share) / 2, (1 + share) / 2]))
    if high - low > 1e-6 * abs(high):
        return low, high
    margin = 0.05 * abs(high) or 0.5
    return low - margin, high + margin


def colour_depth(
    values: Float[np.ndarray, "h w"],
    valid: Bool[np.ndarray, "h w"],
    vmin: float,
    vmax: float,
    log: bool,
    *,
    sky: Bool[np.ndarray, "h w"] | None = None,
    colours: str = "magma_r",
) -> UInt8[np.ndarray, "h w 3"]:
    """Colour a depth map; pixels without a value show a grey checker, sky shows blue stripes.

    Args:
        values: depth, or inverse depth with `colours="magma"`: near is bright in both.
        valid: where `values` may be read.
        vmin: value of the first colour.
        vmax: value of the last colour.
        log: colour equal ratios alike; for depth, whose interesting part is near.
        sky: pixels known to be sky.
        colours: name of a matplotlib colour map.
    """
    return mark_unknown(Scale(vmin, vmax, log=log, colours=colours).rgb(values), valid, sky)


def colour_signed(
    error: Float[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"], limit: float
) -> UInt8[np.ndarray, "h w 3"]:
    """Colour a signed error: orange above zero, purple below, white at zero; checker where unknown."""
    return mark_unknown(Scale(-limit, limit, colours="PuOr_r").rgb(error), valid)


def colour_planes(planes: Int[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Give every plane id its own colour, the same in every picture; 0 (no plane) shows the checker."""
    ids, inverse = np.unique(planes, return_inverse=True)
    table = _id_colours(ids)
    return mark_unknown(table[inverse.reshape(planes.shape)], planes > 0)


def colour_normals(
    normals: Float[np.ndarray, "3 h w"], valid: Bool[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Colour unit normals: red to the right, green up, blue towards the camera; checker where unknown."""
    towards = np.stack([normals[0], -normals[1], -normals[2]], axis=-1)
    rgb = np.rint(127.5 * (np.nan_to_num(np.clip(towards, -1, 1)) + 1)).astype(np.uint8)
    return mark_unknown(rgb, valid)


def colour_valid(valid: Bool[np.ndarray, "h w"], sky: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Colour validity: dark green where the label may be read, checker elsewhere, stripes for sky."""
    rgb = np.empty((*valid.shape, 3), np.uint8)
    rgb[:] = (20, 110, 80)
    return mark_unknown(rgb, valid, sky)


def mark_unknown(
    rgb: UInt8[np.ndarray, "h w 3"],
    known: Bool[np.ndarray, "h w"],
    sky: Bool[np.ndarray, "h w"] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Draw a grey checker where nothing is known, and diagonal blue stripes over sky."""
    cell = max(2, rgb.shape[1] // 48)
    rows, columns = np.indices(rgb.shape[:2]) // cell
    marked = np.where(known[..., None], rgb, _two(CHECKER, (rows + columns) % 2))
    if sky is not None:
        rows, columns = np.indices(rgb.shape[:2])
        marked = np.where(sky[..., None], _two(SKY, (rows + columns) // (2 * cell) % 2), marked)
    return marked.astype(np.uint8)


def thicken(
    values: Float[np.ndarray, "h w"],
    valid: Bool[np.ndarray, "h w"],
    *,
    radius: int,
    near_is_small: bool = True,
) -> tuple[Float[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Let each valid pixel fill its unknown neighbours, so that a sparse label survives a small picture.

    For display only. Where several compete the nearest surface wins; measured pixels keep their number.

    Returns:
        values and validity of the thickened map.
    """
    worst = np.inf if near_is_small else -np.inf
    choose = np.minimum if near_is_small else np.maximum
    held = np.where(valid, values, worst)
    height, width = held.shape
    padded = np.pad(held, radius, constant_values=worst)
    best = held
    for top in range(2 * radius + 1):
        for left in range(2 * radius + 1):
            best = choose(best, padded[top : top + height, left : left + width])
    filled = np.where(valid, values, best)
    known = np.isfinite(filled)
    return np.where(known, filled, 0), known


def _id_colours(ids: Int[np.ndarray, " n"]) -> UInt8[np.ndarray, "n 3"]:
    # Steps of the golden ratio around the hue circle keep ids that follow each other far apart.
    from matplotlib.colors import hsv_to_rgb

    hue = ids * 0.6180339887498949 % 1
    saturation = np.choose(ids % 3, [0.85, 0.55, 0.7])
    value = np.choose(ids // 3 % 3, [0.9, 0.7, 0.98])
    colours = np.asarray(hsv_to_rgb(np.stack([hue, saturation, value], axis=-1)))
    return np.asarray(np.rint(colours * 255), np.uint8)


def _two(
    colours: tuple[Int[np.ndarray, "3"], Int[np.ndarray, "3"]], choice: Int[np.ndarray, "h w"]
) -> Int[np.ndarray, "h w 3"]:
    return np.where(choice[..., None] == 1, colours[1], colours[0])
