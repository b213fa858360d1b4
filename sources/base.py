"""What every data source states about itself and how it hands over its samples."""

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8

from depthmix.errors import BadSample, BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.stereo import StereoViews

__all__ = ["Source", "SourceCard"]

Family = Literal[
    "web stereo",
    "structure from motion",
    "ordinal pairs",
    "lidar",
    "calibrated stereo",
    "rgb-d",
    "synthetic",
    "planes",
    "pseudo labels",
    "own files",
]


@dataclass(frozen=True, slots=True)
class SourceCard:
    """State what the labels of a source are worth and under which terms they may be used.

    Args:
        family: the way the label was measured.
        quality: how far its numbers can be trusted.
        kind: what its numbers mean.
        unit: unit of `Sample.target`, such as "m" or "1/m up to scale and shift".
        density: whether nearly every pixel has a label, or few do, or none.
        noise: the noise model in words or as a formula; empty where there is none.
        licence: licence or terms as the publisher states them.
        citation: the work to cite.
        size: published number of samples and how they are split, in words; empty where it is not known.
        read_on_real_files: whether this reader was run on files of the publisher, not only on files that were
            written after its description.
    """

    family: Family
    quality: Quality
    kind: LabelKind
    unit: str
    density: Literal["dense", "sparse", "none"]
    noise: str
    licence: str
    citation: str
    size: str = ""
    read_on_real_files: bool = False

    def plain(self) -> dict[str, str]:
        """Return what a prepared set has to know, as text; the last two are for the catalogue alone.

        So these two may be reworded without making prepared sets out of date.
        """
        kept = asdict(self) | {"quality": self.quality.name, "kind": self.kind.name}
        return {name: value for name, value in kept.items() if name not in ("size", "read_on_real_files")}


class Source(ABC):
    """Read one raw data set in its published layout.

    Subclasses set `card` and implement `keys`, `files` and `read`. Reading never writes into the raw
    folder, imports no torch, and ends in a checked `Sample` or in `BadSource` / `BadSample`. Where options
    change what the labels are worth, the constructor sets a card of the instance.

    Args:
        root: folder of the raw data.
        name: name of the source in the mix.

    Raises:
        BadSource: `root` is not a folder.
    """

    card: SourceCard

    def __init__(self, root: str | Path, *, name: str) -> None:
        self.root = Path(root)
        self.name = name
        self._check_root()

    layout: ClassVar[str] = "the raw data set"

    def _check_root(self) -> None:
        """Refuse a root that is no folder; a source that also reads archives overrides this."""
        if not self.root.is_dir():
            hint = f"give the folder that holds {self.layout}"
            raise BadSource("no such folder", file=self.root, sample=self.name, hint=hint)

    @abstractmethod
    def keys(self) -> Sequence[str]:
        """List the keys of all samples, sorted, without opening any image."""

    @abstractmethod
    def files(self, key: str) -> Sequence[Path]:
        """List the raw files that sample `key` is made of, for fingerprints and error messages."""

    @abstractmethod
    def read(self, key: str) -> Sample:
        """Read, convert and tag one sample.

        Raises:
            BadSource: a file is missing, damaged or not what the format says.
            BadSample: the content breaks the contract of `Sample`.
        """

    def views(self, key: str) -> StereoViews | None:
        """Return both pictures of a stereo pair with the label's disparity, or None without a second picture.

        Raises:
            BadSource: as `read`.
        """
        return None

    def __len__(self) -> int:
        return len(self.keys())

    def __iter__(self) -> Iterator[Sample]:
        return (self.read(key) for key in self.keys())

    def unknown(self, key: str, *, file: Path | None = None, hint: str | None = "see keys()") -> BadSource:
        """Return the error for a key that no sample has; `file` is what lists the keys, if not the root."""
        reason, named = "no sample has this key", f"{self.name}/{key}"
        return BadSource(reason, file=file or self.root, sample=named, hint=hint)

    def sample(
        self,
        key: str,
        *,
        image: UInt8[np.ndarray, "h w 3"],
        target: Float32[np.ndarray, "h w"] | None = None,
        valid: Bool[np.ndarray, "h w"] | None = None,
        sky: Bool[np.ndarray, "h w"] | None = None,
        planes: Int32[np.ndarray, "h w"] | None = None,
        sigma: Float32[np.ndarray, "h w"] | None = None,
        intrinsics: Intrinsics | None = None,
        pairs: Int32[np.ndarray, "p 5"] | None = None,
    ) -> Sample:
        """Build the tagged sample from what a source has; what it has not is marked as absent.

        Raises:
            BadSample: as `Sample`, with the raw files of the sample named.
        """
        size = image.shape[:2]
        try:
            return Sample(
                image=image,
                target=np.zeros(size, np.float32) if target is None else target,
                valid=np.zeros(size, np.bool_) if valid is None else valid,
                sky=np.zeros(size, np.bool_) if sky is None else sky,
                planes=np.zeros(size, np.int32) if planes is None else planes,
                sigma=sigma,
                intrinsics=intrinsics,
                quality=self.card.quality,
                kind=self.card.kind,
                source=self.name,
                key=key,
                pairs=pairs,
            )
        except BadSample as error:
            named = f"{self.name}/{key}"
            raise BadSample(
                error.reason, file=self.files(key)[-1], sample=named, field=error.field, hint=error.hint
            ) from error


def _leave_threads_behind() -> None:
    # A copy of OpenCV threads that are at work during a fork hangs: 3 of 200 forks behind FoundPlanes did.
    if cv2 := sys.modules.get("cv2"):
        cv2.setNumThreads(0)


os.register_at_fork(after_in_child=_leave_threads_behind)
