"""Real frames of KITTI, NYU, DDAD and iBims go through their protocols, and come out as in numpy."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from depthmix.cli import main
from depthmix.sample import Intrinsics
from depthmix.sources import Dgp
from tests.metrics import naive_protocols as naive
from tests.predict.networks import FOCAL, trained

NYU = Intrinsics(518.85790117450188, 519.46961112127485, 325.58244941119034, 253.73616633400465)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a protocol with a network that reads depth off the brightness; return the record of the result."""

    def go(protocol: str, raw: Path, size: tuple[int, int], *arguments: str) -> dict:
        net = trained(height=size[0], width=size[1])
        monkeypatch.setattr("depthmix.trained.load_trained", lambda path, trust: net)
        out = tmp_path / "out"
        paths = ["--ckpt", str(tmp_path / "x.ckpt"), "--raw", str(raw), "--out", str(out)]
        assert main(["test", "--protocol", protocol, *paths, *arguments]) == 0
        record: dict = json.loads((out / "test.json").read_text())
        return record

    return go


def answer(image: np.ndarray, camera: Intrinsics) -> np.ndarray:
    ratio = (camera.fx * camera.fy) ** 0.5 / FOCAL
    return (1 + 4 * image.astype(np.float64).mean(-1) / 255) * ratio


def check(record: dict, image: np.ndarray, label: np.ndarray, camera: Intrinsics, *rules: object) -> None:
    assert record["count"]["measured"] >= 1
    (row,) = [row for row in record["rows"] if row["alignment"] == "median"]
    expected = naive.table([(answer(image, camera), label)], "median", *rules)  # type: ignore[arg-type]
    for name in ("abs_rel", "delta1", "rmse"):
        assert row[name] == pytest.approx(expected[name], rel=1e-4), name


def test_a_kitti_frame_with_its_annotated_map(run, real_samples, tmp_path):
    real, frame, drive = real_samples / "metric3d_demo/kitti_demo", "0000000005", "2011_09_26_drive_0001_sync"
    day = tmp_path / "raw/raw/2011_09_26"
    place = tmp_path / "raw/train" / drive / "proj_depth/groundtruth/image_02"
    for folder, source in ((day / drive / "image_02/data", real / "rgb"), (place, real / "depth")):
        folder.mkdir(parents=True)
        shutil.copy(source / f"{frame}.png", folder)
    camera = Intrinsics(707.0493, 707.0493, 604.0814, 180.5066)
    numbers = (camera.fx, 0, camera.cx, 0, 0, camera.fy, camera.cy, 0, 0, 0, 1, 0)
    (day / "calib_cam_to_cam.txt").write_text(f"P_rect_02: {' '.join(map(str, numbers))}\n")
    (tmp_path / "raw/kitti_eigen_test_files_with_gt.txt").write_text(f"2011_09_26/{drive} {frame} l\n")
    record = run("kitti_eigen_improved", tmp_path / "raw", (352, 1216))
    image = cv2.imread(str(real / f"rgb/{frame}.png"))
    code = cv2.imread(str(real / f"depth/{frame}.png"), cv2.IMREAD_UNCHANGED)
    check(record, image, np.where(code > 0, code / 256, np.nan), camera, naive.garg, 1e-3, 80)
    # A fifth of the pixels has a label; Garg's crop keeps half of the image.
    assert 30_000 < record["images"][0]["pixels"] < 0.2 * 375 * 1242


def test_a_nyu_frame_in_the_labelled_layout(run, real_samples, tmp_path):
    import h5py
    from scipy.io import savemat

    real = real_samples / "metric3d_demo/nyu_demo"
    image = cv2.imread(str(real / "rgb/rgb_00000.jpg"))[..., ::-1]
    depth = cv2.imread(str(real / "depth/sync_depth_00000.png"), cv2.IMREAD_UNCHANGED) / np.float32(1000)
    with h5py.File(tmp_path / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"], file["rawDepths"] = image.T[None], depth.astype(np.float32).T[None]
        name = file.create_dataset("#refs#/0", data=np.frombuffer(b"k\0", "<u2")[:, None])
        file["scenes"] = np.array([[name.ref]], h5py.ref_dtype)
    savemat(tmp_path / "splits.mat", {"testNdxs": np.array([[1]])})
    record = run("nyu", tmp_path, (480, 640))
    check(record, image, np.where(depth > 0, depth, np.nan), NYU, naive.toolbox, 1e-3, 10)


def test_a_ddad_picture_with_the_points_of_its_scan(run, real_samples, tmp_path):
    raw = real_samples / "ddad_dgp" / "test_scene"
    options = ["--option", "dataset=", "--option", "split=train", "--limit", "1"]
    source = Dgp(raw, cameras=("CAMERA_01",), nearest_m=0, occlusion_gap=0)
    sample = source.read(source.keys()[0])
    camera = sample.intrinsics
    assert camera is not None
    record = run("ddad", raw, sample.size, *options)
    assert record["changed"] == {"dataset": "", "split": "train"}
    label = np.where(sample.valid, sample.target, np.nan)
    check(record, sample.image, label, camera, naive.everything, 1e-5, 200)
    assert record["images"][0]["pixels"] > 4_000


def test_an_ibims_room(run, real_samples, tmp_path):
    real = real_samples / "ibims1_marigolddc"
    depth = np.load(real / "gt.npy")
    code = np.rint(depth * 65535 / 50).astype(np.uint16)
    ones = np.full(depth.shape, 255, np.uint8)
    for folder, pixels in {"depth": code, "mask_invalid": ones, "mask_transp": ones}.items():
        (tmp_path / folder).mkdir()
        assert cv2.imwrite(str(tmp_path / folder / "room_01.png"), pixels)
    for folder in ("rgb", "calib"):
        (tmp_path / folder).mkdir()
    shutil.copy(real / "image.png", tmp_path / "rgb/room_01.png")
    # The calibration is not among the samples; after alignment these measures do not depend on it.
    (tmp_path / "calib/room_01.txt").write_text("500,500,320,240")
    record = run("ibims", tmp_path, (480, 640))
    image, label = (
        cv2.imread(str(real / "image.png")),
        np.where(code > 0, code.astype(np.float64) * 50 / 65535, np.nan),
    )
    check(record, image, label, Intrinsics(500, 500, 319, 239), naive.everything, 0, float("inf"))
    (row,) = [row for row in record["rows"] if row["alignment"] == "affine_inverse_depth"]
    assert 0 < row["abs_rel"] < 1
    assert row["planarity_rms"] is None  # no masks of planes are among the samples
