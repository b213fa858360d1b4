"""DiverseDepth, and other data in the form of its lists, which LeReS uses too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_grey8, read_image, read_png16, read_png_grey
from depthmix.sources.layout import check_size, path_below
from depthmix.sources.tables import LIST_MEMORY, MISFIT, read_json

__all__ = ["DiverseDepth"]


_UNITS: Final = {
    LabelKind.METRIC_DEPTH: "m",
    LabelKind.SCALED_DEPTH: "m up to scale",
    LabelKind.AFFINE_DISPARITY: "inverse depth up to scale and shift",
}


@dataclass(frozen=True, slots=True)
class _Part:
    """What the codes of one part of the collection mean, and which entry of the list names their file."""

    quality: Quality
    kind: LabelKind
    per_unit: float = 65535
    largest: int = 65535
    label: str = "depth_path"


_PARTS: Final = {
    "DiverseDepth": _Part(Quality.LOW, LabelKind.SCALED_DEPTH),
    "DIML_GANet": _Part(Quality.MIDDLE, LabelKind.SCALED_DEPTH),
    "taskonomy": _Part(Quality.HIGH, LabelKind.METRIC_DEPTH, 512, 23000),
    "HRWSI": _Part(Quality.LOW, LabelKind.AFFINE_DISPARITY, label="disp_path"),
    "Holopix50k": _Part(Quality.LOW, LabelKind.AFFINE_DISPARITY, label="disp_path"),
}


class DiverseDepth(Source):
    """Read photos that a list names, with depth, and where the list has them sky, plane instances and camera.

    Layout: `<root>/<part>/annotations/<split>_annotations.json`, a list of objects with `rgb_path`,
    `depth_path` or `disp_path`, and perhaps `mask_path`, `ins_planes_path` and `cam_intrinsic_para` (f, cx,
    cy); paths count from `root`.

    Convention: depth is a 16-bit PNG, 0 = none. Part "DiverseDepth" and part "DIML_GANet" (recomputed by a
    network) are depth up to scale; part "taskonomy" is 1/512 m, and codes above 23000 are rendering
    artefacts. Parts "HRWSI" and "Holopix50k", as LeReS packs them, name disparities by `disp_path`: PNG of 8
    or 16 bits, 0 = none as in its reader; unlike there they are never inverted, for their shift is not known.
    The masks are semantic maps without a table of names. Plane maps are 8-bit, 0 = no plane.

    Args:
        root: folder that holds the parts.
        name: name of the source in the mix.
        part: "DiverseDepth", "DIML_GANet", "taskonomy", "HRWSI" or "Holopix50k"; it decides quality and kind.
        split: "train" or "val".
        sky_class: number of sky in the masks. The package names no taxonomy; 17 is what its reader takes.
        corner_origin: whether the stated centres count from the corner of the first pixel; then half a pixel
            is taken off. The publisher does not say; the default takes pixel centres at integers.
    """

    card = SourceCard(
        family="web stereo",
        quality=Quality.LOW,
        kind=LabelKind.SCALED_DEPTH,
        unit="m up to scale",
        density="dense",
        noise="",
        licence="research only, as commonly stated; not confirmed at its publisher",
        citation="Yin, Wang, Shen, Liu, Tian, Xu, Sun, Renyin: DiverseDepth: Affine-invariant Depth "
        "Prediction Using "
        "Diverse Data, 2020; the packages HRWSI and Holopix50k: Yin et al.: Learning to Recover 3D Scene "
        "Shape from a Single Image, CVPR 2021",
        size="about 320 000 images: 110 000 with people and things before a background, 100 000 indoors, "
        "120 000 streets",
    )
    layout = "<part>/annotations/<split>_annotations.json, and the files that it names"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "diverse_depth",
        part: str = "DiverseDepth",
        split: str = "train",
        sky_class: int = 17,
        corner_origin: bool = False,
    ) -> None:
        super().__init__(root, name=name)
        if part not in _PARTS:
            raise ValueError(f"`part` must be one of {', '.join(_PARTS)}, got {part!r}")
        if not 0 <= sky_class <= 255:
            raise ValueError(f"`sky_class` must be in 0 .. 255, got {sky_class}")
        self.part, self.split = part, split
        self.sky_class, self.corner_origin = sky_class, corner_origin
        codes = _PARTS[part]
        unit = _UNITS[codes.kind]
        self.card = replace(type(self).card, quality=codes.quality, kind=codes.kind, unit=unit)
        self._rows: dict[str, dict[str, Any]] = {}

    def keys(self) -> Sequence[str]:
        """List the photos by their paths without suffix."""
        self._load()
        return sorted(self._rows)

    def files(self, key: str) -> Sequence[Path]:
        """List photo, list, masks where there are such, and depth or disparity."""
        row = self._row(key)
        more = [self.root / row[name] for name in ("mask_path", "ins_planes_path") if row.get(name)]
        return [self.root / row["rgb_path"], self._list, *more, self.root / row[_PARTS[self.part].label]]

    def read(self, key: str) -> Sample:
        """Read one photo."""
        row, codes = self._row(key), _PARTS[self.part]
        image_file, label_file = self.root / row["rgb_path"], self.root / row[codes.label]
        image = read_image(image_file)
        inverse = codes.kind is LabelKind.AFFINE_DISPARITY
        code = read_png_grey(label_file) if inverse else read_png16(label_file)
        check_size(code, label_file, image, image_file)
        sky = self._map(row, "mask_path", image, image_file)
        planes = self._map(row, "ins_planes_path", image, image_file)
        valid = (code > 0) & (code <= codes.largest)
        is_sky = None if sky is None else sky == self.sky_class
        valid = valid if is_sky is None else valid & ~is_sky
        target = code.astype(np.float32) / np.float32(np.iinfo(code.dtype).max if inverse else codes.per_unit)
        return self.sample(
            key,
            image=image,
            target=np.where(valid, target, np.float32(0)),
            valid=valid,
            sky=is_sky,
            planes=None if planes is None else planes.astype(np.int32),
            intrinsics=self._camera(row),
        )

    @property
    def _list(self) -> Path:
        return self.root / self.part / "annotations" / f"{self.split}_annotations.json"

    def _map(
        self, row: Mapping[str, Any], name: str, image: np.ndarray, image_file: Path
    ) -> np.ndarray | None:
        if not row.get(name):
            return None
        file = self.root / row[name]
        values = read_grey8(file)
        check_size(values, file, image, image_file)
        return values

    def _camera(self, row: Mapping[str, Any]) -> Intrinsics | None:
        stated = row.get("cam_intrinsic_para")
        if not stated:
            return None
        try:
            f, cx, cy = (float(number) for number in stated)
            half = 0.5 if self.corner_origin else 0.0
            return Intrinsics(f, f, cx - half, cy - half)
        except MISFIT as error:
            raise BadSource(f"is no camera: {error}", file=self._list, field="cam_intrinsic_para") from error

    def _row(self, key: str) -> dict[str, Any]:
        self._load()
        if key not in self._rows:
            raise self.unknown(key, file=self._list)
        return self._rows[key]

    def _load(self) -> None:
        if self._rows:
            return
        content: Any = read_json(self._list, max_memory=LIST_MEMORY)
        if not isinstance(content, list) or not content:
            raise BadSource("must hold a list of samples", file=self._list, hint=f"expected {self.layout}")
        rows: dict[str, dict[str, Any]] = {}
        for number, row in enumerate(content):
            key = PurePosixPath(self._checked(row, number)["rgb_path"]).with_suffix("").as_posix()
            if key in rows:
                raise BadSource("is named twice", file=self._list, field=f"entry {number}: {key}")
            rows[key] = row
        self._rows = rows

    def _checked(self, row: Any, number: int) -> dict[str, Any]:
        """Refuse an entry without its paths, and paths that lead out of the folder."""
        where = f"entry {number}"
        if not isinstance(row, dict):
            raise BadSource(f"must be an object, got {type(row).__name__}", file=self._list, field=where)
        needed = ("rgb_path", _PARTS[self.part].label)
        for name in (*needed, "mask_path", "ins_planes_path"):
            path = row.get(name)
            if path is None and name not in needed:
                continue
            try:
                path_below(path)
            except ValueError as error:
                raise BadSource(f"{name} {error}", file=self._list, field=where) from error
        return row
