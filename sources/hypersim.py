"""Hypersim: rendered rooms with exact distances, through cameras whose film may be tilted or shifted."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal, get_args

import numpy as np

from depthmix.errors import BadSource
from depthmix.sample import LabelKind, Quality, Sample
from depthmix.sources.arrays import read_hdf5
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_image
from depthmix.sources.encoding import measured
from depthmix.sources.film import NOMINAL_CAMERA, Film, film_of_matrix
from depthmix.sources.layout import check_size, files_below
from depthmix.sources.tables import MISFIT, read_csv

__all__ = ["Hypersim"]

Split = Literal["all", "train", "val", "test"]
Missing = Literal["unknown", "sky"]


class Hypersim(Source):
    """Read `<root>/ai_VVV_NNN/images/scene_cam_XX_{final_preview, geometry_hdf5}` as metric depth.

    Layout: `final_preview/frame.IIII.tonemap.jpg` and `geometry_hdf5/frame.IIII.depth_meters.hdf5` (dataset
    `dataset`, float16), as the archives of the scenes unpack; the other archives are not read. A key is
    `ai_VVV_NNN/cam_XX/IIII`. The publisher advises to make photos from the HDR images instead of taking the
    previews, which are compressed; the previews are what most published models were trained on.

    Convention: the stored number is the distance to the camera's centre in metres and becomes z here; NaN
    means that the ray met no surface. Many scenes have a tilted or shifted film, so that the nominal camera
    misses their rays, in some by a tenth of the image. The table `metadata_camera_parameters.csv` of the
    publisher's repository (contrib/mikeroberts3000) has the true rays, `M_cam_from_uv`: with it, z is
    counted along the normal of the film, which makes every scene a plain pinhole camera. A film whose rows
    and columns are not at right angles has no such camera: where it is off by more than half a pixel, z is
    still exact and the intrinsics are None.

    Planes are not read: the classes of `semantic.hdf5` are no planes. `FoundPlanes` finds them in the depth.

    Args:
        root: folder of the scene folders, `evermotion_dataset/scenes` in the publisher's scripts.
        name: name of the source in the mix.
        cameras: the table named above; a relative path starts at `root`. Empty: the nominal camera, which is
            right only for scenes without tilt and shift.
        split: frames of one part of the publisher's split.
        split_table: the publisher's `metadata_images_split_scene_v1.csv`; a relative path starts at `root`.
        missing: whether NaN is "unknown" or "sky". It is what a window shows where the artist put nothing
            behind it, and a hole in the geometry elsewhere.

    Raises:
        BadSource: no such folder.
        ValueError: `split` or `missing` is none of the words above.
    """

    card = SourceCard(
        family="synthetic",
        quality=Quality.HIGH,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="dense",
        noise="",
        licence="CC BY-SA 3.0",
        citation="Roberts, Ramapuram, Ranjan, Kumar, Bautista, Paczan, Webb, Susskind: Hypersim: A "
        "Photorealistic Synthetic Dataset for Holistic Indoor Scene Understanding, ICCV 2021",
        size="74 619 public images of 461 scenes, split by scene into train, val and test; 1.9 TB in all",
        read_on_real_files=True,
    )
    layout: ClassVar[str] = (
        "ai_*/images/scene_cam_*_{final_preview/frame.*.tonemap.jpg, geometry_hdf5/frame.*.depth_meters.hdf5}"
    )

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "hypersim",
        cameras: str = "",
        split: Split = "all",
        split_table: str = "metadata_images_split_scene_v1.csv",
        missing: Missing = "unknown",
    ) -> None:
        super().__init__(root, name=name)
        for option, value, allowed in (("split", split, Split), ("missing", missing, Missing)):
            if value not in get_args(allowed):
                raise ValueError(f"`{option}` must be one of {', '.join(get_args(allowed))}, got {value!r}")
        self.cameras, self.split, self.split_table, self.missing = cameras, split, split_table, missing

    def keys(self) -> Sequence[str]:
        """List the images as `ai_VVV_NNN/cam_XX/IIII`; of a split, those that are there.

        Raises:
            BadSource: there is none, or the table of the split is missing or of another form.
        """
        pattern = "ai_*/images/scene_cam_*_final_preview/frame.*.tonemap.jpg"
        parts = [file.split("/") for file in files_below(self.root, pattern, expected=self.layout)]
        keys = sorted(
            f"{scene}/{folder.removeprefix('scene_').removesuffix('_final_preview')}/{file.split('.')[1]}"
            for scene, _, folder, file in parts
        )
        if self.split == "all":
            return keys
        table = self.root / self.split_table
        wanted = _keys_of_split(table, self.split)
        kept = [key for key in keys if key in wanted]
        if not kept:
            raise BadSource(f"lists no image of {self.split} that is here", file=table, hint=str(self.root))
        return kept

    def files(self, key: str) -> Sequence[Path]:
        """List image, table of cameras where one is used, and distance."""
        if key.count("/") != 2:
            hint = "keys are ai_VVV_NNN/cam_XX/IIII, see keys()"
            raise self.unknown(key, hint=hint)
        scene, camera, number = key.split("/")
        images = self.root / scene / "images"
        return [
            images / f"scene_{camera}_final_preview" / f"frame.{number}.tonemap.jpg",
            *([self.root / self.cameras] if self.cameras else []),
            images / f"scene_{camera}_geometry_hdf5" / f"frame.{number}.depth_meters.hdf5",
        ]

    def read(self, key: str) -> Sample:
        """Read one view.

        Raises:
            BadSource: a file is missing, damaged or of another form, or the table lacks the scene.
            BadSample: no pixel has a depth.
        """
        image_file, *_, distance_file = self.files(key)
        image, distance = read_image(image_file), read_hdf5(distance_file, "dataset")
        if distance.ndim != 2 or distance.dtype.kind != "f":
            reason = f"must be float (h, w), got {distance.dtype} {distance.shape}"
            raise BadSource(reason, file=distance_file, field="dataset")
        check_size(distance, distance_file, image, image_file)
        film = self.film(key.split("/")[0], image.shape[:2])
        length, valid = measured(distance)
        sky = np.isnan(distance) if self.missing == "sky" else None
        target = film.depth_of_distance(length)
        return self.sample(key, image=image, target=target, valid=valid, sky=sky, intrinsics=film.intrinsics)

    def film(self, scene: str, size: tuple[int, int]) -> Film:
        """Return the camera of a scene for images of the given rows and columns.

        Raises:
            BadSource: there is a table, and it is missing, of another form, or lacks the scene.
        """
        if not self.cameras:
            return film_of_matrix(NOMINAL_CAMERA, size, self.root)
        file = self.root / self.cameras
        scenes = _matrices(file, file.stat().st_mtime_ns if file.is_file() else 0)
        if scene not in scenes:
            raise BadSource("the table has no such scene", file=file, field=scene)
        return film_of_matrix(np.array(scenes[scene]).reshape(3, 3), size, file, scene)


def _keys_of_split(file: Path, split: str) -> set[str]:
    rows = read_csv(file)
    try:
        return {
            f"{row['scene_name']}/{row['camera_name']}/{int(row['frame_id']):04d}"
            for row in rows
            if row["split_partition_name"] == split
        }
    except MISFIT as error:
        raise BadSource(f"is no table of a split: {error!r}", file=file) from error


@lru_cache(maxsize=4)
def _matrices(file: Path, changed: int) -> Mapping[str, tuple[float, ...]]:
    # `changed` is a part of what is remembered: a table that was replaced is read anew.
    names = [f"M_cam_from_uv_{row}{column}" for row in range(3) for column in range(3)]
    try:
        return {row["scene_name"]: tuple(float(row[name]) for name in names) for row in read_csv(file)}
    except MISFIT as error:
        hint = "take metadata_camera_parameters.csv of the publisher's repository"
        raise BadSource(f"is no table of cameras: {error!r}", file=file, hint=hint) from error
