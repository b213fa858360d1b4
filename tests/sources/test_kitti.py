"""Laser points land on the right pixels, the nearest wins, and what the camera can not see is dropped."""

from pathlib import Path

import numpy as np
import pytest
from jaxtyping import Float64
from numpy.testing import assert_allclose

from depthmix.errors import BadSample, BadSource
from depthmix.sources.kitti import (
    KittiLidar,
    nearest_point_depth,
    project_points,
    read_object_calibration,
    read_raw_calibration,
    read_velodyne,
    remove_occluded,
)
from depthmix.sources.lidar import inside_image
from tests.data.kitti import make as fake
from tests.sources.contract import SourceContract


class TestKittiObject(SourceContract):
    headless = ()
    any_size = (".png",)

    def make(self, tmp_path: Path) -> KittiLidar:
        root = tmp_path / "raw"
        fake.make(root)
        return KittiLidar(root)


class TestKittiRaw(SourceContract):
    headless = ()
    any_size = (".png",)

    def make(self, tmp_path: Path) -> KittiLidar:
        root = tmp_path / "raw"
        fake.make_raw(root)
        return KittiLidar(root)


def test_both_layouts_give_the_same_labels(tmp_path: Path):
    fake.make(tmp_path / "object")
    fake.make_raw(tmp_path / "raw")
    one, two = (list(KittiLidar(tmp_path / layout)) for layout in ("object", "raw"))
    assert [sample.key for sample in two] == [
        f"2011_09_26/2011_09_26_drive_0001_sync/{number:010d}" for number in range(2)
    ]
    for ours, theirs in zip(one, two, strict=True):
        assert np.array_equal(ours.target, theirs.target)
        assert ours.intrinsics == theirs.intrinsics


def test_split_names_the_folder(tmp_path: Path):
    fake.make(tmp_path, split="validation")
    assert len(KittiLidar(tmp_path, split="validation")) == 2
    with pytest.raises(BadSource, match="no scan"):
        KittiLidar(tmp_path).keys()


def test_points_carry_the_depth_of_the_surface_they_hit(tmp_path: Path):
    truth = fake.make(tmp_path)
    sample = KittiLidar(tmp_path).read("000000")
    error = np.abs(sample.target - truth)[sample.valid] / truth[sample.valid]
    # A pixel on an edge or on the slanted ground can see another depth than the point half a pixel away.
    assert np.median(error) < 0.005
    assert (error < 0.05).mean() > 0.97


