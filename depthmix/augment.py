"""Resize, crop, mirror and recolour a sample so that image, label and camera keep telling the same story."""

import math
import zlib
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32, UInt8

from depthmix.coded import CodedSample
from depthmix.errors import BadSample, ConfigError
from depthmix.sample import Intrinsics, LabelKind, Sample

__all__ = ["AugmentOptions", "augment", "crop", "jitter", "mirror", "resize", "resize_image"]

# Below this share of valid pixels a label is treated as a set of points, see `resize`.
SPARSE_BELOW = 0.5
# Windows are magnified at most this much to meet a canonical focal length.
CLOSEST = 4.0
# Windows drawn before one is laid around a pixel that is known to carry a label.
TRIES = 10

# valid, target and sigma
Labels = tuple[Bool[np.ndarray, "h w"], Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"] | None]
# first row, first column, last row, last column
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class AugmentOptions:
    """Choose how training samples are varied.

    Args:
        height: rows of every training image.
        width: columns of every training image.
        min_scale: smallest magnification; 1 takes the largest window of this shape that the image holds.
        max_scale: largest magnification; 2 takes a window half as wide.
        mirror: probability of swapping left and right.
        brightness: the image is multiplied by a factor in 1 -/+ this.
        contrast: distances from the mean brightness are multiplied by a factor in 1 -/+ this.
        saturation: distances from grey are multiplied by a factor in 1 -/+ this.
        grey: probability of dropping the colour altogether.
        canonical_focal: focal length in pixels that images with a known camera are brought to by their
            magnification, in place of a drawn one, as far as the image holds a window of that field of view
            and up to four times the magnification of the largest; depth stays what it is, and what is
            missing in focal length remains in the camera. None for the label form of canonical camera space.

    Raises:
        ConfigError: an option is out of its range.
    """

    height: int = 96
    width: int = 128
    min_scale: float = 1.0
    max_scale: float = 1.5
    mirror: float = 0.5
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    grey: float = 0.05
    canonical_focal: float | None = None

    def __post_init__(self) -> None:
        for option in fields(self):
            if option.name not in ("height", "width", "min_scale", "max_scale", "canonical_focal"):
                _check(0 <= getattr(self, option.name) <= 1, self, option.name, "in [0, 1]")
        _check(self.height >= 1, self, "height", "a positive number of pixels")
        _check(self.width >= 1, self, "width", "a positive number of pixels")
        _check(1 <= self.min_scale <= self.max_scale, self, "min_scale", "in [1, max_scale]")
        _check(self.max_scale < float("inf"), self, "max_scale", "finite")
        fine = self.canonical_focal is None or 0 < self.canonical_focal < float("inf")
        _check(fine, self, "canonical_focal", "a positive number of pixels")


def crop(sample: Sample | CodedSample, top: int, left: int, height: int, width: int) -> Sample:
    """Cut out the window that starts at (top, left); the principal point moves along.

    Convention: of the pairs stay those that have both points inside. Ids of planes keep the type that they
    are stored in, which may be narrower than that of a sample; `collate` widens them.

    Raises:
        BadSample: the window leaves the image, or holds no label.
    """
    rows, columns = sample.size
    if top < 0 or left < 0 or height < 1 or width < 1 or top + height > rows or left + width > columns:
        window = f"rows {top}..{top + height}, columns {left}..{left + width}"
        raise sample.fail("image", f"a window of {window} does not fit into {rows} x {columns} pixels")
    box = np.s_[top : top + height, left : left + width]
    return sample.derived(
        image=sample.image[box],
        target=sample.target[box],
        valid=sample.valid[box],
        sky=sample.sky[box],
        planes=sample.planes[box],
        sigma=None if sample.sigma is None else sample.sigma[box],
        intrinsics=sample.intrinsics.cropped(left, top) if sample.intrinsics else None,
        pairs=None if sample.pairs is None else _crop_pairs(sample.pairs, top, left, height, width),
    )


def resize(sample: Sample, height: int, width: int) -> Sample:
    """Bring a sample to another pixel grid; labels are chosen, never averaged across an edge.

    Convention: the image is area-filtered where it shrinks and interpolated where it grows. Pixel i of a
    label reads the source pixel that its centre falls into, floor((i + 0.5) * old / new). A sparse label
    (less than half of the pixels valid) that shrinks is moved as points instead, so that LiDAR
    survives: each valid pixel goes to the pixel that its centre falls into, and the nearest of those
    that meet there wins. Values do not change: z stays metres, and AFFINE_DISPARITY has no scale to keep.
    The camera follows by the half-pixel rule (`Intrinsics.resized`). Points of pairs go to the pixel that
    their centre falls into; a pair that ends in one pixel says nothing any more and is dropped.

    Raises:
        BadSample: no label survives.
    """
    rows, columns = sample.size
    if (height, width) == (rows, columns):
        return sample
    r, c = _centres(height, rows), _centres(width, columns)
    moved = height <= rows and width <= columns and sample.valid.mean() < SPARSE_BELOW
    valid, target, sigma = _move_points(sample, height, width) if moved else _choose_labels(sample, r, c)
    return sample.derived(
        image=resize_image(sample.image, height, width),
        target=target,
        valid=valid,
        sky=_read(sample.sky, r, c) & ~valid,
        planes=_read(sample.planes, r, c),
        sigma=sigma,
        intrinsics=sample.intrinsics.resized(width / columns, height / rows) if sample.intrinsics else None,
        pairs=None if sample.pairs is None else _resize_pairs(sample.pairs, sample.size, (height, width)),
    )


def mirror(sample: Sample) -> Sample:
    """Swap left and right; the camera keeps a positive focal length, only cx moves."""
    import cv2

    return sample.derived(
        image=cv2.flip(sample.image, 1),
        target=cv2.flip(sample.target, 1),
        valid=cv2.flip(sample.valid.view(np.uint8), 1).view(np.bool_),
        sky=cv2.flip(sample.sky.view(np.uint8), 1).view(np.bool_),
        planes=cv2.flip(sample.planes, 1),
        sigma=None if sample.sigma is None else cv2.flip(sample.sigma, 1),
        intrinsics=sample.intrinsics.mirrored(sample.size[1]) if sample.intrinsics else None,
        pairs=None if sample.pairs is None else _mirror_pairs(sample.pairs, sample.size[1]),
    )


def jitter(
    image: UInt8[np.ndarray, "h w 3"], options: AugmentOptions, random: np.random.Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """Vary brightness, contrast and saturation, or drop the colour; always takes four draws."""
    import cv2

    strengths = np.array([options.brightness, options.contrast, options.saturation])
    brightness, contrast, saturation = 1 + strengths * (2 * random.random(3) - 1)
    if random.random() < options.grey:
        saturation = 0.0
    # All of it is one linear map of the colour, and one pass over the pixels.
    to_grey = np.tile([0.299, 0.587, 0.114], (3, 1))  # Rec. 601
    colours = brightness * contrast * (saturation * np.eye(3) + (1 - saturation) * to_grey)
    offset = brightness * (1 - contrast) * np.mean(cv2.mean(image)[:3])
    recoloured: np.ndarray = cv2.transform(image, np.column_stack([colours, np.full(3, offset)]))
    return recoloured


def augment(
    sample: Sample | CodedSample, options: AugmentOptions, *, seed: int, epoch: int, index: int
) -> Sample:
    """Draw a window, a mirroring and a recolouring; a pure function of the arguments.

    A window without any label is drawn again; after ten of them a window is laid around a random pixel
    that carries one, at a magnification where no pixel is dropped. So no result is without a label. For a
    label of pairs that window holds both points of a pair; where they lie too far apart for any window of
    the wanted shape, the whole image is squeezed into it, which leaves the order of depths as it is.

    Args:
        sample: of any size.
        options: sizes and strengths.
        seed: of the whole training run.
        epoch: how often the source was seen before.
        index: of the sample in its source.
    """
    # The source takes part, or the n-th samples of all sources would be cropped alike.
    random = np.random.default_rng([seed, epoch, index, zlib.crc32(sample.source.encode())])
    chosen = _draw_window(sample, options, random)
    if random.random() < options.mirror:
        chosen = mirror(chosen)
    return chosen.derived(image=jitter(chosen.image, options, random))


def _check(fine: bool, options: AugmentOptions, name: str, rule: str) -> None:
    if not fine:
        raise ConfigError(f"must be {rule}, got {getattr(options, name)}", field=f"augment.{name}")


def _centres(new: int, old: int) -> Int[np.ndarray, " n"]:
    """Give floor((i + 0.5) * old / new) for each i < new, in integers and so exactly."""
    return (2 * np.arange(new) + 1) * old // (2 * new)


def resize_image(image: UInt8[np.ndarray, "h w 3"], height: int, width: int) -> UInt8[np.ndarray, "H W 3"]:
    """Bring an image to another size: area-filtered where it shrinks, interpolated where it grows."""
    import cv2

    shrinks = height <= image.shape[0] and width <= image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized: np.ndarray = cv2.resize(image, (width, height), interpolation=method)
    return resized


def _choose_labels(sample: Sample, r: Int[np.ndarray, " h"], c: Int[np.ndarray, " w"]) -> Labels:
    """Read valid, target and sigma at the given rows and columns."""
    sigma = None if sample.sigma is None else _read(sample.sigma, r, c)
    return _read(sample.valid, r, c), _read(sample.target, r, c), sigma


def _read(values: np.ndarray, r: Int[np.ndarray, " h"], c: Int[np.ndarray, " w"]) -> np.ndarray:
    # Written row by row; `[r][:, c]` would write column by column, and whoever copies that pays for it.
    read: np.ndarray = values[r].take(c, axis=1)
    return read


def _move_points(sample: Sample, height: int, width: int) -> Labels:
    """Carry each valid pixel to the new pixel that it falls into; the nearest of several wins."""
    rows, columns = sample.size
    r, c = np.nonzero(sample.valid)
    values = sample.target[r, c]
    closeness = values if sample.kind is LabelKind.AFFINE_DISPARITY else -values
    nearest_last = np.argsort(closeness, kind="stable")
    r, c = r[nearest_last], c[nearest_last]
    origin = np.full((height, width), -1)
    # The last of several writes to one pixel stays.
    origin[_centres(rows, height)[r], _centres(columns, width)[c]] = r * columns + c
    valid, origin = origin >= 0, np.maximum(origin, 0)
    sigma = None if sample.sigma is None else _read_points(sample.sigma, origin, valid)
    return valid, _read_points(sample.target, origin, valid), sigma


def _read_points(
    values: Float32[np.ndarray, "h w"], origin: Int[np.ndarray, "H W"], valid: Bool[np.ndarray, "H W"]
) -> Float32[np.ndarray, "H W"]:
    read: np.ndarray = values.ravel()[origin]
    read[~valid] = 0  # where no point fell, the first pixel was read
    return read


def _draw_window(
    sample: Sample | CodedSample, options: AugmentOptions, random: np.random.Generator
) -> Sample:
    labelled = _labelled(sample)
    for _ in range(TRIES):
        scale = options.min_scale * (options.max_scale / options.min_scale) ** random.random()
        if options.canonical_focal is not None and sample.intrinsics is not None:
            scale = _canonical_scale(sample.size, sample.intrinsics, options, options.canonical_focal)
        height, width = _window(sample, options, scale)
        top = int(random.random() * (sample.size[0] - height + 1))
        left = int(random.random() * (sample.size[1] - width + 1))
        if labelled[top : top + height, left : left + width].any():
            try:
                return resize(crop(sample, top, left, height, width), options.height, options.width)
            except BadSample:  # the few labels of this window fell between the new pixels, or out of it
                continue
    if not labelled.any():
        raise sample.fail("pairs", "every pair is one of a point with itself: nothing to learn from")
    return _around(_random_label(sample, labelled, random), sample, options)


def _labelled(sample: Sample | CodedSample) -> Bool[np.ndarray, "h w"]:
    """Mark the pixels without which a window has no label."""
    if sample.kind is not LabelKind.ORDINAL or sample.pairs is None:
        return sample.planes > 0 if sample.kind is LabelKind.NONE else sample.valid
    labelled = np.zeros(sample.size, np.bool_)
    pairs = sample.pairs[_apart(sample.pairs)]
    labelled[pairs[:, 1], pairs[:, 0]] = True
    return labelled


def _random_label(
    sample: Sample | CodedSample, labelled: Bool[np.ndarray, "h w"], random: np.random.Generator
) -> Box:
    """Choose a labelled pixel, or a pair of points, and return the smallest box around it."""
    if sample.kind is LabelKind.ORDINAL and sample.pairs is not None:
        pairs = sample.pairs[_apart(sample.pairs)]
        u1, v1, u2, v2, _ = pairs[int(random.random() * len(pairs))].tolist()
        return min(v1, v2), min(u1, u2), max(v1, v2), max(u1, u2)
    places = np.argwhere(labelled)
    row, column = places[int(random.random() * len(places))].tolist()
    return row, column, row, column


def _window(sample: Sample | CodedSample, options: AugmentOptions, scale: float) -> tuple[int, int]:
    """Give height and width of the largest window of the wanted shape, divided by `scale`."""
    rows, columns = sample.size
    step = min(rows / options.height, columns / options.width) / scale  # source pixels per new pixel
    height, width = round(options.height * step), round(options.width * step)
    return min(max(height, 1), rows), min(max(width, 1), columns)


def _canonical_scale(
    size: tuple[int, int], camera: Intrinsics, options: AugmentOptions, focal: float
) -> float:
    """Give the magnification at which a window has the wanted focal length, or as near as it may come."""
    largest = min(size[0] / options.height, size[1] / options.width)  # source pixels per new pixel
    return min(max(1.0, largest * focal / math.sqrt(camera.fx * camera.fy)), CLOSEST)


def _around(box: Box, sample: Sample | CodedSample, options: AugmentOptions) -> Sample:
    """Lay a window around a box: as small as it may be without dropping pixels, or as large as it must."""
    rows, columns = sample.size
    first_row, first_column, last_row, last_column = box
    # One source pixel per new pixel, or fewer: then `resize` reads every pixel of the window.
    scale = max(1.0, min(rows / options.height, columns / options.width))
    height, width = _window(sample, options, scale)
    too_small = max(1.0, (last_row - first_row + 1) / height, (last_column - first_column + 1) / width)
    height, width = _window(sample, options, max(1.0, scale / too_small))
    if height <= last_row - first_row or width <= last_column - first_column:
        return resize(crop(sample, 0, 0, rows, columns), options.height, options.width)
    top = min(max((first_row + last_row + 1 - height) // 2, 0), rows - height)
    left = min(max((first_column + last_column + 1 - width) // 2, 0), columns - width)
    return resize(crop(sample, top, left, height, width), options.height, options.width)


def _crop_pairs(
    pairs: Int32[np.ndarray, "p 5"], top: int, left: int, height: int, width: int
) -> Int32[np.ndarray, "q 5"]:
    moved = pairs - np.array([left, top, left, top, 0], np.int32)
    inside = (moved[:, :4] >= 0) & (moved[:, :4] < [width, height, width, height])
    kept: np.ndarray = moved[inside.all(1)]
    return kept


def _resize_pairs(
    pairs: Int32[np.ndarray, "p 5"], old: tuple[int, int], new: tuple[int, int]
) -> Int32[np.ndarray, "q 5"]:
    r, c = _centres(old[0], new[0]), _centres(old[1], new[1])
    u1, v1, u2, v2, relation = pairs.T
    moved = np.stack([c[u1], r[v1], c[u2], r[v2], relation], 1).astype(np.int32)
    kept: np.ndarray = moved[_apart(moved)]
    return kept


def _apart(pairs: Int32[np.ndarray, "p 5"]) -> Bool[np.ndarray, " p"]:
    apart: np.ndarray = (pairs[:, :2] != pairs[:, 2:4]).any(1)
    return apart


def _mirror_pairs(pairs: Int32[np.ndarray, "p 5"], width: int) -> Int32[np.ndarray, "p 5"]:
    mirrored = pairs.copy()
    mirrored[:, [0, 2]] = width - 1 - mirrored[:, [0, 2]]
    return mirrored
