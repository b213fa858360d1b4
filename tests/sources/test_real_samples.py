"""Numbers that were measured on published files, independently of these readers, come out of them, too.

More of them stand in the tests of single sources; here are those that need several readers or none.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

from depthmix.sample import Intrinsics, Sample
from depthmix.sources import Dgp, MotorcycleStereo, Redwood, SunRgbd, TartanAir
from depthmix.sources.arrays import read_hdf5, read_npz
from depthmix.sources.decode import read_png_numbers
from depthmix.sources.lidar import inside_image, project_points
from depthmix.sources.nyu_raw import PER_CODE
from depthmix.sources.pgm import read_pgm16
from depthmix.sources.plane_finding import PlaneSearch, find_planes
from depthmix.sources.poses import inverse
from depthmix.testing.known import rays


def points_of(sample: Sample) -> np.ndarray:
    assert sample.intrinsics is not None
    depth = np.where(sample.valid, sample.target, np.nan).astype(np.float64)
    return np.asarray(rays(sample.intrinsics, sample.size) * depth[..., None])


def surfaces(sample: Sample, min_share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the normals of the planes found in a sample, largest first, and their residuals in metres."""
    points = points_of(sample)
    planes = find_planes(sample.target, sample.valid, PlaneSearch(min_share=min_share))
    spread, axes = zip(
        *(np.linalg.eigh(np.cov(points[planes == number].T)) for number in range(1, planes.max() + 1)),
        strict=True,
    )
    return np.array(axes)[:, :, 0], np.sqrt(np.array(spread)[:, 0])


def right_angles(normals: np.ndarray) -> np.ndarray:
    """Return the angles between planes that stand on each other, in degrees: what is above 80."""
    upper = np.triu_indices(len(normals), 1)
    angles = np.degrees(np.arccos(np.clip(np.abs(normals @ normals.T), 0, 1)))[upper]
    return np.asarray(angles[angles > 80])


def test_the_scan_of_ddad_has_the_known_points_in_the_picture(real_samples: Path):
    source = Dgp(real_samples / "ddad_dgp" / "test_scene")
    key = next(key for key in source.keys() if "/CAMERA_01/" in key)  # noqa: SIM118
    sample, scan = source.read(key), read_npz(source.files(key)[-1], "data")
    assert len(scan) == 40_733
    frame, _ = source._frame(key)
    camera = sample.intrinsics
    assert camera is not None
    inner = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    to_camera = inverse(frame["camera_pose"]) @ frame["scan_pose"]
    pixels, z = project_points(scan[:, :3], inner @ to_camera[:3])
    assert inside_image(pixels, z, sample.size).sum() == 4_815


def test_distances_of_hypersim_are_longer_than_z(real_samples: Path):
    name = "ai_037_002/images/scene_cam_00_geometry_hdf5/frame.0000.depth_meters.hdf5"
    length = read_hdf5(real_samples / "hypersim" / name, "dataset").astype(np.float64)
    assert (length.min(), np.median(length), length.max()) == pytest.approx((2.96, 5.50, 13.23), abs=0.006)


def test_codes_of_the_first_kinect_become_metres(real_samples: Path):
    code = read_pgm16(real_samples / "open3d_rgbd/other_formats/NYU_depth.pgm", byte_order="little")
    known = code < 2047
    z = PER_CODE / (1092.5 - code[known].astype(np.float64))
    assert (z.min(), np.median(z), z.max()) == pytest.approx((1.386, 3.268, 6.691), abs=1e-3)
    assert known.mean() == pytest.approx(0.928, abs=1e-3)


@pytest.fixture
def flight(real_samples: Path, tmp_path: Path) -> Sample:
    """One frame in the format of TartanAir, put back under the names that the archives give."""
    real = real_samples / "dsine_example"
    for name, file in (
        ("image_left/000000_left.png", "img.png"),
        ("depth_left/000000_left_depth.npy", "depth.npy"),
    ):
        (tmp_path / "world/Easy/P000" / name).parent.mkdir(parents=True)
        shutil.copy(real / f"000000_{file}", tmp_path / "world/Easy/P000" / name)
    return TartanAir(tmp_path).read("world/Easy/P000/000000")


def test_the_far_sphere_of_a_real_frame_is_its_sky(real_samples: Path, flight: Sample):
    assert flight.sky.mean() == pytest.approx(0.487, abs=1e-3)
    np.testing.assert_array_equal(flight.valid, ~flight.sky)
    normals = read_png_numbers(real_samples / "dsine_example/000000_normal.png", bits=16, channels=3)
    assert ((normals == 0).all(-1) == flight.sky).mean() == pytest.approx(0.9998, abs=1e-4)


def test_depth_and_camera_give_the_published_normals(real_samples: Path, flight: Sample):
    stated = read_png_numbers(real_samples / "dsine_example/000000_normal.png", bits=16, channels=3)
    known = (stated > 0).any(-1)[1:-1, 1:-1]
    points = points_of(flight)
    across, down = points[1:-1, 2:] - points[1:-1, :-2], points[2:, 1:-1] - points[:-2, 1:-1]
    normals = np.cross(across, down)  # away from the camera, as this file has them
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    theirs = stated[1:-1, 1:-1] / 65535 * 2 - 1
    theirs /= np.linalg.norm(theirs, axis=-1, keepdims=True)
    cosine = (normals * theirs).sum(-1)[known & np.isfinite(normals).all(-1)]
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    assert np.median(angle) < 4.2
    assert np.median(180 - angle) > 170  # the other sign


def test_rooms_have_right_angles(real_samples: Path, tmp_path: Path):
    redwood = Redwood(real_samples / "open3d_rgbd").read("00000")
    assert np.median(right_angles(surfaces(redwood, 0.03)[0])) > 88
    for name, kind in (("image/frame.jpg", "color"), ("depth/other.png", "depth")):
        file = tmp_path / "xtion/sun3ddata/room" / name
        file.parent.mkdir(parents=True)
        shutil.copy(real_samples / f"open3d_rgbd/other_formats/SUN_{kind}{file.suffix}", file)
    # The camera is not among the files; this is the usual one of the sensor.
    (tmp_path / "xtion/sun3ddata/room/intrinsics.txt").write_text("570.3 0 320 0 570.3 240 0 0 1")
    (room,) = SunRgbd(tmp_path, max_depth_m=20)
    assert np.median(right_angles(surfaces(room, 0.02)[0])) > 88


def test_the_floor_of_motorcycle_is_flat():
    sample = MotorcycleStereo().read("motorcycle")
    normals, residual = surfaces(sample, 0.02)
    assert abs(normals[0, 1]) > 0.95  # the largest plane is the floor
    assert residual[0] < 0.01


def test_the_camera_of_a_half_pixel_less_is_the_published_one(real_samples: Path, flight: Sample):
    matrix = np.load(real_samples / "dsine_example/000000_intrins.npy")
    assert flight.intrinsics == Intrinsics(matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
