"""nuScenes: six cameras round a car and a laser scanner of 32 beams."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float64

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.arrays import read_points
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_image
from depthmix.sources.layout import path_below
from depthmix.sources.poses import inverse, rigid, rotation_of_quaternion
from depthmix.sources.scans import check_occlusion, depth_of_points
from depthmix.sources.tables import MISFIT, read_json

__all__ = ["NuScenes"]

CAMERAS: Final = (
    "CAM_BACK",
    "CAM_BACK_LEFT",
    "CAM_BACK_RIGHT",
    "CAM_FRONT",
    "CAM_FRONT_LEFT",
    "CAM_FRONT_RIGHT",
)


@dataclass(frozen=True, slots=True)
class _Frame:
    image: str
    scan: str
    to_camera: Float64[np.ndarray, "4 4"]
    camera: Intrinsics


class NuScenes(Source):
    """Project the key-frame scans into the pictures of the same sample.

    Layout: `<root>/{samples/<sensor>/*, <version>/{sample_data, calibrated_sensor, ego_pose, sample, scene,
    sensor}.json}`.

    Convention: a scan is float32 n x 5 (x, y, z, intensity, ring). Scanner and camera fire at different
    times, so points go scanner -> car at the scan's time -> world -> car at the picture's time -> camera.
    Pictures are undistorted.

    Args:
        root: folder of the data set.
        name: name of the source in the mix.
        version: folder of the tables.
        cameras: which of the six cameras.
        nearest_m: nearer points are dropped, as the publisher's tools do.
        occlusion_gap: see `remove_occluded`; 0 keeps every point.
        occlusion_window: see `remove_occluded`; lines of 32 beams lie far apart.
    """

    card = SourceCard(
        family="lidar",
        quality=Quality.HIGH,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="sparse",
        noise="",
        licence="CC BY-NC-SA 4.0",
        citation="Caesar et al.: nuScenes: A multimodal dataset for autonomous driving, CVPR 2020",
        size="34 149 key frames of 850 scenes with labels (700 train, 150 val), six pictures each",
    )
    layout = "samples/<sensor>/*, <version>/*.json"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "nuscenes",
        version: str = "v1.0-trainval",
        cameras: Sequence[str] = CAMERAS,
        nearest_m: float = 1.0,
        occlusion_gap: float = 0.2,
        occlusion_window: tuple[int, int] = (20, 8),
    ) -> None:
        super().__init__(root, name=name)
        unknown = set(cameras) - set(CAMERAS)
        if unknown or not cameras:
            raise ValueError(f"`cameras` must be some of {', '.join(CAMERAS)}, got {list(cameras)}")
        if not 0 <= nearest_m < np.inf:
            raise ValueError(f"`nearest_m` must be finite and not negative, got {nearest_m}")
        self.occlusion_window = check_occlusion(occlusion_gap, occlusion_window)
        self.version, self.cameras, self.nearest_m = version, tuple(cameras), nearest_m
        self.occlusion_gap = occlusion_gap
        self._frames: dict[str, _Frame] = {}

    def keys(self) -> Sequence[str]:
        """List `<scene>/<time of the picture>/<camera>`; reads the tables once."""
        self._load()
        return sorted(self._frames)

    def files(self, key: str) -> Sequence[Path]:
        """List picture, tables and scan."""
        frame = self._frame(key)
        tables = [self.root / self.version / f"{table}.json" for table in _TABLES]
        return [self.root / frame.image, *tables, self.root / frame.scan]

    def read(self, key: str) -> Sample:
        """Read one picture with the points that fall on it.

        Raises:
            BadSource: a file is missing, damaged, or not what the format says.
            BadSample: no point falls into the picture.
        """
        frame = self._frame(key)
        image = read_image(self.root / frame.image)
        points = read_points(self.root / frame.scan, columns=5)[:, :3]
        depth = depth_of_points(
            points,
            frame.to_camera,
            frame.camera,
            (image.shape[0], image.shape[1]),
            nearest_m=self.nearest_m,
            occlusion_gap=self.occlusion_gap,
            occlusion_window=self.occlusion_window,
        )
        return self.sample(key, image=image, target=depth, valid=np.isfinite(depth), intrinsics=frame.camera)

    def _frame(self, key: str) -> _Frame:
        self._load()
        if key not in self._frames:
            raise self.unknown(key)
        return self._frames[key]

    def _load(self) -> None:
        if self._frames:
            return
        folder = self.root / self.version
        tables: dict[str, Any] = {
            name: read_json(folder / f"{name}.json", max_memory=_MAX_MEMORY) for name in _TABLES
        }
        try:
            self._frames = _index(tables, set(self.cameras))
        except MISFIT as error:
            raise BadSource(f"are no tables of nuScenes ({error!r})", file=folder) from error
        if not self._frames:
            raise BadSource("hold no key frame of these cameras", file=folder, hint=f"expected {self.layout}")


# One table has a row of 520 bytes for each of 2.6 million pictures and scans: 13 GB by the sum of `read_json`
# and 6 GB in fact.
_MAX_MEMORY: Final = 16 << 30
_TABLES: Final = ("scene", "sample", "sensor", "calibrated_sensor", "ego_pose", "sample_data")


def _index(tables: dict[str, Any], cameras: set[str]) -> dict[str, _Frame]:
    """Join the tables: one frame a picture of a key frame, with the way from the scanner to it."""
    scenes = {row["token"]: row["name"] for row in tables["scene"]}
    scene_of = {row["token"]: scenes[row["scene_token"]] for row in tables["sample"]}
    channels = {row["token"]: row["channel"] for row in tables["sensor"]}
    mounted = {row["token"]: row for row in tables["calibrated_sensor"]}
    kept = [row for row in tables["sample_data"] if row["is_key_frame"]]
    wanted = {row["ego_pose_token"] for row in kept}
    poses = {row["token"]: _motion(row) for row in tables["ego_pose"] if row["token"] in wanted}

    def channel(row: dict[str, Any]) -> str:
        return str(channels[mounted[row["calibrated_sensor_token"]]["sensor_token"]])

    def to_world(row: dict[str, Any]) -> Float64[np.ndarray, "4 4"]:
        mounting = _motion(mounted[row["calibrated_sensor_token"]])
        chain: Float64[np.ndarray, "4 4"] = poses[row["ego_pose_token"]] @ mounting
        return chain

    scans = {row["sample_token"]: row for row in kept if channel(row) == "LIDAR_TOP"}
    frames = {}
    for row in kept:
        if channel(row) not in cameras:
            continue
        scan = scans[row["sample_token"]]
        inner = np.array(mounted[row["calibrated_sensor_token"]]["camera_intrinsic"], np.float64)
        camera = Intrinsics(float(inner[0, 0]), float(inner[1, 1]), float(inner[0, 2]), float(inner[1, 2]))
        key = f"{scene_of[row['sample_token']]}/{row['timestamp']}/{channel(row)}"
        to_camera = inverse(to_world(row)) @ to_world(scan)
        frames[key] = _Frame(path_below(row["filename"]), path_below(scan["filename"]), to_camera, camera)
    return frames


def _motion(row: dict[str, Any]) -> Float64[np.ndarray, "4 4"]:
    return rigid(rotation_of_quaternion(row["rotation"]), row["translation"])
