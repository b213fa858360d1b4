"""Labels that a network made: photos with the predictions of a teacher."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from depthmix.errors import BadSample, BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Family, SourceCard
from depthmix.sources.folder import FolderSource, Tier
from depthmix.sources.label_codes import Meaning
from depthmix.sources.pattern import Pattern
from depthmix.sources.tables import read_json

__all__ = ["PseudoLabelSource"]

_KINDS: Final[dict[str, Meaning]] = {
    "metric depth": "depth",
    "relative inverse depth, unknown scale and shift": "inverse depth",
}


class PseudoLabelSource(FolderSource):
    """Read photos with a teacher's predictions, and where there are such with its confidence.

    Layout: as the patterns say, see `FolderSource`. What `depthmix predict --out predictions images/*.jpg`
    writes is read as it is: `predictions/*_depth.npy` with `*_depth.json` beside it, which says what the
    numbers are; of another teacher, `means`, `encoding` and `per_unit` say it.

    Args:
        root: folder that holds photos and predictions.
        teacher: name of the network, for the card.
        quality: how far it is trusted; LOW unless you know better.
        name: name of the source in the mix.
        images: pattern of the photos.
        labels: pattern of the predictions.
        means: "as stated" reads it from the JSON beside each prediction; else as in `FolderSource`.
        encoding: png16 or npy.
        per_unit: stored numbers in one metre.
        missing: stored numbers that mean nothing; none for a network that predicts every pixel.
        confidence: pattern of confidence maps: 8- or 16-bit PNG, whose largest value means 1, or NPY.
        min_confidence: less sure pixels are not valid.
        sky: pattern of masks that are not 0 where there is sky.
        camera: as in `FolderSource`; if neither it nor `intrinsics` is given, "as stated" takes the focal
            length that the prediction used, with the principal point in the middle.
        intrinsics: as in `FolderSource`.
        licence: terms of photos and teacher.

    Raises:
        BadSource: no such folder.
        ValueError: an option is out of its range, or does not go with another one.
    """

    card = SourceCard(
        family="pseudo labels",
        quality=Quality.LOW,
        kind=LabelKind.METRIC_DEPTH,
        unit="as its options say, and so is kind",
        density="dense",
        noise="whatever the teacher gets wrong",
        licence="those of photos and teacher",
        citation="the teacher's",
    )
    layout = "images/*.jpg with predictions/*_depth.npy and *_depth.json"
    family: ClassVar[Family] = "pseudo labels"

    def __init__(
        self,
        root: str | Path,
        *,
        teacher: str,
        quality: Tier = "LOW",
        name: str = "pseudo",
        images: str = "images/*.jpg",
        labels: str = "predictions/*_depth.npy",
        means: Literal["as stated", "depth", "distance", "scaled depth", "inverse depth"] = "as stated",
        encoding: Literal["png16", "npy"] = "npy",
        per_unit: float = 1.0,
        missing: Sequence[float] = (),
        confidence: str = "",
        min_confidence: float = 0.5,
        sky: str = "",
        camera: str = "",
        intrinsics: Sequence[float] = (),
        licence: str = "those of photos and teacher",
    ) -> None:
        if not teacher.strip():
            raise ValueError("`teacher` must name the network that made the labels")
        self.as_stated = means == "as stated"
        if self.as_stated and (encoding, per_unit) != ("npy", 1.0):
            raise ValueError('`means` "as stated" is for the NPY files of `depthmix predict`')
        self.teacher = teacher
        super().__init__(
            root,
            quality=quality,
            name=name,
            images=images,
            labels=labels,
            encoding=encoding,
            means=_stated_by_first(Path(root), images, labels) if means == "as stated" else means,
            per_unit=per_unit,
            missing=missing,
            confidence=confidence,
            min_confidence=min_confidence,
            sky=sky,
            camera=camera,
            intrinsics=intrinsics,
            licence=licence,
            citation=f"predictions of {teacher}",
        )

    def files(self, key: str) -> Sequence[Path]:
        """List the files of `FolderSource`, and before the prediction what is stated about it."""
        files = list(super().files(key))
        return [*files[:-1], _statement(files[-1]), files[-1]] if self.as_stated else files

    def read(self, key: str) -> Sample:
        """Read one photo with its prediction.

        Raises:
            BadSource: as `FolderSource.read`, or predictions of one folder mean different things.
            BadSample: as `FolderSource.read`.
        """
        sample = super().read(key)
        if not self.as_stated:
            return sample
        statement = self.files(key)[-2]
        means, focal = _stated(statement)
        if means != self.code.means:
            reason = f"says {means}, the first prediction says {self.code.means}"
            raise BadSource(reason, file=statement, hint="keep predictions of different kinds apart")
        if focal is None or sample.intrinsics is not None:
            return sample
        height, width = sample.size
        try:
            camera = Intrinsics(focal, focal, (width - 1) / 2, (height - 1) / 2)
        except BadSample as error:
            raise BadSource(error.reason, file=statement, field="focal_used") from error
        return sample.replaced(intrinsics=camera)


def _stated_by_first(root: Path, images: str, labels: str) -> Meaning:
    """Return what the first prediction says; a root that is none is the base's to refuse."""
    if not root.is_dir():
        return "depth"
    wild = next(iter(Pattern(images, "images").find(root).values()))
    pattern = Pattern(labels, "labels")
    if pattern.count != len(wild):
        return "depth"  # the base refuses this, too
    return _stated(_statement(root / pattern.filled(wild)))[0]


def _statement(prediction: Path) -> Path:
    return prediction.with_suffix(".json")


def _stated(file: Path) -> tuple[Meaning, float | None]:
    """Return what the numbers of a prediction mean, and the focal length in pixels that it used."""
    content: Any = read_json(file, max_bytes=100_000)
    kind, focal = (
        content.get(name) if isinstance(content, dict) else None for name in ("kind", "focal_used")
    )
    if not isinstance(kind, str) or kind not in _KINDS:
        hint = "say what the numbers are with `means`"
        raise BadSource(f"must say {' or '.join(_KINDS)}, got {kind!r}", file=file, field="kind", hint=hint)
    if focal is not None and type(focal) not in (int, float):
        raise BadSource(f"must be a number of pixels, got {focal!r}", file=file, field="focal_used")
    return _KINDS[kind], None if focal is None else float(focal)
