"""Argoverse 2 sensor data: seven ring cameras round a car and two laser scanners on its roof."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float64

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_image
from depthmix.sources.feather import read_feather
from depthmix.sources.layout import files_below
from depthmix.sources.listing import matching
from depthmix.sources.poses import FARTHEST_M, inverse, rigid, rotation_of_quaternion
from depthmix.sources.scans import check_occlusion, depth_of_points
from depthmix.sources.tables import MISFIT

__all__ = ["Argoverse2"]

_TURN: Final = ("qw", "qx", "qy", "qz")
_PLACE: Final = ("tx_m", "ty_m", "tz_m")


class Argoverse2(Source):
    """Project the sweep that is nearest in time into each picture.

    Layout: `<root>/<split>/<log>/{sensors/lidar/<time>.feather, sensors/cameras/<camera>/<time>.jpg,
    calibration/{intrinsics, egovehicle_SE3_sensor}.feather, city_SE3_egovehicle.feather}`.

    Convention: sweeps are in the car's frame at their own time (x forward, y left, z up), so points go car at
    the sweep's time -> city -> car at the picture's time -> camera. Times are nanoseconds. As the publisher's
    own tools, the pinhole part of the camera is used and its small distortion is not.

    Args:
        root: folder of the data set.
        name: name of the source in the mix.
        split: "train", "val" or "test".
        camera: which camera, such as "ring_front_center".
        max_gap_s: pictures without a sweep within this time have no label and are no samples.
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
        licence="CC BY-NC-SA 4.0",
        citation="Wilson et al.: Argoverse 2: Next Generation Datasets for Self-Driving Perception and "
        "Forecasting, "
        "NeurIPS Datasets and Benchmarks 2021",
        size="1 000 logs of 15 s: 700 train, 150 val, 150 test",
    )
    layout = "<split>/<log>/{sensors,calibration,city_SE3_egovehicle.feather}"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "argoverse2",
        split: str = "train",
        camera: str = "ring_front_center",
        max_gap_s: float = 0.03,
        nearest_m: float = 1.0,
        occlusion_gap: float = 0.2,
        occlusion_window: tuple[int, int] = (16, 8),
    ) -> None:
        super().__init__(root, name=name)
        for option, value in (("max_gap_s", max_gap_s), ("nearest_m", nearest_m)):
            if not 0 <= value < np.inf:
                raise ValueError(f"`{option}` must be finite and not negative, got {value}")
        self.occlusion_window = check_occlusion(occlusion_gap, occlusion_window)
        self.split, self.camera, self.max_gap_s, self.nearest_m = split, camera, max_gap_s, nearest_m
        self.occlusion_gap = occlusion_gap

    def keys(self) -> Sequence[str]:
        """List `<log>/<time of the sweep>` of all sweeps with a picture near enough in time."""
        found = files_below(self.root, f"{self.split}/*/sensors/lidar/*.feather", expected=self.layout)
        places = [Path(file) for file in found]
        keys = [(place.parts[1], place.stem) for place in places]
        times: dict[str, list[int]] = {log: self._picture_times(log) for log in {log for log, _ in keys}}
        kept = [
            f"{log}/{sweep}"
            for log, sweep in keys
            if _near(times[log], int(sweep), self.max_gap_s) is not None
        ]
        if not kept:
            reason = f"no sweep has a picture of {self.camera} within {self.max_gap_s} s"
            raise BadSource(reason, file=self.root / self.split, hint="check `camera`")
        return sorted(kept)

    def files(self, key: str) -> Sequence[Path]:
        """List picture, both calibrations, poses and sweep."""
        log, _, sweep = key.partition("/")
        folder = self.root / self.split / log
        time = _near(self._picture_times(log), int(sweep), self.max_gap_s) if sweep.isdecimal() else None
        if time is None:
            raise self.unknown(key)
        return [
            folder / "sensors" / "cameras" / self.camera / f"{time}.jpg",
            folder / "calibration" / "intrinsics.feather",
            folder / "calibration" / "egovehicle_SE3_sensor.feather",
            folder / "city_SE3_egovehicle.feather",
            folder / "sensors" / "lidar" / f"{sweep}.feather",
        ]

    def read(self, key: str) -> Sample:
        """Read one picture with the points that fall on it."""
        image_file, inner_file, mounting_file, poses_file, sweep_file = self.files(key)
        image = read_image(image_file)
        camera = self._intrinsics(inner_file)
        mounted = _motion(_row(mounting_file, "sensor_name", self.camera), mounting_file)
        then, now = (_pose(poses_file, int(file.stem)) for file in (sweep_file, image_file))
        depth = depth_of_points(
            _points(sweep_file),
            inverse(now @ mounted) @ then,
            camera,
            (image.shape[0], image.shape[1]),
            nearest_m=self.nearest_m,
            occlusion_gap=self.occlusion_gap,
            occlusion_window=self.occlusion_window,
        )
        return self.sample(key, image=image, target=depth, valid=np.isfinite(depth), intrinsics=camera)

    def _picture_times(self, log: str) -> list[int]:
        folder = self.root / self.split / log / "sensors" / "cameras" / self.camera
        return sorted(int(stem) for file in matching(folder, "*.jpg") if (stem := file[:-4]).isdecimal())

    def _intrinsics(self, file: Path) -> Intrinsics:
        row = _row(file, "sensor_name", self.camera, ("fx_px", "fy_px", "cx_px", "cy_px"))
        try:
            return Intrinsics(*(float(row[name]) for name in ("fx_px", "fy_px", "cx_px", "cy_px")))
        except MISFIT as error:
            raise BadSource(f"has no camera {self.camera}: {error}", file=file) from error


def _points(file: Path) -> Float64[np.ndarray, "n 3"]:
    columns = read_feather(file, ("x", "y", "z"))
    for name, column in columns.items():
        if column.dtype.kind not in "iuf":
            raise BadSource(f"must be numbers, got {column.dtype}", file=file, field=name)
    with np.errstate(invalid="ignore"):  # damaged half floats, looked for below
        points = np.stack([columns[name].astype(np.float64) for name in ("x", "y", "z")], 1)
    if not (np.abs(points) <= FARTHEST_M).all():
        raise BadSource(f"holds points that are not finite or beyond {FARTHEST_M:g} m", file=file)
    return points


def _near(times: list[int], wanted: int, max_gap_s: float) -> int | None:
    best = min(times, key=lambda time: (abs(time - wanted), time), default=None)
    return best if best is not None and abs(best - wanted) <= max_gap_s * 1e9 else None


def _row(
    file: Path, column: str, value: object, names: tuple[str, ...] = (*_TURN, *_PLACE)
) -> dict[str, Any]:
    table = read_feather(file, (column, *names))
    places = np.flatnonzero(table[column] == value)
    if not places.size:
        raise BadSource(f"has no row with {column} {value}", file=file)
    return {name: table[name][places[0]] for name in names}


def _pose(file: Path, time: int) -> Float64[np.ndarray, "4 4"]:
    return _motion(_row(file, "timestamp_ns", time), file)


def _motion(row: dict[str, Any], file: Path) -> Float64[np.ndarray, "4 4"]:
    try:
        turn = rotation_of_quaternion([float(row[name]) for name in _TURN])
        return rigid(turn, [float(row[name]) for name in _PLACE])
    except MISFIT as error:
        raise BadSource(f"holds no pose: {error}", file=file) from error
