"""Segmentation maps of any taxonomy as weak labels: which pixels share a plane, and which are sky."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Int32, Int64

from depthmix.errors import BadSource
from depthmix.sample import LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_ids, read_image
from depthmix.sources.layout import check_size, files_below
from depthmix.sources.planes import drop_small
from depthmix.sources.tables import LIST_MEMORY, MISFIT, read_json, read_lines
from depthmix.sources.taxonomy import Role, own_roles, roles_of

__all__ = ["CocoPanoptic", "SemanticMaps", "plane_regions", "read_class_names"]

FLAT: Final = frozenset({Role.GROUND, Role.PLANE})


class CocoPanoptic(Source):
    """Read COCO panoptic segmentation: `<root>/{<split>/*.jpg, annotations/panoptic_<split>{.json,/*.png}}`.

    Segment ids are the PNG's R + 256 G + 65536 B; the JSON gives each segment a category, and the category's
    name decides by `taxonomy` whether it is flat. Only the two folders and the one JSON are needed.

    Args:
        root: folder of the data set.
        name: name of the source in the mix.
        split: "val2017" or "train2017", or that of a data set of one's own in the same format.
        min_pixels: smaller planes are dropped.
        piecewise: whether regions that may hold several planes (walls, houses) count as one; they often do
            not.
        roles: roles of class names that the reviewed table lacks, such as {"stage floor": "ground"}.
    """

    card = SourceCard(
        family="planes",
        quality=Quality.WEAK,
        kind=LabelKind.NONE,
        unit="",
        density="none",
        noise="",
        licence="annotations CC BY 4.0, images under the terms of Flickr and their owners",
        citation="Kirillov, He, Girshick, Rother, Dollar: Panoptic Segmentation, CVPR 2019",
        size="118 287 train + 5 000 val images (train2017, val2017)",
    )
    layout = "<split>/*.jpg, annotations/panoptic_<split>.json, annotations/panoptic_<split>/*.png"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "coco_panoptic",
        split: str = "val2017",
        min_pixels: int = 500,
        piecewise: bool = False,
        roles: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(root, name=name)
        self.split, self.min_pixels, self.piecewise = split, min_pixels, piecewise
        self.roles = dict(roles or {})
        own_roles(self.roles)
        self._segments: dict[str, dict[int, int]] = {}
        self._flat: set[int] = set()
        self._sky: set[int] = set()

    def keys(self) -> Sequence[str]:
        """List the images that have a flat segment or sky at all; the others teach nothing about planes."""
        self._load()
        flat = self._flat
        return sorted(key for key, kinds in self._segments.items() if flat & set(kinds.values()))

    def files(self, key: str) -> Sequence[Path]:
        """List image, table of segments and map."""
        folder = self.root / "annotations" / f"panoptic_{self.split}"
        return [self.root / self.split / f"{key}.jpg", folder.with_suffix(".json"), folder / f"{key}.png"]

    def read(self, key: str) -> Sample:
        """Read one image with its plane instances and its sky."""
        self._load()
        image_file, _, map_file = self.files(key)
        if key not in self._segments:
            raise self.unknown(key)
        image, ids = read_image(image_file), read_ids(map_file)
        check_size(ids, map_file, image, image_file)
        kinds = self._segments[key]
        flat = [segment for segment, kind in kinds.items() if kind in self._flat]
        sky = np.isin(ids, [segment for segment, kind in kinds.items() if kind in self._sky])
        planes = plane_regions(ids, np.isin(ids, flat), self.min_pixels)
        return self.sample(key, image=image, planes=planes, sky=sky)

    def __getstate__(self) -> dict[str, object]:
        # The table is read again by each process: sending it would cost more.
        return {**self.__dict__, "_segments": {}, "_flat": set(), "_sky": set()}

    def _load(self) -> None:
        if self._segments:
            return
        file = self.files("any")[1]
        content = read_json(file, max_memory=LIST_MEMORY)
        try:
            names = {int(one["id"]): str(one["name"]) for one in content["categories"]}  # type: ignore[index]
            segments = {
                Path(one["file_name"]).stem: {
                    int(part["id"]): int(part["category_id"]) for part in one["segments_info"]
                }
                for one in content["annotations"]  # type: ignore[index]
            }
        except MISFIT as error:
            raise BadSource(f"is no table of panoptic segments ({error!r})", file=file) from error
        if not segments:
            raise BadSource("holds no annotation", file=file, hint=f"expected {self.layout}")
        roles = roles_of(names, own_roles(self.roles), file)
        wanted = FLAT | {Role.PIECEWISE} if self.piecewise else FLAT
        self._flat = {number for number, role in roles.items() if role in wanted}
        self._sky = {number for number, role in roles.items() if role is Role.SKY}
        self._segments = segments


class SemanticMaps(Source):
    """Read images with a map of class numbers each, and a table of class names.

    Layout: `<root>/{images/**/*.jpg|png, labels/**/*.png, names.txt|json}`: the map of an image has its name
    and subfolder, with `image_end` replaced by `label_end`. Fits Cityscapes (`image_end="_leftImg8bit.png"`,
    `label_end="_gtFine_instanceIds.png"`, `divisor=1000`), ADE20K, Mapillary Vistas (`divisor=256`) and NYU40
    once their folders are linked as images and labels. `names` is a text of lines "number name", or a JSON
    object {"number": "name"}; no numbering is built in.

    Args:
        root: folder of the data set.
        name: name of the source in the mix.
        images: folder of the images.
        labels: folder of the maps.
        names: file of the class names.
        image_end: end of the image names that is not part of the key.
        label_end: end of the map names in its place.
        divisor: 0 for maps of class numbers; else value // divisor is the class and the value the instance,
            where the value is at least `divisor`, as Cityscapes and Mapillary write it.
        min_pixels: smaller planes are dropped.
        piecewise: as in `CocoPanoptic`.
        roles: as in `CocoPanoptic`.
    """

    card = SourceCard(
        family="planes",
        quality=Quality.WEAK,
        kind=LabelKind.NONE,
        unit="",
        density="none",
        noise="",
        licence="that of the segmentation data set; the layout does not state one",
        citation="the work that published the maps; one taxonomy for many is the idea of MSeg, CVPR 2020",
    )
    layout = "images/**/*.jpg, labels/**/*.png, names.txt"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "segmentation",
        images: str = "images",
        labels: str = "labels",
        names: str = "names.txt",
        image_end: str = ".jpg",
        label_end: str = ".png",
        divisor: int = 0,
        min_pixels: int = 500,
        piecewise: bool = False,
        roles: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(root, name=name)
        if divisor < 0:
            raise ValueError(f"`divisor` must not be negative, got {divisor}")
        self.images, self.labels, self.names = images, labels, names
        self.image_end, self.label_end, self.divisor = image_end, label_end, divisor
        self.min_pixels, self.piecewise, self.roles = min_pixels, piecewise, dict(roles or {})
        own_roles(self.roles)

    def keys(self) -> Sequence[str]:
        """List the images below the folder, without `image_end`."""
        pattern = f"{self.images}/**/*{self.image_end}"
        found = files_below(self.root, pattern, expected=self.layout)
        return sorted(file[len(self.images) + 1 : -len(self.image_end)] for file in found)

    def files(self, key: str) -> Sequence[Path]:
        """List image, class names and map."""
        return [
            self.root / self.images / f"{key}{self.image_end}",
            self.root / self.names,
            self.root / self.labels / f"{key}{self.label_end}",
        ]

    def read(self, key: str) -> Sample:
        """Read one image with the planes and the sky of its map."""
        image_file, names_file, map_file = self.files(key)
        roles = roles_of(read_class_names(names_file), own_roles(self.roles), names_file)
        image, values = read_image(image_file), read_ids(map_file)
        check_size(values, map_file, image, image_file)
        classes = np.where(values >= self.divisor, values // self.divisor, values) if self.divisor else values
        unknown = set(np.unique(classes).tolist()) - roles.keys()
        if unknown:
            reason = f"holds the class numbers {sorted(unknown)[:5]}, which {names_file.name} does not name"
            raise BadSource(reason, file=map_file, hint="give the table of names of this data set")
        wanted = FLAT | {Role.PIECEWISE} if self.piecewise else FLAT
        flat = np.isin(classes, [number for number, role in roles.items() if role in wanted])
        sky = np.isin(classes, [number for number, role in roles.items() if role is Role.SKY])
        planes = plane_regions(values, flat, self.min_pixels)
        return self.sample(key, image=image, planes=planes, sky=sky)


def read_class_names(file: Path) -> dict[int, str]:
    """Read class numbers and names: lines "number name" (tabs, commas or blanks between), or a JSON object.

    Raises:
        BadSource: no such file, no such lines, or a number given twice.
    """
    if file.suffix == ".json":
        content = read_json(file)
        if not isinstance(content, dict):
            raise BadSource("must be an object of numbers and names", file=file)
        rows = [(str(number), str(name)) for number, name in content.items()]
    else:
        # Only what stands right behind the number parts: "1, building, edifice" is one class.
        rows = [
            (part[1], part[2]) if (part := re.fullmatch(r"(\d+)[\s,;:]+(.+)", line)) else (line, "")
            for line in read_lines(file)
        ]
    names: dict[int, str] = {}
    for number, text in rows:
        # Five digits are enough for 16 bits, and thousands are more than Python reads.
        if not re.fullmatch("[0-9]{1,5}", number) or not text.strip() or int(number) in names:
            reason = "must hold lines `number name`, each number once"
            raise BadSource(reason, file=file, field=f"{number} {text}".strip()[:80])
        names[int(number)] = text.strip()
    if not names:
        raise BadSource("holds no class name", file=file)
    return names


def plane_regions(
    values: Int32[np.ndarray, "h w"] | Int64[np.ndarray, "h w"],
    flat: Bool[np.ndarray, "h w"],
    min_pixels: int,
) -> Int32[np.ndarray, "h w"]:
    """Number the connected regions of equal value among the flat pixels; small ones become 0.

    Two tables of one class, or one table behind a chair's back, need not lie in one plane, so what does not
    touch is told apart.
    """
    import cv2

    planes = np.zeros(values.shape, np.int32)
    count = 0
    for value in np.unique(values[flat]):
        found, parts = cv2.connectedComponents((flat & (values == value)).astype(np.uint8), connectivity=4)
        planes = np.where(parts > 0, parts.astype(np.int32) + count, planes)
        count += found - 1
    return drop_small(planes.astype(np.int32), min_pixels)
