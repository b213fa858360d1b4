"""OASIS: photos with surfaces that people drew: depth of each, plane instances, ordinal pairs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float32, Int32

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_grey8, read_image, refusing
from depthmix.sources.layout import check_size, files_by_stem
from depthmix.sources.ordinal import pairs_of_rows
from depthmix.sources.tables import read_csv, read_lines
from depthmix.sources.unpickle import read_pickle

__all__ = ["Oasis", "read_box_of_depth"]

COLUMNS = ("Image", "FocalLength", "Depth", "PlanarInstance", "ContinuousInstance")
Labels = Literal["depth", "planes", "pairs"]
ORTHOGRAPHIC = 1e8  # focal lengths beyond it stand for parallel rays


class Oasis(Source):
    """Read one of the three labels of OASIS.

    Layout: `<root>/OASIS_trainval/{OASIS_train.csv, OASIS_val.csv, image/<id>.png, depth/<id>.pkl,
    segmentation/{planar_instance,continuous_instance}/<id>.png, DIW_style_rel_depth/<id>.csv}`, as the two
    archives unpack. The table says which labels a photo has; of the paths in it only the names are used.
    Pickles are read without running anything that they may hold. The test photos have no public labels.

    labels="depth": photos with depth and surfaces. A person drew the slope of each continuous surface, so the
    depth is known up to a factor for each of them; the publisher's measure fits a factor and a shift to each.
    A sample has one factor: only the surface with the most pixels is valid, unless `one_surface` is False.
    Photos with parallel rays have no such factor and are left out. Plane instances come along where there are
    any. labels="planes": photos with plane instances, no depth. labels="pairs": photos with a file of ordinal
    pairs; the publisher's reader does without those that lack one.

    Convention: z where the box in the pickle holds a positive number, NaN is not valid; y before x in pairs,
    ">" means that the first is farther. The focal length is an estimate of the publisher; where it is empty
    or not positive there is no camera. The principal point is at half of width and height, in pixels that
    count from 0, as in the publisher's code. No sky.

    Args:
        root: folder that holds `OASIS_trainval`.
        name: name of the source in the mix.
        split: "train" or "val".
        labels: which label.
        one_surface: keep the depth of the largest surface only.
        max_plane_id: larger numbers in the plane map are no planes; 20 is the publisher's bound.
        first_pixel: number of the first row and column in the pairs, 0 or 1; the publisher's reader takes 0.

    Raises:
        BadSource: no such folder.
        ValueError: an option is out of range.
    """

    card = SourceCard(
        family="planes",
        quality=Quality.LOW,
        kind=LabelKind.SCALED_DEPTH,
        unit="depth up to scale",
        density="dense",
        noise="",
        licence="that of the file LICENSE in the download; not confirmed at its publisher",
        citation="Chen, Qian, Fan, Kojima, Hamilton, Deng: OASIS: A Large-Scale Dataset for Single Image 3D "
        "in the Wild, CVPR 2020",
        size="140 000 photos with test, as stated in the paper; not all have every label",
    )
    layout: ClassVar[str] = "OASIS_trainval/{OASIS_<split>.csv, image, depth, segmentation, ...}"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "oasis",
        split: Literal["train", "val"] = "train",
        labels: Labels = "depth",
        one_surface: bool = True,
        max_plane_id: int = 20,
        first_pixel: int = 0,
    ) -> None:
        super().__init__(root, name=name)
        for option, value, allowed in (
            ("split", split, ("train", "val")),
            ("labels", labels, get_args(Labels)),
            ("first_pixel", first_pixel, (0, 1)),
        ):
            if value not in allowed:
                raise ValueError(f"`{option}` must be one of {allowed}, got {value!r}")
        if max_plane_id < 1:
            raise ValueError(f"`max_plane_id` must be positive, got {max_plane_id}")
        self.labels, self.one_surface = labels, one_surface
        self.max_plane_id, self.first_pixel = max_plane_id, first_pixel
        if labels != "depth":
            kind = LabelKind.NONE if labels == "planes" else LabelKind.ORDINAL
            family: Literal["planes", "ordinal pairs"] = "planes" if labels == "planes" else "ordinal pairs"
            self.card = replace(
                self.card, family=family, quality=Quality.WEAK, kind=kind, unit="", density="none"
            )
        self.folder = self.root / "OASIS_trainval"
        self.table = self.folder / f"OASIS_{split}.csv"
        self._rows: dict[str, dict[str, str]] | None = None

    def keys(self) -> Sequence[str]:
        """List the ids of the photos that have the label.

        Raises:
            BadSource: the table is missing, damaged, or no photo has the label.
        """
        rows = self._table()
        if self.labels == "pairs":
            listed = files_by_stem(self.folder / "DIW_style_rel_depth", (".csv",))
            keys = sorted(rows.keys() & listed.keys())
        else:
            keys = sorted(key for key, row in rows.items() if self._has_label(row))
        if not keys:
            raise BadSource(f"lists no photo with {self.labels}", file=self.table, hint=self.layout)
        return keys

    def files(self, key: str) -> Sequence[Path]:
        """List photo, table, and the files of the label."""
        row = self._row(key)
        image = self.folder / "image" / _name(row["Image"])
        if self.labels == "pairs":
            return [image, self.table, self.folder / "DIW_style_rel_depth" / f"{key}.csv"]
        wanted = {
            "segmentation/continuous_instance": self._surfaces_of(row),
            "segmentation/planar_instance": row["PlanarInstance"],
            "depth": row["Depth"] if self.labels == "depth" else "",
        }
        return [
            image,
            self.table,
            *(self.folder / part / _name(cell) for part, cell in wanted.items() if cell),
        ]

    def read(self, key: str) -> Sample:
        """Read one photo with its label."""
        files = {file.parent.name: file for file in self.files(key)}
        image = read_image(files["image"])
        size, camera = image.shape[:2], self._camera(key, image.shape[1], image.shape[0])
        if self.labels == "pairs":
            file = files["DIW_style_rel_depth"]
            rows = [line.split(",") for line in read_lines(file)]
            pairs = pairs_of_rows(rows, (size[0], size[1]), first_pixel=self.first_pixel, file=file)
            return self.sample(key, image=image, pairs=pairs, intrinsics=camera)
        maps: dict[str, Int32[np.ndarray, "h w"]] = {}
        for part in {"planar_instance", "continuous_instance"} & files.keys():
            maps[part] = read_grey8(files[part]).astype(np.int32)
            check_size(maps[part], files[part], image, files["image"])
        planes = maps.get("planar_instance", np.zeros(size, np.int32))
        planes = np.where(planes <= self.max_plane_id, planes, 0)
        if self.labels == "planes":
            return self.sample(key, image=image, planes=planes, intrinsics=camera)
        depth = read_box_of_depth(files["depth"], (size[0], size[1]))
        valid = np.isfinite(depth) & (depth > 0)
        if self.one_surface:
            valid = _largest(maps["continuous_instance"], valid)
        return self.sample(key, image=image, target=depth, valid=valid, planes=planes, intrinsics=camera)

    def _surfaces_of(self, row: dict[str, str]) -> str:
        return row["ContinuousInstance"] if self.labels == "depth" and self.one_surface else ""

    def _camera(self, key: str, width: int, height: int) -> Intrinsics | None:
        focal = self._focal(self._row(key))
        if np.isnan(focal) or focal > ORTHOGRAPHIC:
            return None
        # The publisher's code subtracts half of width and height from pixels that count from 0.
        return Intrinsics(focal, focal, width / 2, height / 2)

    def _focal(self, row: dict[str, str]) -> float:
        try:
            focal = float(row["FocalLength"] or "nan")
        except ValueError as error:
            raise BadSource(str(error), file=self.table, field="FocalLength") from error
        return focal if focal > 0 else np.nan

    def _has_label(self, row: dict[str, str]) -> bool:
        if self.labels != "depth":
            return self.labels == "pairs" or bool(row["PlanarInstance"])
        parallel = self._focal(row) > ORTHOGRAPHIC
        return bool(row["Depth"] and (row["ContinuousInstance"] or not self.one_surface) and not parallel)

    def _row(self, key: str) -> dict[str, str]:
        row = self._table().get(key)
        if row is None or not self._has_label(row):
            raise self.unknown(key, file=self.table)
        return row

    def _table(self) -> dict[str, dict[str, str]]:
        if self._rows is None:
            rows: dict[str, dict[str, str]] = {}
            with refusing(self.table, "expected the columns Image, FocalLength, Depth, PlanarInstance, ..."):
                for cells in read_csv(self.table):
                    row = {name: cells[name].strip() for name in COLUMNS}
                    if rows.setdefault(PurePosixPath(_name(row["Image"])).stem, row) != row:
                        raise BadSource(f"names {row['Image']} twice, with other labels", file=self.table)
            self._rows = rows
        return self._rows


def read_box_of_depth(file: Path, size: tuple[int, int]) -> Float32[np.ndarray, "h w"]:
    """Read the depth that a pickle holds for a box of the image; NaN outside the box.

    Convention: the corners min_y, max_y, min_x, max_x belong to the box.

    Raises:
        BadSource: no such file, damaged, it names something that is no plain data, or the box does not fit.
    """
    content = read_pickle(file)
    with refusing(file):
        top, bottom, left, right = (int(content[name]) for name in ("min_y", "max_y", "min_x", "max_x"))
        depth = np.asarray(content["depth"])
    inside = 0 <= top <= bottom < size[0] and 0 <= left <= right < size[1]
    if depth.dtype.kind != "f" or not inside or depth.shape != (bottom - top + 1, right - left + 1):
        reason = (
            f"{depth.dtype} {depth.shape} for rows {top} to {bottom}, columns {left} to {right} of {size}"
        )
        raise BadSource(f"the depth does not fit: {reason}", file=file)
    full = np.full(size, np.nan, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # damaged numbers become inf and NaN
        full[top : bottom + 1, left : right + 1] = depth
    return full


def _largest(surfaces: Int32[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    counts = np.bincount(surfaces[valid], minlength=1)
    counts[0] = 0  # 0 is no surface
    return np.asarray(valid & (surfaces == counts.argmax()) & (surfaces > 0))


def _name(path: str) -> str:
    return PurePosixPath(path.replace("\\", "/")).name
