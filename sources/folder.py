"""Any folder of images and labels, described by options alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final, Literal

import numpy as np
from jaxtyping import Float32

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Family, Source, SourceCard
from depthmix.sources.camera import camera_of_matrix, read_intrinsics
from depthmix.sources.decode import read_ids, read_image, read_mask, read_npy, read_png_grey
from depthmix.sources.label_codes import Encoding, LabelCode, Meaning
from depthmix.sources.layout import check_size, image_of_size
from depthmix.sources.pattern import Pattern
from depthmix.sources.tables import read_pairs

__all__ = ["FolderSource"]

Tier = Literal["WEAK", "LOW", "MIDDLE", "HIGH"]


class FolderSource(Source):
    """Read images and labels whose place and meaning are said by options: no code is needed.

    Layout: as the patterns say. `*` stands for any part of a name, `**/` for any folders; the files of one
    sample are those where all wildcards stand for the same. With `images="rgb/**/*.jpg"` and
    `labels="depth/**/*.png"`, the label of `rgb/hall/7.jpg` is `depth/hall/7.png` and its key `hall/7`. An
    image without its label is an error, not left out.

    Convention: pixel centres at integers, unless `corner_origin`. A label of another size than its image is
    kept, and the image is brought to its size.

    Args:
        root: folder of the data.
        quality: how far the numbers can be trusted: WEAK, LOW, MIDDLE or HIGH.
        name: name of the source in the mix.
        images: pattern of the images.
        labels: pattern of the label maps; "" has none, then there must be `planes` or `pairs`.
        encoding: form of the label files: png16, png8, npy, npz, hdf5, exr, pfm or tiff.
        means: what their numbers mean: "depth", "distance", "scaled depth", "inverse depth" or "disparity",
            see `LabelCode`.
        field: name of the array in npz and hdf5 files, of the channel in exr files.
        per_unit: stored numbers in one metre or pixel, such as 1000 for millimetres, 256 for KITTI's PNG.
        missing: stored numbers that say that nothing was measured.
        lowest: metres below which depth is not valid.
        highest: metres above which depth is not valid.
        baseline_m: distance of the two cameras, for disparities.
        doffs_px: added to every disparity.
        sigma_disparity_px: one standard deviation of a disparity.
        masks: pattern of masks that are not 0 where the label is valid.
        confidence: pattern of confidence maps, PNG of 8 or 16 bits whose largest value means 1, or NPY.
        min_confidence: labels that are less sure are not valid.
        sky: pattern of masks that are not 0 where there is sky.
        planes: pattern of maps of plane ids, 0 = no plane.
        pairs: pattern of text files with ordinal pairs, one a line: u1 v1 u2 v2 relation.
        camera: pattern of files with intrinsics: nine numbers of the matrix in .txt, or .json with fx, fy,
            cx, cy; without wildcards it is one file for all.
        intrinsics: fx, fy, cx, cy of all images, in place of `camera`.
        corner_origin: the principal point counts from the corner of the first pixel; half a pixel is taken
            off.
        licence: terms of the data.
        citation: work to cite.
        density: whether nearly every pixel has a label ("dense"), or few do ("sparse").

    Raises:
        BadSource: no such folder.
        ValueError: an option is out of its range, or does not go with another one.

    Example:
        >>> source = FolderSource("scans", quality="HIGH", images="rgb/*.jpg", labels="depth/*.png",
        ...                       encoding="png16", per_unit=1000)  # doctest: +SKIP
    """

    card = SourceCard(
        family="own files",
        quality=Quality.MIDDLE,
        kind=LabelKind.METRIC_DEPTH,
        unit="as its options say, and so are quality and kind",
        density="dense",
        noise="",
        licence="that of the data",
        citation="that of the data",
        read_on_real_files=True,
    )
    layout = "the files that its patterns name"
    family: ClassVar[Family] = "own files"

    def __init__(
        self,
        root: str | Path,
        *,
        quality: Tier,
        name: str = "folder",
        images: str = "images/*.jpg",
        labels: str = "",
        encoding: Encoding = "png16",
        means: Meaning = "depth",
        field: str = "",
        per_unit: float = 1.0,
        missing: Sequence[float] = (0.0,),
        lowest: float = 0.0,
        highest: float = float("inf"),
        baseline_m: float = 0.0,
        doffs_px: float = 0.0,
        sigma_disparity_px: float = 0.5,
        masks: str = "",
        confidence: str = "",
        min_confidence: float = 0.5,
        sky: str = "",
        planes: str = "",
        pairs: str = "",
        camera: str = "",
        intrinsics: Sequence[float] = (),
        corner_origin: bool = False,
        licence: str = "that of the data",
        citation: str = "that of the data",
        density: Literal["dense", "sparse"] = "dense",
    ) -> None:
        super().__init__(root, name=name)
        if quality not in Quality.__members__:
            raise ValueError(f"`quality` must be one of {', '.join(Quality.__members__)}, got {quality!r}")
        self.code = LabelCode(
            means=means,
            encoding=encoding,
            field=field,
            per_unit=per_unit,
            missing=tuple(missing),
            lowest=lowest,
            highest=highest,
            baseline_m=baseline_m,
            doffs_px=doffs_px,
            sigma_disparity_px=sigma_disparity_px,
        )
        self.images, self.labels, self.masks, self.sky = images, labels, masks, sky
        self.planes, self.pairs, self.camera = planes, pairs, camera
        self.confidence, self.min_confidence = confidence, min_confidence
        self.intrinsics, self.corner_origin = tuple(intrinsics), corner_origin
        self._patterns = self._checked_patterns()
        self.card = self._own_card(Quality[quality], density, licence, citation)
        self._found: dict[str, tuple[str, ...]] = {}

    def keys(self) -> Sequence[str]:
        """List what the wildcards of the images stand for."""
        if not self._found:
            self._found = self._patterns["images"].find(self.root)
        return list(self._found)

    def files(self, key: str) -> Sequence[Path]:
        """List image, camera, masks, planes, pairs and label, as far as there are patterns of them."""
        return list(self._files(key).values())

    def read(self, key: str) -> Sample:
        """Read one sample.

        Raises:
            BadSource: a file is missing, damaged, of another size, or not what the options say.
            BadSample: the content breaks the contract of `Sample`.
        """
        files = self._files(key)
        image, camera = read_image(files["images"]), self._camera(files)
        maps = {name: read(files[name]) for name, read in _MAPS.items() if name in files}
        stored = self.code.stored(files["labels"]) if "labels" in files else maps.get("planes", image)
        image, camera = image_of_size(image, camera, (stored.shape[0], stored.shape[1]))
        target, valid, sigma = self.code.labels(stored, camera) if "labels" in files else (None, None, None)
        for name, array in maps.items():
            check_size(array, files[name], image, files["images"])
        sky = maps.get("sky")
        if valid is not None:
            valid = valid & maps.get("masks", np.True_)
            valid = valid & (maps["confidence"] >= self.min_confidence) if "confidence" in maps else valid
            valid = valid if sky is None else valid & ~sky
        return self.sample(
            key,
            image=image,
            target=target,
            valid=valid,
            sky=sky,
            planes=maps.get("planes"),
            sigma=sigma,
            intrinsics=camera,
            pairs=read_pairs(files["pairs"], (image.shape[0], image.shape[1])) if "pairs" in files else None,
        )

    def _files(self, key: str) -> dict[str, Path]:
        if key not in self._found and key not in self.keys():
            raise self.unknown(key)
        wild = self._found[key]
        return {
            option: self.root / (pattern.filled(wild) if pattern.count else pattern.text)
            for option, pattern in self._patterns.items()
        }

    def _camera(self, files: dict[str, Path]) -> Intrinsics | None:
        if self.intrinsics:
            camera = Intrinsics(*self.intrinsics)
        elif "camera" in files:
            file = files["camera"]
            camera = read_intrinsics(file) if file.suffix.lower() == ".json" else camera_of_matrix(file)
        else:
            return None
        half = 0.5 if self.corner_origin else 0.0
        return Intrinsics(camera.fx, camera.fy, camera.cx - half, camera.cy - half)

    def _checked_patterns(self) -> dict[str, Pattern]:
        # The label comes last, as the file that an error of the sample names.
        order = ("images", "camera", "masks", "confidence", "sky", "planes", "pairs", "labels")
        patterns = {
            option: Pattern(getattr(self, option), option) for option in order if getattr(self, option)
        }
        if "images" not in patterns:
            raise ValueError("`images` must be a pattern, got ''")
        for option, pattern in patterns.items():
            shared = option == "camera" and not pattern.count
            if pattern.count != patterns["images"].count and not shared:
                reason = f"must have the {patterns['images'].count} wildcards of `images`"
                raise ValueError(f"`{option}` {reason}, got {pattern.text!r} for {self.images!r}")
        if not {"labels", "planes", "pairs"} & set(patterns):
            raise ValueError("one of `labels`, `planes` and `pairs` must be given")
        for option in ("masks", "confidence"):
            if option in patterns and "labels" not in patterns:
                raise ValueError(f"`{option}` says where labels are valid, but there are no `labels`")
        if not 0 <= self.min_confidence <= 1:
            raise ValueError(f"`min_confidence` must be in [0, 1], got {self.min_confidence}")
        self._check_camera(patterns)
        return patterns

    def _check_camera(self, patterns: dict[str, Pattern]) -> None:
        if self.intrinsics and "camera" in patterns:
            raise ValueError("`intrinsics` and `camera` both state a camera: which one is meant?")
        if self.intrinsics and len(self.intrinsics) != 4:
            raise ValueError(f"`intrinsics` must be fx, fy, cx, cy, got {list(self.intrinsics)}")
        if self.intrinsics and not (np.isfinite(self.intrinsics).all() and min(self.intrinsics[:2]) > 0):
            raise ValueError(f"`intrinsics` must be finite, fx and fy positive, got {list(self.intrinsics)}")
        known = bool(self.intrinsics) or "camera" in patterns
        if self.corner_origin and not known:
            raise ValueError(
                "`corner_origin` is about a camera, but there is neither `camera` nor `intrinsics`"
            )
        if "labels" in patterns and self.code.needs_camera and not known:
            raise ValueError(f"`means` {self.code.means} needs a camera: give `camera` or `intrinsics`")
        if "camera" in patterns and patterns["camera"].suffix not in (".txt", ".json"):
            raise ValueError(f"`camera` must name .txt or .json files, got {self.camera!r}")

    def _own_card(
        self, quality: Quality, density: Literal["dense", "sparse"], licence: str, citation: str
    ) -> SourceCard:
        if self.labels:
            kind, unit, noise = self.code.kind, self.code.unit, self.code.noise
        else:
            kind, unit, noise = (LabelKind.ORDINAL if self.pairs else LabelKind.NONE), "", ""
        return SourceCard(
            family=self.family,
            quality=quality,
            kind=kind,
            unit=unit,
            density=density if self.labels else "none",
            noise=noise,
            licence=licence,
            citation=citation,
        )


def read_confidence(file: Path) -> Float32[np.ndarray, "h w"]:
    """Read a map of numbers from 0 to 1.

    Raises:
        BadSource: no such file, damaged, no map, or other numbers.
    """
    if file.suffix.lower() == ".npy":
        values = np.squeeze(read_npy(file)).astype(np.float32)
        if values.ndim != 2 or not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise BadSource("must be one map (h, w) of numbers from 0 to 1", file=file)
        return values
    pixels = read_png_grey(file)
    return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)


_MAPS: Final = {"masks": read_mask, "confidence": read_confidence, "sky": read_mask, "planes": read_ids}
