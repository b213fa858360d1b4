"""One labelled image as numpy arrays, tagged with what its numbers mean and how far they can be trusted."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Self

import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8

from depthmix.errors import BadSample

__all__ = ["DEPTH_KINDS", "Intrinsics", "LabelKind", "Quality", "Sample"]


class Quality(IntEnum):
    """How far the numbers of a label can be trusted, from weak to high."""

    WEAK = 1
    LOW = 2
    MIDDLE = 3
    HIGH = 4


class LabelKind(IntEnum):
    """What is mathematically known about the numbers of a label.

    METRIC_DEPTH: z in metres. SCALED_DEPTH: z times one unknown positive factor per image.
    AFFINE_DISPARITY: inverse depth times an unknown positive scale plus an unknown shift.
    ORDINAL: which of two points is nearer, for some pairs of points; no depth anywhere.
    NONE: no depth at all; the label is the plane instances.
    """

    NONE = 0
    ORDINAL = 1
    AFFINE_DISPARITY = 2
    SCALED_DEPTH = 3
    METRIC_DEPTH = 4


DEPTH_KINDS = frozenset({LabelKind.METRIC_DEPTH, LabelKind.SCALED_DEPTH})

# Beyond any lens and any sensor, and small enough that products and squares stay finite in float32.
_FARTHEST_PX = 1e9
_INFINITY = 0x7F800000  # its bits in float32
_DTYPES = {
    "image": np.dtype(np.uint8),
    "target": np.dtype(np.float32),
    "valid": np.dtype(np.bool_),
    "sky": np.dtype(np.bool_),
    "planes": np.dtype(np.int32),
    "sigma": np.dtype(np.float32),
}
_NARROW_IDS = (np.dtype(np.uint8), np.dtype(np.uint16))


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """Pinhole camera in pixels.

    Convention: pixel centres lie at integers, x right, y down, z forward (OpenCV);
    a point (X, Y, Z) falls on u = fx X / Z + cx, v = fy Y / Z + cy.
    """

    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        for name in ("fx", "fy", "cx", "cy"):
            value = getattr(self, name)
            if not math.isfinite(value) or (name in ("fx", "fy") and value <= 0):
                rule = "finite and positive" if name in ("fx", "fy") else "finite"
                raise BadSample(f"must be {rule}, got {value}", field=f"intrinsics.{name}")
            if abs(value) > _FARTHEST_PX or (name in ("fx", "fy") and value < 1 / _FARTHEST_PX):
                raise BadSample(f"is no number of pixels: {value:g}", field=f"intrinsics.{name}")

    def cropped(self, left: int, top: int) -> "Intrinsics":
        """Move the principal point for a window that starts at (left, top)."""
        return Intrinsics(self.fx, self.fy, self.cx - left, self.cy - top)

    def resized(self, scale_x: float, scale_y: float) -> "Intrinsics":
        """Scale to another pixel grid; with centres at integers the half pixel has to move along."""
        return Intrinsics(
            fx=self.fx * scale_x,
            fy=self.fy * scale_y,
            cx=(self.cx + 0.5) * scale_x - 0.5,
            cy=(self.cy + 0.5) * scale_y - 0.5,
        )

    def mirrored(self, width: int) -> "Intrinsics":
        """Describe the left-right mirrored image by a camera with a positive focal length."""
        return Intrinsics(self.fx, self.fy, width - 1 - self.cx, self.cy)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Hold one image with its label; checked once, here.

    Args:
        image: RGB.
        target: z-depth for depth kinds, inverse depth for AFFINE_DISPARITY; read only where `valid`.
        valid: the only word on what may be read from `target` (and `sigma`).
        sky: pixels known to be sky; never valid.
        planes: plane instance per pixel, 0 = none; any positive int32 is an id.
        sigma: one standard deviation of `target` in its own unit, or None without a noise model.
        intrinsics: the camera, or None where it is not known (never invented).
        quality: how far the label can be trusted.
        kind: what the numbers of `target` mean.
        source: name of the source in the mix.
        key: name of the sample inside the source.
        pairs: ordinal relations, one a row: u1, v1, u2, v2 (integer pixels) and the relation: 1 where the
            first point is farther, -1 where it is nearer, 0 where both are equally far; or None.

    Convention: values of `target` and `sigma` outside `valid` are set to 0 on construction, so that two
    samples with equal labels are equal in every byte. Ids of 8 and of 16 bits, unsigned, are widened; those
    of a `derived` sample, as windows of prepared sets are, stay as narrow as they are stored.

    Raises:
        BadSample: a shape, type or value breaks the rules above, or there is nothing to learn from.
    """

    image: UInt8[np.ndarray, "h w 3"]
    target: Float32[np.ndarray, "h w"]
    valid: Bool[np.ndarray, "h w"]
    sky: Bool[np.ndarray, "h w"]
    planes: Int32[np.ndarray, "h w"]
    sigma: Float32[np.ndarray, "h w"] | None
    intrinsics: Intrinsics | None
    quality: Quality
    kind: LabelKind
    source: str
    key: str
    pairs: Int32[np.ndarray, "p 5"] | None = None

    def __post_init__(self) -> None:
        if self.planes.dtype in _NARROW_IDS:
            object.__setattr__(self, "planes", self.planes.astype(np.int32))
        self._check_shapes()
        self._check_label()
        self._check_target()
        self._check_planes_and_sky()
        self._check_sigma()
        self._check_pairs()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def name(self) -> str:
        """`source/key`, as errors and reports name the sample."""
        return f"{self.source}/{self.key}"

    def replaced(self, **changes: Any) -> Self:
        """Return a checked copy with some fields changed."""
        return replace(self, **changes)

    def derived(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, of which only is checked that there is a label still.

        Safe where every new map shows pixels of this sample's own map that were cut out, chosen, moved or
        mirrored, all maps alike, with 0 where `valid` is False; then no value can break a rule that held
        before. Pairs must lie inside the new size. Images may be new, uint8 of the maps' size. For everything
        else there is `replaced`, which checks all.

        Raises:
            BadSample: no label is left.
        """
        return self.assembled({name: getattr(self, name) for name in self.__dataclass_fields__} | changes)

    @classmethod
    def assembled(cls, fields: Mapping[str, Any]) -> Self:
        """Put fields together of which all rules but one are known to hold: that there is a label.

        Raises:
            BadSample: there is none.
            TypeError: a sample has no such field.
        """
        if unknown := fields.keys() - cls.__dataclass_fields__.keys():
            raise TypeError(f"a sample has no {', '.join(sorted(unknown))}")
        # No constructor and so no checks: a whole pass over every map for each of them.
        sample = object.__new__(cls)
        for name in cls.__dataclass_fields__:
            object.__setattr__(sample, name, fields[name])
        sample._check_label()
        if sample.kind is LabelKind.ORDINAL:
            sample._check_any_pair()
        return sample

    def fail(self, field: str, reason: str) -> BadSample:
        """Build the error that names this sample and one of its fields."""
        return BadSample(reason, sample=self.name, field=field)

    def _check_shapes(self) -> None:
        size = self.image.shape[:2]
        for field, dtype in _DTYPES.items():
            array, shape = getattr(self, field), (*size, 3) if field == "image" else size
            if array is None and field == "sigma":
                continue
            if array.dtype != dtype or array.shape != shape or array.size == 0:
                raise self.fail(field, f"must be {dtype} {shape}, got {array.dtype} {array.shape}")

    def _check_label(self) -> None:
        count = np.count_nonzero(self.valid)
        if self.kind in (LabelKind.NONE, LabelKind.ORDINAL):
            if count:
                reason = f"a label of kind {self.kind.name} has no depth, but {count} pixels are valid"
                raise self.fail("valid", reason)
            if self.kind is LabelKind.NONE and not (self.planes > 0).any():
                raise self.fail("planes", "no depth and no plane: nothing to learn from")
        elif not count:
            raise self.fail("valid", f"0 of {self.valid.size} pixels are valid")

    def _check_target(self) -> None:
        """Check the target, and clear it outside `valid`; whole maps are checked faster than parts."""
        is_depth = self.kind in DEPTH_KINDS
        if is_depth and _is_positive_just_where(self.valid, self.target):
            return
        target = _zero_outside(self.valid, self.target)
        object.__setattr__(self, "target", target)
        if bad := target.size - np.count_nonzero(np.isfinite(target)):
            raise self.fail("target", f"{bad} of {np.count_nonzero(self.valid)} valid pixels are not finite")
        if is_depth and not _is_positive_just_where(self.valid, target):
            lowest = target[self.valid].min()
            raise self.fail("target", f"depth must be positive, the smallest valid value is {lowest:g}")

    def _check_planes_and_sky(self) -> None:
        if self.planes.min() < 0:
            raise self.fail("planes", f"ids must not be negative, got {self.planes.min()}")
        if self.sky.any() and (both := np.count_nonzero(self.sky & self.valid)):
            raise self.fail("sky", f"{both} sky pixels are marked valid")

    def _check_sigma(self) -> None:
        if self.sigma is None or _is_positive_just_where(self.valid, self.sigma):
            return
        object.__setattr__(self, "sigma", _zero_outside(self.valid, self.sigma))
        if not _is_positive_just_where(self.valid, self.sigma):
            raise self.fail("sigma", "must be finite and positive at every valid pixel")

    def _check_pairs(self) -> None:
        if self.kind is LabelKind.ORDINAL:
            self._check_any_pair()
        if self.pairs is None or not len(self.pairs):
            return
        if self.pairs.dtype != np.int32 or self.pairs.ndim != 2 or self.pairs.shape[1] != 5:
            raise self.fail("pairs", f"must be int32 (p, 5), got {self.pairs.dtype} {self.pairs.shape}")
        height, width = self.size
        places, relation = self.pairs[:, :4], self.pairs[:, 4]
        if ((places < 0) | (places >= np.array([width, height, width, height]))).any():
            raise self.fail("pairs", f"points must lie inside the {height} x {width} image")
        if not np.isin(relation, (-1, 0, 1)).all():
            raise self.fail("pairs", "relations must be -1, 0 or 1")

    def _check_any_pair(self) -> None:
        if self.pairs is None or not len(self.pairs):
            raise self.fail("pairs", "no pair of points: nothing to learn from")


def _zero_outside(
    valid: Bool[np.ndarray, "h w"], values: Float32[np.ndarray, "h w"]
) -> Float32[np.ndarray, "h w"]:
    """Return a copy with 0 outside `valid`, whatever stands there; four times faster than `np.where`."""
    kept: Float32[np.ndarray, "h w"] = (values.view(np.int32) * valid).view(np.float32)
    return kept


def _is_positive_just_where(valid: Bool[np.ndarray, "h w"], values: Float32[np.ndarray, "h w"]) -> bool:
    """Tell whether values are positive and finite where `valid`, and all bits elsewhere are 0."""
    bits = values.view(np.uint32)
    # Read as integers, infinity is followed by NaN and then by all that is negative, -0 included.
    return bool(bits.max() < _INFINITY) and np.array_equal(bits != 0, valid)
