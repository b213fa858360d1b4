"""A stored sample that is still in codes: only the pixels that are used are decoded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int32, Integer, UInt8, UInt16

from depthmix.errors import BadSample, CorruptShard
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample

__all__ = ["WHOLE", "CodedImage", "CodedMap", "CodedSample", "Window"]

Window = tuple[slice, slice]
WHOLE: Window = (slice(None), slice(None))


@dataclass(frozen=True, slots=True, eq=False)
class CodedMap:
    """Hold a map as 16-bit codes, with what they mean; `map[rows, columns]` gives the values of a window.

    Args:
        codes: the map.
        values: value of each code; `codes` holds none beyond.
    """

    codes: UInt16[np.ndarray, "h w"]
    values: Float32[np.ndarray, " n"]

    def __getitem__(self, window: Window) -> Float32[np.ndarray, "H W"]:
        # "clip" skips numpy's own check, which costs as much as the look-up.
        return np.take(self.values, self.codes[window], mode="clip")


@dataclass(frozen=True, slots=True, eq=False)
class CodedImage:
    """Hold an image as its file does; `image[rows, columns]` decodes a window, as often as it is asked for.

    Args:
        size: height and width in pixels.
        decode: gives the pixels of a window.

    Raises:
        CorruptShard: on decoding, the file is damaged.
    """

    size: tuple[int, int]
    decode: Callable[[Window], UInt8[np.ndarray, "H W 3"]]

    def __getitem__(self, window: Window) -> UInt8[np.ndarray, "H W 3"]:
        try:
            return self.decode(window)
        except CorruptShard as error:
            if error.field:  # whoever reads a set has said more
                raise
            raise CorruptShard(error.reason, field="image") from error


@dataclass(frozen=True, slots=True, eq=False)
class CodedSample:
    """Hold what a `Sample` holds, with `image`, `target`, `sigma` and `planes` as they are stored.

    Whoever builds one vouches for the other rules of a sample: values are positive (or finite, of
    AFFINE_DISPARITY) just where `valid`, and 0 elsewhere; ids are not negative; pairs lie inside.

    Raises:
        BadSample: there is nothing to learn from, or sky is marked valid.
    """

    image: CodedImage
    target: CodedMap
    valid: Bool[np.ndarray, "h w"]
    sky: Bool[np.ndarray, "h w"]
    planes: Integer[np.ndarray, "h w"]
    sigma: CodedMap | None
    intrinsics: Intrinsics | None
    quality: Quality
    kind: LabelKind
    source: str
    key: str
    pairs: Int32[np.ndarray, "p 5"] | None = None

    def __post_init__(self) -> None:
        if self.kind in (LabelKind.NONE, LabelKind.ORDINAL):
            raise self.fail("target", f"a label of kind {self.kind.name} has no depth")
        if not self.valid.any():
            raise self.fail("valid", f"0 of {self.valid.size} pixels are valid")
        if self.sky.any() and (both := np.count_nonzero(self.sky & self.valid)):
            raise self.fail("sky", f"{both} sky pixels are marked valid")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.image.size

    @property
    def name(self) -> str:
        """`source/key`, as errors and reports name the sample."""
        return f"{self.source}/{self.key}"

    def fail(self, field: str, reason: str) -> BadSample:
        """Build the error that names this sample and one of its fields."""
        return BadSample(reason, sample=self.name, field=field)

    def derived(self, **changes: Any) -> Sample:
        """Return a sample that shows other pixels of this one's maps; those in codes must be given.

        As `Sample.derived`.
        """
        return Sample.assembled({name: getattr(self, name) for name in self.__dataclass_fields__} | changes)

    def whole(self) -> Sample:
        """Decode all of it."""
        return self.derived(
            image=self.image[WHOLE],
            target=self.target[WHOLE],
            sigma=None if self.sigma is None else self.sigma[WHOLE],
            planes=self.planes.astype(np.int32, copy=False),
        )
