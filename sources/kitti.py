"""KITTI: a rotating laser scanner beside a camera; few pixels, but the best metres on the road."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float64

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.calibration import check_rotation, pinhole, read_fields
from depthmix.sources.decode import read_image
from depthmix.sources.lidar import (
    inside_image,
    nearest_point_depth,
    project_points,
    read_velodyne,
    remove_occluded,
)
from depthmix.sources.listing import matching

__all__ = [
    "KittiLidar",
    "nearest_point_depth",
    "project_points",
    "read_object_calibration",
    "read_raw_calibration",
    "read_velodyne",
    "remove_occluded",
]


class KittiLidar(Source):
    """Project the laser points of KITTI into the left colour camera.

    Two published layouts are told apart by their folders. Object:
    `<root>/<split>/{velodyne/*.bin, image_2/*.png, calib/*.txt}`. Raw:
    `<root>/<date>/{calib_cam_to_cam.txt, calib_velo_to_cam.txt}` with
    `<date>/<drive>/{velodyne_points/data/*.bin, image_02/data/*.png}`.
    There is one sample per scan; an image without a scan has no label.

    No standard deviation is given: the scanner's own noise is a few centimetres, but mounting, timing and
    parallax errors are larger and not published as numbers.

    Args:
        root: folder of the data set.
        name: name of the source in the mix.
        split: folder of the object layout; the raw layout has none.
        occlusion_gap: see `remove_occluded`; 0 keeps every point, those seen through a nearer surface too.
        occlusion_window: see `remove_occluded`.
        label: what the number of a pixel is. "camera" is z of the left colour camera, as everywhere in
            depthmix. "scanner" is the way along the scanner's forward axis, 27 cm farther on KITTI's car:
            the labels of published tables on raw scans, and for nothing but repeating them.
        first_pixel: the number that the calibration is taken to give to the first pixel. Those tables are
            made with 1; laser points meet the edges of the images with 0.

    Raises:
        BadSource: no such folder.
        ValueError: an option is out of range.
    """

    card = SourceCard(
        family="lidar",
        quality=Quality.HIGH,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="sparse",
        noise="",
        licence="CC BY-NC-SA 3.0",
        citation="Geiger, Lenz, Stiller, Urtasun: Vision meets Robotics: The KITTI Dataset, IJRR 2013",
        size="7 481 training and 7 518 test frames (object); 180 GB of drives (raw)",
        read_on_real_files=True,
    )
    layout: ClassVar[str] = "<split>/{velodyne,image_2,calib} or <date>/<drive>/{velodyne_points,image_02}"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "kitti",
        split: str = "training",
        occlusion_gap: float = 0.2,
        occlusion_window: tuple[int, int] = (8, 6),
        label: Literal["camera", "scanner"] = "camera",
        first_pixel: Literal[0, 1] = 0,
    ) -> None:
        super().__init__(root, name=name)
        for option, value, allowed in (
            ("label", label, ("camera", "scanner")),
            ("first_pixel", first_pixel, (0, 1)),
        ):
            if value not in allowed:
                raise ValueError(f"`{option}` must be one of {', '.join(map(str, allowed))}, got {value!r}")
        if not 0 <= occlusion_gap < 1:
            raise ValueError(f"`occlusion_gap` must be in [0, 1), got {occlusion_gap}")
        if min(occlusion_window) < 1:
            raise ValueError(f"`occlusion_window` must be at least 1 x 1, got {occlusion_window}")
        self.split, self.occlusion_gap, self.occlusion_window = split, occlusion_gap, occlusion_window
        self.label, self.first_pixel = label, first_pixel

    @property
    def is_object_layout(self) -> bool:
        """Whether the split folder of the object layout is there."""
        return (self.root / self.split).is_dir()

    def keys(self) -> Sequence[str]:
        """List the scans: `<frame>`, or `<date>/<drive>/<frame>` in the raw layout.

        Raises:
            BadSource: there is none.
        """
        if self.is_object_layout:
            keys = [Path(scan).stem for scan in matching(self.root, f"{self.split}/velodyne/*.bin")]
        else:
            scans = map(Path, matching(self.root, "*/*/velodyne_points/data/*.bin"))
            keys = ["/".join((*scan.parts[:2], scan.stem)) for scan in scans]
        if not keys:
            raise BadSource(f"no scan (split {self.split!r})", file=self.root, hint=f"expected {self.layout}")
        return sorted(keys)

    def files(self, key: str) -> Sequence[Path]:
        """List image, calibration and scan of a sample; the raw layout has two calibration files."""
        if self.is_object_layout:
            parts = (("image_2", ".png"), ("calib", ".txt"), ("velodyne", ".bin"))
            return [self.root / self.split / folder / f"{key}{suffix}" for folder, suffix in parts]
        drive, frame = (self.root / key).parent, (self.root / key).name
        return [
            drive / "image_02" / "data" / f"{frame}.png",
            drive.parent / "calib_cam_to_cam.txt",
            drive.parent / "calib_velo_to_cam.txt",
            drive / "velodyne_points" / "data" / f"{frame}.bin",
        ]

    def read(self, key: str) -> Sample:
        """Read one scan and its image; only pixels that a visible point falls on are valid.

        Raises:
            BadSource: a file is missing, damaged, or not what the format says.
            BadSample: no point falls into the image.
        """
        image_file, *calibration_files, scan_file = self.files(key)
        read_calibration = read_object_calibration if self.is_object_layout else read_raw_calibration
        intrinsics, scanner_to_image = read_calibration(*calibration_files)
        image = read_image(image_file)
        size = image.shape[0], image.shape[1]
        points = read_velodyne(scan_file)[:, :3]
        pixels, z = project_points(points, scanner_to_image)
        pixels = pixels - self.first_pixel
        seen = inside_image(pixels, z, size)
        if self.label == "scanner":
            z = points[:, 0].astype(np.float64)
            seen &= z > 0
        depth = nearest_point_depth(pixels[seen], z[seen], size)
        if self.occlusion_gap:
            depth = remove_occluded(depth, self.occlusion_gap, self.occlusion_window)
        return self.sample(key, image=image, target=depth, valid=np.isfinite(depth), intrinsics=intrinsics)


def read_object_calibration(file: Path) -> tuple[Intrinsics, Float64[np.ndarray, "3 4"]]:
    """Read the calibration of one frame of the object layout.

    Returns:
        The left colour camera, and the matrix that takes scanner points to (u z, v z, z).

    Raises:
        BadSource: no such file, or P2, R0_rect or Tr_velo_to_cam is missing, not finite, or no such matrix.
    """
    fields = read_fields(file, ":")
    projection = fields.numbers("P2", 12).reshape(3, 4)
    mounting = fields.numbers("Tr_velo_to_cam", 12).reshape(3, 4)
    check_rotation(fields, "Tr_velo_to_cam", mounting[:, :3])
    chain = _chain(projection, fields.rotation("R0_rect"), mounting)
    return pinhole(fields, "P2", projection[:, :3]), chain


def read_raw_calibration(
    cameras_file: Path, scanner_file: Path
) -> tuple[Intrinsics, Float64[np.ndarray, "3 4"]]:
    """Read the two calibration files of one date of the raw layout.

    Returns:
        As `read_object_calibration`.

    Raises:
        BadSource: no such file, or P_rect_02, R_rect_00, R or T is missing, not finite, or no such matrix.
    """
    cameras, scanner = read_fields(cameras_file, ":"), read_fields(scanner_file, ":")
    projection = cameras.numbers("P_rect_02", 12).reshape(3, 4)
    mounting = np.hstack([scanner.rotation("R"), scanner.numbers("T", 3)[:, None]])
    chain = _chain(projection, cameras.rotation("R_rect_00"), mounting)
    return pinhole(cameras, "P_rect_02", projection[:, :3]), chain


def _chain(
    projection: Float64[np.ndarray, "3 4"],
    rectification: Float64[np.ndarray, "3 3"],
    mounting: Float64[np.ndarray, "3 4"],
) -> Float64[np.ndarray, "3 4"]:
    # The fourth column of the projection moves from camera 0 to camera 2; with it z is the depth in camera 2.
    to_camera_0 = rectification @ mounting
    moved: Float64[np.ndarray, "3 4"] = projection[:, :3] @ to_camera_0
    moved[:, 3] += projection[:, 3]
    return moved