def cast(boxes: tuple[tuple[float, ...], ...], side: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a scan of KITTI's size and density as a depth map, and which points the camera can not see."""
    size, focal, cx, cy = (376, 1242), 721.0, 620.5, 172.0
    scanner = np.array([side, -0.08, -0.27])
    angles = np.deg2rad(np.linspace(-24.8, 2, 64)), np.deg2rad(np.arange(-42, 42, 0.17))
    up, beside = np.meshgrid(*angles, indexing="ij")
    rays = np.stack([np.cos(up) * np.sin(beside), -np.sin(up), np.cos(up) * np.cos(beside)], -1).reshape(
        -1, 3
    )
    points = scanner + fake.ranges(scanner, rays, boxes)[:, None] * rays
    pixels, z = project_points(points, np.array([[focal, 0, cx, 0], [0, focal, cy, 0], [0, 0, 1, 0]]))
    seen = inside_image(pixels, z, size)
    depth = nearest_point_depth(pixels[seen], z[seen], size)
    v, u = np.nonzero(np.isfinite(depth))
    # Hidden means behind everything that is seen anywhere inside the pixel.
    surface = np.zeros(u.shape)
    for du, dv in np.ndindex(3, 3):
        sight = [(u + du / 2 - 0.5 - cx) / focal, (v + dv / 2 - 0.5 - cy) / focal, np.ones(u.shape)]
        surface = np.maximum(surface, fake.ranges(np.zeros(3), np.stack(sight, -1), boxes))
    hidden = np.zeros(size, bool)
    hidden[v, u] = depth[v, u] > 1.05 * surface
    return depth, hidden


@pytest.mark.parametrize("side", [0.06, -0.06])
@pytest.mark.parametrize(
    ("boxes", "removed", "kept"),
    [(fake.BOXES, 0.98, 0.993), (fake.CROWD, 0.85, 0.99)],
    ids=["street", "crowd"],
)
def test_occlusion_rule_removes_hidden_points_and_keeps_the_others(
    boxes: tuple[tuple[float, ...], ...], removed: float, kept: float, side: float
):
    depth, hidden = cast(boxes, side)
    stays = np.isfinite(remove_occluded(depth))
    visible = np.isfinite(depth) & ~hidden
    assert hidden.sum() > 150
    assert 1 - (stays & hidden).sum() / hidden.sum() >= removed
    assert (stays & visible).sum() / visible.sum() >= kept


def test_occlusion_handling_can_be_switched_off(tmp_path: Path):
    fake.make(tmp_path)
    everything = KittiLidar(tmp_path, occlusion_gap=0).read("000000")
    filtered = KittiLidar(tmp_path).read("000000")
    assert filtered.valid.sum() < everything.valid.sum()
    assert np.array_equal(everything.target[filtered.valid], filtered.target[filtered.valid])


def naive_occlusion(depth: np.ndarray, gap: float, window: tuple[int, int]) -> np.ndarray:
    kept = depth.copy()
    for v, u in zip(*np.nonzero(np.isfinite(depth)), strict=True):
        limit = depth[v, u] * np.float32(1 - gap)

        def nearer(top: int, bottom: int, left: int, right: int, v=v, u=u, limit=limit) -> bool:
            part = depth[max(v + top, 0) : max(v + bottom + 1, 0), max(u + left, 0) : max(u + right + 1, 0)]
            return bool((part < limit).any())

        rows, columns = window
        above_and_below = nearer(-rows, -1, -2, 2) and nearer(1, rows, -2, 2)
        if above_and_below or (nearer(-2, 2, -columns, -1) and nearer(-2, 2, 1, columns)):
            kept[v, u] = np.inf
    return kept


@pytest.mark.parametrize("seed", range(3))
def test_occlusion_rule_agrees_with_loops(seed: int):
    rng = np.random.default_rng(seed)
    depth = rng.uniform(5, 10, (23, 31)).astype(np.float32)
    depth[rng.random(depth.shape) < 0.9] = np.inf
    found = remove_occluded(depth, 0.2, (5, 3))
    assert np.array_equal(found, naive_occlusion(depth, 0.2, (5, 3)))
    assert np.isfinite(found).sum() < np.isfinite(depth).sum()


def test_background_beside_an_edge_stays():
    depth = np.full((20, 20), 20, np.float32)
    depth[:, 10:] = 5
    stays = np.isfinite(remove_occluded(depth))
    assert stays[:, :8].all()
    assert stays[:, 10:].all()


def test_window_may_be_larger_than_the_image():
    depth = np.array([[5, 20, 5]], np.float32)
    assert remove_occluded(depth, 0.1, (50, 50)).tolist() == [[5, np.inf, 5]]


def test_nearest_point_wins_in_any_order():
    pixels = np.array([[2.4, 1.4], [1.6, 0.6], [2.0, 1.0], [0.0, 0.0]])
    z = np.array([9.0, 4.0, 6.0, 7.0])
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]):
        depth = nearest_point_depth(pixels[order], z[order], (2, 4))
        assert depth.tolist() == [[7, np.inf, np.inf, np.inf], [np.inf, np.inf, 4, np.inf]]


def test_points_count_between_the_outermost_pixel_centres():
    pixels = np.array([[0, 0], [3, 1], [-0.01, 0], [3.01, 0], [0, 1.01], [1, -0.01], [1, 1]], np.float64)
    z = np.array([1, 1, 1, 1, 1, 1, -1], np.float64)
    assert inside_image(pixels, z, (2, 4)).tolist() == [True, True, False, False, False, False, False]


