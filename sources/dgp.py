"""DDAD and other data in Toyota's DGP form: long-range laser scans beside six cameras."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.arrays import read_npz
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_image, read_mask
from depthmix.sources.layout import check_size, files_below, path_below
from depthmix.sources.listing import matching
from depthmix.sources.poses import inverse, rigid, rotation_of_quaternion
from depthmix.sources.scans import check_occlusion, depth_of_points
from depthmix.sources.tables import MISFIT, read_json

__all__ = ["Dgp"]

_SPLITS = {"train": "0", "val": "1", "test": "2", "train_overfit": "3"}


class Dgp(Source):
    """Project the scan of each sample into its cameras.

    Layout: `<root>/{[ddad.json,] <scene>/{scene_<sha>.json, rgb/<camera>/*, point_cloud/LIDAR/*.npz,
    calibration/<sha>.json}}`.

    Convention: scans are npz with `data` (X, Y, Z, intensity) in the scanner's frame. Every datum has its own
    pose in the world, at its own time; those are used, not the static mounting. Pictures are undistorted.

    Args:
        root: folder of the data set.
        name: name of the source in the mix.
        dataset: file of the splits below `root`, such as "ddad.json"; "" takes every scene folder.
        split: "train", "val", "test" or "train_overfit", where `dataset` is given.
        cameras: which cameras; none named takes all.
        masks: folder below `root` with `<camera>.png`, 0 where the own car is seen; "" has none. Without
            masks points behind the car's body stay.
        nearest_m: nearer points are dropped.
        occlusion_gap: see `remove_occluded`; 0 keeps every point.
        occlusion_window: see `remove_occluded`.
    """

    card = SourceCard(
        family="lidar",
        quality=Quality.HIGH,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="sparse",
        noise="",
        licence="CC BY-NC-SA 4.0 (DDAD)",
        citation="Guizilini, Ambrus, Pillai, Raventos, Gaidon: 3D Packing for Self-Supervised Monocular "
        "Depth "
        "Estimation, CVPR 2020",
        size="DDAD: 150 scenes with 12 650 samples for training, 50 with 3 950 for validation, six "
        "pictures each",
        read_on_real_files=True,
    )
    layout = "<scene>/{scene_*.json, rgb/<camera>/*, point_cloud/LIDAR/*.npz, calibration/*.json}"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "ddad",
        dataset: str = "",
        split: str = "train",
        cameras: Sequence[str] = (),
        masks: str = "",
        nearest_m: float = 0.5,
        occlusion_gap: float = 0.2,
        occlusion_window: tuple[int, int] = (8, 6),
    ) -> None:
        super().__init__(root, name=name)
        if split not in _SPLITS:
            raise ValueError(f"`split` must be one of {', '.join(_SPLITS)}, got {split!r}")
        if not 0 <= nearest_m < np.inf:
            raise ValueError(f"`nearest_m` must be finite and not negative, got {nearest_m}")
        self.occlusion_window = check_occlusion(occlusion_gap, occlusion_window)
        self.dataset, self.split, self.cameras, self.masks = dataset, split, tuple(cameras), masks
        self.nearest_m, self.occlusion_gap = nearest_m, occlusion_gap
        self._scenes: dict[str, dict[str, Any]] = {}

    def keys(self) -> Sequence[str]:
        """List `<scene>/<camera>/<picture>`; reads the file of every scene."""
        return sorted(key for file in self._scene_files() for key in self._scene(file))

    def files(self, key: str) -> Sequence[Path]:
        """List picture, scene, calibration, mask where there is one, and scan."""
        frame, scene_file = self._frame(key)
        folder = scene_file.parent
        mask = [self.root / self.masks / f"{key.split('/')[-2]}.png"] if self.masks else []
        calibration = folder / "calibration" / f"{frame['calibration']}.json"
        return [folder / frame["image"], scene_file, calibration, *mask, folder / frame["scan"]]

    def read(self, key: str) -> Sample:
        """Read one picture with the points that fall on it.

        Raises:
            BadSource: a file is missing, damaged, or not what the format says.
            BadSample: no point falls into the picture.
        """
        frame, _ = self._frame(key)
        image_file, _, calibration_file, *mask_files, scan_file = self.files(key)
        image = read_image(image_file)
        camera = _camera(calibration_file, key.split("/")[-2])
        points = read_npz(scan_file, "data")
        if points.ndim != 2 or points.shape[1] < 3 or not (np.abs(points[:, :3]) <= 1000).all():
            reason = f"must be n x 4 with x, y, z within 1 km, got {points.shape}"
            raise BadSource(reason, file=scan_file, field="data")
        depth = depth_of_points(
            points[:, :3],
            inverse(frame["camera_pose"]) @ frame["scan_pose"],
            camera,
            (image.shape[0], image.shape[1]),
            nearest_m=self.nearest_m,
            occlusion_gap=self.occlusion_gap,
            occlusion_window=self.occlusion_window,
        )
        valid = np.isfinite(depth)
        for file in mask_files:
            mask = read_mask(file)
            check_size(mask, file, image, image_file)
            valid = valid & mask
        return self.sample(key, image=image, target=depth, valid=valid, intrinsics=camera)

    def __getstate__(self) -> dict[str, object]:
        # The scenes are read again by each process: sending them would cost more.
        return {**self.__dict__, "_scenes": {}}

    def _scene_files(self) -> list[str]:
        if not self.dataset:
            return files_below(self.root, "*/scene_*.json", expected=self.layout)
        file = self.root / self.dataset
        content: Any = read_json(file)
        try:
            return [path_below(name) for name in content["scene_splits"][_SPLITS[self.split]]["filenames"]]
        except MISFIT as error:
            raise BadSource(f"names no scenes of the split {self.split} ({error!r})", file=file) from error

    def _frame(self, key: str) -> tuple[dict[str, Any], Path]:
        folder = key.split("/")[0]
        files = [self.root / folder / name for name in matching(self.root / folder, "scene_*.json")]
        for file in files:
            frames = self._scene(file.relative_to(self.root).as_posix())
            if key in frames:
                return frames[key], file
        if not files:
            raise BadSource("has no scene_*.json", file=self.root / folder, hint=f"expected {self.layout}")
        raise self.unknown(key, file=self.root / folder)

    def _scene(self, name: str) -> dict[str, Any]:
        if name not in self._scenes:
            file = self.root / name
            content: Any = read_json(file)
            try:
                self._scenes[name] = _frames(content, name.split("/")[0], self.cameras)
            except MISFIT as error:
                raise BadSource(f"is no scene of the DGP form ({error!r})", file=file) from error
        return self._scenes[name]


def _frames(content: Any, folder: str, cameras: tuple[str, ...]) -> dict[str, Any]:
    data = {row["key"]: row for row in content["data"]}
    frames = {}
    for sample in content["samples"]:
        rows = [data[key] for key in sample["datum_keys"]]
        scans = [row["datum"]["point_cloud"] for row in rows if "point_cloud" in row["datum"]]
        if not scans:
            continue  # a sample without a scan has no label, and DGP has such
        for row in rows:
            name, picture = row["id"]["name"], row["datum"].get("image")
            if picture is None or (cameras and name not in cameras):
                continue
            frames[f"{folder}/{name}/{Path(picture['filename']).stem}"] = {
                "image": path_below(picture["filename"]),
                "scan": path_below(scans[0]["filename"]),
                "calibration": path_below(sample["calibration_key"]),
                "camera_pose": _motion(picture["pose"]),
                "scan_pose": _motion(scans[0]["pose"]),
            }
    return frames


def _motion(pose: Any) -> Float64[np.ndarray, "4 4"]:
    turn = rotation_of_quaternion([float(pose["rotation"][name]) for name in ("qw", "qx", "qy", "qz")])
    return rigid(turn, [float(pose["translation"][name]) for name in ("x", "y", "z")])


def _camera(file: Path, name: str) -> Intrinsics:
    content: Any = read_json(file)
    try:
        inner = content["intrinsics"][content["names"].index(name)]
        return Intrinsics(*(float(inner[number]) for number in ("fx", "fy", "cx", "cy")))
    except MISFIT as error:
        raise BadSource(f"has no camera {name} ({error!r})", file=file) from error