def test_projection_keeps_points_behind_the_camera_harmless():
    pixels, z = project_points(np.array([[0, 0, -2.0], [1, 2, 0], [1, 2, 4]]), np.eye(3, 4))
    assert np.isfinite(pixels).all()
    assert z.tolist() == [-2, 0, 4]
    assert_allclose(pixels[2], [0.25, 0.5])


def test_calibration_chain_equals_the_steps_of_the_publication(tmp_path: Path):
    fake.make(tmp_path)
    _, chain = read_object_calibration(tmp_path / "training/calib/000000.txt")
    point = np.array([11.0, -2.0, 0.5, 1.0])
    camera = fake.projection() @ np.append(fake.rectification() @ fake.mounting() @ point, 1)
    assert_allclose(chain @ point, camera, rtol=1e-9)


def test_image_smaller_than_the_points_leaves_nothing_is_a_bad_sample(tmp_path: Path):
    fake.make(tmp_path)
    points = np.array([[-5, 0, 0, 1]], "<f4")
    points.tofile(tmp_path / "training/velodyne/000000.bin")
    with pytest.raises(BadSample, match=r"000000\.bin: kitti/000000: valid: 0 of"):
        KittiLidar(tmp_path).read("000000")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "0 bytes are no whole number"),
        (bytes(17), "17 bytes are no whole number"),
        (np.array([1, 2, np.nan, 0, 1, 2, 3, 4], "<f4").tobytes(), "1 of 2 points are not finite"),
        (np.array([1, 2, 3, np.inf], "<f4").tobytes(), "1 of 1 points are not finite"),
        (np.array([1, 2e3, 3, 0], "<f4").tobytes(), "beyond 1000 m"),
    ],
)
def test_bad_scan_is_named(tmp_path: Path, content: bytes, reason: str):
    file = tmp_path / "000000.bin"
    file.write_bytes(content)
    with pytest.raises(BadSource, match=reason) as caught:
        read_velodyne(file)
    assert caught.value.file == file


def changed_line(file: Path, field: str, line: str) -> None:
    lines = [old for old in file.read_text().splitlines() if not old.startswith(f"{field}:")]
    file.write_text("\n".join([*lines, line]) + "\n")


BAD_LINES = {
    "": "is missing",
    "{}:": "got 0",
    "{}: " + "nan " * 12: "must be",
    "{}: " + "0 " * 12: "must be",
    "{}: 1 2 three": "must be",
    "{}: " + "2 0 0 0 " * 3: "must be",
}


@pytest.mark.parametrize("line", BAD_LINES)
@pytest.mark.parametrize("field", ["P2", "R0_rect", "Tr_velo_to_cam"])
def test_bad_object_calibration_names_file_and_field(tmp_path: Path, field: str, line: str):
    fake.make(tmp_path)
    file = tmp_path / "training/calib/000000.txt"
    changed_line(file, field, line.format(field))
    with pytest.raises(BadSource, match=BAD_LINES[line]) as caught:
        read_object_calibration(file)
    assert (caught.value.file, caught.value.field) == (file, field)


@pytest.mark.parametrize("line", BAD_LINES)
@pytest.mark.parametrize("field", ["P_rect_02", "R_rect_00", "R", "T"])
def test_bad_raw_calibration_names_file_and_field(tmp_path: Path, field: str, line: str):
    if field == "T" and line == "{}: " + "0 " * 12:
        line = "{}: 0 0 0 0"
    fake.make_raw(tmp_path)
    files = [tmp_path / "2011_09_26" / f"calib_{name}.txt" for name in ("cam_to_cam", "velo_to_cam")]
    file = files[0] if "_rect_" in field else files[1]
    changed_line(file, field, line.format(field))
    with pytest.raises(BadSource, match=BAD_LINES.get(line, "must be")) as caught:
        read_raw_calibration(*files)
    assert (caught.value.file, caught.value.field) == (file, field)


@pytest.mark.parametrize("gap", [-0.1, 1.0, float("nan")])
def test_gap_must_be_a_share(tmp_path: Path, gap: float):
    with pytest.raises(ValueError, match=r"`occlusion_gap` must be in \[0, 1\)"):
        KittiLidar(tmp_path, occlusion_gap=gap)


def test_window_must_hold_a_neighbour(tmp_path: Path):
    with pytest.raises(ValueError, match="`occlusion_window` must be at least 1 x 1"):
        KittiLidar(tmp_path, occlusion_window=(0, 3))


@pytest.mark.parametrize(("frame", "count"), [("000000", 20_222), ("000001", 18_579)])
def test_real_scan_has_the_known_number_of_points_in_the_image(real_samples: Path, frame: str, count: int):
    source = KittiLidar(real_samples / "kitti_object")
    _, calibration, scan = source.files(frame)
    sample = source.read(frame)
    pixels, z = project_points(read_velodyne(scan)[:, :3], read_object_calibration(calibration)[1])
    assert inside_image(pixels, z, sample.size).sum() == count
    assert 0.9 * count < sample.valid.sum() < count


def ground_height(points: Float64[np.ndarray, "n 3"]) -> float:
    """Fit a plane to what lies within 10 cm of it, starting 1.65 m below, and return its distance."""
    normal, height = np.array([0.0, 1.0, 0.0]), 1.65
    for _ in range(30):
        ground = points[np.abs(points @ normal - height) < 0.1]
        normal = np.linalg.eigh(np.cov(ground.T))[1][:, 0]
        normal *= np.sign(normal[1])
        height = float(ground.mean(0) @ normal)
    return height


@pytest.mark.parametrize("frame", ["000000", "000001"])
def test_real_ground_lies_where_the_camera_is_mounted(real_samples: Path, frame: str):
    # The whole scan within 20 m of the car: the strip in the image is bent and gives 1.63 to 1.73 m.
    source = KittiLidar(real_samples / "kitti_object")
    _, calibration, scan = source.files(frame)
    camera, chain = read_object_calibration(calibration)
    matrix = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    scanned = read_velodyne(scan)[:, :3].astype(np.float64)
    points = (scanned @ chain[:, :3].T + chain[:, 3]) @ np.linalg.inv(matrix).T
    assert 1.66 <= ground_height(points[np.hypot(points[:, 0], points[:, 2]) < 20]) <= 1.68


def test_labels_of_published_tables_are_the_way_forward_from_the_scanner(tmp_path: Path):
    fake.make_raw(tmp_path)
    camera = KittiLidar(tmp_path, occlusion_gap=0)
    scanner = KittiLidar(tmp_path, occlusion_gap=0, label="scanner")
    key = camera.keys()[0]
    ours, theirs = camera.read(key), scanner.read(key)
    # The scanner stands behind the camera, and the fake car has all axes parallel.
    assert np.array_equal(ours.valid, theirs.valid)
    farther = (theirs.target - ours.target)[ours.valid]
    assert_allclose(farther, -fake.SCANNER[2], atol=1e-3)


def test_points_move_by_a_pixel_where_pixels_count_from_1(tmp_path: Path):
    fake.make_raw(tmp_path)
    zero, one = (KittiLidar(tmp_path, occlusion_gap=0, first_pixel=first) for first in (0, 1))
    key = zero.keys()[0]
    ours, theirs = zero.read(key), one.read(key)
    # But for points that lie between the outermost pixel centres in one of the two only.
    assert_allclose(theirs.target[1:-2, 1:-2], ours.target[2:-1, 2:-1])


@pytest.mark.parametrize(("option", "value"), [("label", "laser"), ("first_pixel", 2)])
def test_options_of_labels_are_checked(tmp_path: Path, option: str, value: object):
    with pytest.raises(ValueError, match=f"`{option}` must be one of"):
        KittiLidar(tmp_path, **{option: value})  # type: ignore[arg-type]
