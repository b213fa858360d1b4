"""Each protocol on a raw copy in the real layout gives what an evaluation written from papers gives."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from depthmix.cli import main
from depthmix.cli.protocol import find_protocol, read_protocol, shipped_protocols
from depthmix.errors import ConfigError
from depthmix.sample import Intrinsics
from depthmix.testing.known import code16, write_image
from tests.data.diode import make as diode
from tests.data.eth3d_highres import make as eth3d
from tests.data.ibims import make as ibims
from tests.data.kitti import make as kitti
from tests.data.laser import make as laser
from tests.data.nyu import make as nyu
from tests.data.scannet import make as scannet
from tests.data.sintel import make as sintel
from tests.metrics import naive_protocols as naive
from tests.predict.networks import FOCAL, trained

Images = list[tuple[np.ndarray, np.ndarray]]
INFINITY = float("inf")


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a protocol with a network whose answer is known, which sees images of one size as they are."""

    def go(protocol: str, raw: Path, size: tuple[int, int], *arguments: str, metric: bool = True):
        net = trained(height=size[0], width=size[1], metric=metric)
        monkeypatch.setattr("depthmix.trained.load_trained", lambda path, trust: net)
        out = tmp_path / "out"
        paths = ["--ckpt", str(tmp_path / "x.ckpt"), "--raw", str(raw), "--out", str(out)]
        code = main(["test", "--protocol", protocol, *paths, *arguments])
        said = capsys.readouterr()
        record = json.loads((out / "test.json").read_text()) if (out / "test.json").exists() else {}
        return code, said, record

    return go


def answer(image: np.ndarray, camera: Intrinsics | None) -> np.ndarray:
    """The network's depth of an image that it sees as it is."""
    ratio = 1.0 if camera is None else (camera.fx * camera.fy) ** 0.5 / FOCAL
    return (1 + 4 * image.astype(np.float64).mean(-1) / 255) * ratio


def painted(depth: np.ndarray, seed: int) -> np.ndarray:
    """An image that is brighter where it is farther, with noise, so that fits have something to find."""
    shade = 200 * np.clip(np.nan_to_num(depth, nan=5, posinf=30) / 30, 0, 1) ** 0.5
    noise = np.random.default_rng(seed).integers(0, 50, (*depth.shape, 3))
    return (shade[..., None] + noise).astype(np.uint8)


def read(file: Path) -> np.ndarray:
    return np.asarray(cv2.imread(str(file), cv2.IMREAD_COLOR)[..., ::-1])


def check(record: dict, images: Images, window: naive.Window, low: float, high: float) -> None:
    """Compare all rows with those of the naive evaluation."""
    assert record["rows"]
    for row in record["rows"]:
        expected = naive.table(images, row["alignment"], window, low, high)
        assert row["count"] == len(images)
        reported = set(record["protocol"]["metrics"]) & set(expected)
        assert {"abs_rel", "delta1", "rmse"} <= reported
        for name in reported:
            assert row[name] == pytest.approx(expected[name], rel=2e-5, abs=1e-7), (row["alignment"], name)


def raw_kitti(root: Path) -> Images:
    """Write two scans, and return predictions with the labels that published tables have."""
    truth = kitti.make_raw(root)
    projection = kitti.projection() @ np.vstack(
        [np.hstack([kitti.rectification() @ kitti.mounting(), np.zeros((3, 0))]), [0, 0, 0, 1]]
    )
    images = []
    for number in range(2):
        drive = root / "2011_09_26" / "2011_09_26_drive_0001_sync"
        image = painted(truth, number)
        write_image(drive / "image_02" / "data" / f"{number:010d}.png", image)
        points = np.fromfile(drive / "velodyne_points" / "data" / f"{number:010d}.bin", "<f4").reshape(-1, 4)
        label = naive.scans_of_tables(points[:, :3], projection, (kitti.HEIGHT, kitti.WIDTH))
        camera = Intrinsics(kitti.FOCAL_PX, kitti.FOCAL_PX, kitti.CX, kitti.CY)
        images.append((answer(image, camera), label))
    lines = [f"2011_09_26/2011_09_26_drive_0001_sync {number:010d} l\n" for number in (1, 0)]
    (root / "test_files.txt").write_text("".join(lines))
    return images


def test_kitti_eigen(run, tmp_path):
    images = raw_kitti(tmp_path / "raw")
    code, said, record = run("kitti_eigen", tmp_path / "raw", (kitti.HEIGHT, kitti.WIDTH))
    assert code == 0, said.err
    check(record, images, naive.garg, 1e-3, 80)
    assert [row["alignment"] for row in record["rows"]] == ["none", "median", "affine_inverse_depth"]


def test_kitti_eigen_improved_cuts_the_image_but_takes_the_crop_of_the_whole_label(run, tmp_path):
    size, drive = (375, 1242), "2011_09_26_drive_0002_sync"
    camera = Intrinsics(721.5377, 721.5377, 609.5593, 172.854)
    draw = np.random.default_rng(0)
    images = []
    for number in range(2):
        depth = np.linspace(90, 3, size[0])[:, None] + np.linspace(0, 9, size[1])
        depth = np.rint(depth * 256) / 256
        depth[draw.random(size) > 0.1] = np.nan
        image, day = painted(np.nan_to_num(depth, nan=9), number), tmp_path / "raw" / "raw" / "2011_09_26"
        write_image(day / drive / "image_02" / "data" / f"{number:010d}.png", image)
        place = tmp_path / "raw" / "val" / drive / "proj_depth" / "groundtruth" / "image_02"
        write_image(place / f"{number:010d}.png", code16(depth, 256))
        images.append((answer(image, camera), depth))
    numbers = " ".join(
        map(str, (camera.fx, 0, camera.cx, 44.9, 0, camera.fy, camera.cy, 0.2, 0, 0, 1, 0.003))
    )
    (day / "calib_cam_to_cam.txt").write_text(f"P_rect_02: {numbers}\n")
    picture = f"2011_09_26/{drive}/image_02/data/{{:010d}}.png"
    lines = [
        f"{picture.format(n)} {drive}/proj_depth/groundtruth/image_02/{n:010d}.png 721.5377" for n in (0, 1)
    ]
    lines.append(f"{picture.format(7)} None 721.5377")
    (tmp_path / "list.txt").write_text("\n".join(lines))
    # What the network sees is the cut image; the naive evaluation predicts the whole one, pixel by pixel.
    code, said, record = run(
        "kitti_eigen_improved", tmp_path / "raw", (352, 1216), "--split-file", str(tmp_path / "list.txt")
    )
    assert code == 0, said.err
    check(record, images, naive.garg, 1e-3, 80)
    assert "2 of 652 images" in said.out


def test_nyu(run, tmp_path):
    import h5py

    nyu.make_labelled(tmp_path)
    view = nyu.room(1)
    image = painted(view.depth, 1)
    with h5py.File(tmp_path / "nyu_depth_v2_labeled.mat", "r+") as file:
        file["images"][1] = image.T
    label = view.depth.copy()
    label.flat[::5] = np.nan
    code, said, record = run("nyu", tmp_path, nyu.SIZE)
    assert code == 0, said.err
    check(record, [(answer(image, nyu.COLOUR), label)], naive.toolbox, 1e-3, 10)


def test_diode(run, tmp_path):
    truths = diode.make(tmp_path, split="val")
    for protocol, key in zip(("diode_indoor", "diode_outdoor"), truths, strict=True):
        image = painted(truths[key].target, 3)
        write_image(tmp_path / "val" / f"{key}.png", image)
        code, said, record = run(protocol, tmp_path, diode.SIZE)
        assert code == 0, said.err
        check(record, [(answer(image, diode.CAMERA), truths[key].target)], naive.everything, 0.6, 350)


def test_ibims(run, tmp_path):
    images = []
    for key, truth in ibims.make(tmp_path).items():
        image = painted(truth.target, 4)
        write_image(tmp_path / "rgb" / f"{key}.png", image)
        code = np.rint(truth.target * 65535 / 50)
        images.append((answer(image, truth.intrinsics), code * 50 / 65535))
    code, said, record = run("ibims", tmp_path, ibims.SIZE)
    assert code == 0, said.err
    check(record, images, naive.everything, 0, INFINITY)
    for row in record["rows"]:
        assert row["planarity_rms"] > 0
        assert 0 < row["planarity_angle"] < 90
        assert 0 < row["normal_angle"] < 90


def test_scannet(run, tmp_path):
    truths = scannet.make(tmp_path)
    images = []
    for key, truth in truths.items():
        scene, number = key.split("/")
        picture = tmp_path / scene / "color" / f"{number}.jpg"
        write_image(picture, painted(truth.target, 5))  # of the label's size: nothing is resized
        images.append((answer(read(picture), scannet.DEPTH), np.rint(truth.target * 1000) / 1000))
    keys = [key.split("/") for key in truths]
    lines = [f"{scene}/color/{int(n):06d}.jpg {scene}/depth/{int(n):06d}.png\n" for scene, n in keys]
    (tmp_path / "scannet_val_sampled_list_800_1.txt").write_text("".join(lines))
    code, said, record = run("scannet", tmp_path, (48, 64))
    assert code == 0, said.err
    check(record, images, naive.everything, 1e-3, 10)


def test_ddad(run, tmp_path):
    truths = laser.write_dgp(tmp_path)
    splits = json.loads((tmp_path / "ddad.json").read_text())["scene_splits"]
    splits["0"], splits["1"] = splits["1"], splits["0"]
    (tmp_path / "ddad.json").write_text(json.dumps({"scene_splits": splits}))
    images = []
    for number, key in enumerate(truths):
        folder, camera, time = key.split("/")
        image = painted(kitti.true_depth(), number)
        write_image(tmp_path / folder / "rgb" / camera / f"{time}.png", image)
        images.append((answer(image, laser.CAMERA), laser.seen(number, 0.0).target))
    code, said, record = run("ddad", tmp_path, laser.SIZE)
    assert code == 0, said.err
    check(record, images, naive.everything, 1e-5, 200)


def test_sintel_and_eth3d_have_no_row_in_metres(run, tmp_path):
    images = []
    for key, truth in sintel.make(tmp_path / "sintel").items():
        image = painted(truth.target, 6)
        write_image(tmp_path / "sintel" / "training" / "final" / f"{key}.png", image)
        images.append((answer(image, truth.intrinsics), truth.target.astype(np.float32)))
    code, said, record = run("sintel", tmp_path / "sintel", (48, 64))
    assert code == 0, said.err
    check(record, images, naive.everything, 1e-5, 72)
    images = []
    for key, truth in eth3d.make(tmp_path / "eth3d", undistort=False).items():
        scene, photo = key.split("/")
        picture = tmp_path / "eth3d" / scene / "images" / "dslr_images" / f"{photo}.JPG"
        write_image(picture, painted(truth.target, 7))
        images.append((answer(read(picture), None), truth.target.astype(np.float32)))
    code, said, record = run("eth3d", tmp_path / "eth3d", eth3d.SIZE)
    assert code == 0, said.err
    check(record, images, naive.everything, 1e-5, 72)


def test_every_shipped_protocol_is_run_above():
    ran = {"kitti_eigen", "kitti_eigen_improved", "nyu", "diode_indoor", "diode_outdoor", "ibims", "scannet"}
    assert set(shipped_protocols()) == ran | {"ddad", "sintel", "eth3d"}


def test_the_result_names_its_protocol_and_how_much_was_read(run, tmp_path):
    raw_kitti(tmp_path / "raw")
    with (tmp_path / "raw" / "test_files.txt").open("a") as file:
        file.write("2011_09_26/2011_09_26_drive_0009_sync 0000000016 l\n")
    size = (kitti.HEIGHT, kitti.WIDTH)
    code, said, record = run(
        "kitti_eigen", tmp_path / "raw", size, "--limit", "1", "--option", "label=camera"
    )
    assert code == 0
    lines = said.out.splitlines()
    assert lines[0].startswith("kitti_eigen: KITTI raw, Eigen's 697 test frames")
    assert lines[1] == "1 of 697 images, --limit 1: not comparable with published figures"
    assert lines[2].startswith("1 of the list are not in ")
    assert lines[2].endswith(", such as 2011_09_26/2011_09_26_drive_0009_sync/0000000016")
    assert lines[3] == "changed: label=camera"
    assert lines[4].split()[:4] == ["set", "tier", "alignment", "count"]
    assert record["protocol"]["name"] == "kitti_eigen"
    assert record["protocol"]["split"]["images"] == 697
    assert record["count"] == {"measured": 1, "of": 697, "limit": 1}
    assert record["changed"] == {"label": "camera"}
    assert record["missing"] == ["2011_09_26/2011_09_26_drive_0009_sync/0000000016"]
    assert {image["image"] for image in record["images"]} == {
        "kitti/2011_09_26/2011_09_26_drive_0001_sync/0000000001"
    }
    with (tmp_path / "out" / "test.csv").open() as file:
        assert [row["set"] for row in csv.DictReader(file)] == ["kitti_eigen"] * 3


def test_a_network_without_metres_has_no_row_without_alignment(run, tmp_path):
    raw_kitti(tmp_path / "raw")
    _, said, record = run("kitti_eigen", tmp_path / "raw", (kitti.HEIGHT, kitti.WIDTH), metric=False)
    assert [row["alignment"] for row in record["rows"]] == ["median", "affine_inverse_depth"]
    assert "no row without alignment: the network has not learned metres" in said.out.splitlines()


def test_what_is_wrong_is_said_in_one_line(run, tmp_path):
    raw_kitti(tmp_path / "raw")
    size = (kitti.HEIGHT, kitti.WIDTH)
    assert run("kitti_eigne", tmp_path, size)[1].err == (
        "depthmix: --protocol: no protocol is called 'kitti_eigne'; did you mean 'kitti_eigen'?\n"
    )
    code, said, _ = run("kitti_eigen", tmp_path / "no", size)
    assert (code, said.err.count("\n")) == (1, 1)
    assert "no: kitti: no such folder; give the folder that holds" in said.err
    code, said, _ = run("nyu", tmp_path / "raw", size)
    assert (code, said.err.count("\n")) == (1, 1)
    assert "nyu_depth_v2_labeled.mat: no such file" in said.err
    (tmp_path / "raw" / "test_files.txt").rename(tmp_path / "elsewhere.txt")
    code, said, _ = run("kitti_eigen", tmp_path / "raw", size)
    assert (code, said.err.count("\n")) == (2, 1)
    assert "--split-file: the list of the 697 images is not there: " in said.err
    assert "fetch splits/eigen/test_files.txt of github.com/nianticlabs/monodepth2" in said.err
    (tmp_path / "elsewhere.txt").write_text("frame 12\n")
    code, said, _ = run(
        "kitti_eigen", tmp_path / "raw", size, "--split-file", str(tmp_path / "elsewhere.txt")
    )
    assert (code, said.err.count("\n")) == (2, 1)
    assert "elsewhere.txt: entry 1 names no image: 'frame 12'; expected the list as published" in said.err
    (tmp_path / "elsewhere.txt").write_text("2011_09_28/2011_09_28_drive_0002_sync 0000000069 l\n")
    code, said, _ = run(
        "kitti_eigen", tmp_path / "raw", size, "--split-file", str(tmp_path / "elsewhere.txt")
    )
    assert (code, said.err.count("\n")) == (1, 1)
    assert "raw: holds none of the 1 images of " in said.err
    code, said, _ = run("kitti_eigen", tmp_path / "raw", size, "--limit", "0")
    assert (code, said.err.count("\n")) == (2, 1)
    assert "argument --limit: must be at least 1, got 0" in said.err


def test_a_sample_that_cannot_be_read_stops_the_run_or_is_counted(run, tmp_path):
    raw_kitti(tmp_path / "raw")
    drive = tmp_path / "raw" / "2011_09_26" / "2011_09_26_drive_0001_sync"
    (drive / "velodyne_points" / "data" / "0000000000.bin").write_bytes(b"abc")
    size = (kitti.HEIGHT, kitti.WIDTH)
    code, said, _ = run("kitti_eigen", tmp_path / "raw", size)
    assert code == 1
    assert "0000000000.bin: 3 bytes are no whole number" in said.err
    code, said, record = run("kitti_eigen", tmp_path / "raw", size, "--on-bad", "skip")
    assert code == 1
    assert record["count"]["measured"] == 1
    assert list(record["skipped"]) == ["2011_09_26/2011_09_26_drive_0001_sync/0000000000"]
    assert "1 left out, such as 2011_09_26/2011_09_26_drive_0001_sync/0000000000: " in said.out


def test_a_folder_of_a_run_is_taken_for_its_checkpoint_and_results_go_into_it(tmp_path, monkeypatch, capsys):
    raw_kitti(tmp_path / "raw")
    loaded: list[Path] = []
    net = trained(height=kitti.HEIGHT, width=kitti.WIDTH)
    monkeypatch.setattr("depthmix.trained.load_trained", lambda path, trust: loaded.append(path) or net)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.ckpt").write_bytes(b"")
    words = ["test", "--protocol=kitti_eigen", "--raw", str(tmp_path / "raw")]
    assert main([*words, "--ckpt_path", str(tmp_path / "run")]) == 0
    assert loaded == [tmp_path / "run" / "last.ckpt"]
    assert (tmp_path / "run" / "kitti_eigen" / "test.json").is_file()
    (tmp_path / "exported").mkdir()
    assert main([*words, "--ckpt", str(tmp_path / "exported")]) == 0
    assert loaded[1:] == [tmp_path / "exported"]
    assert (tmp_path / "exported" / "kitti_eigen" / "test.csv").is_file()
    capsys.readouterr()


def test_a_run_that_measured_nothing_is_no_success(run, tmp_path):
    images = raw_kitti(tmp_path / "raw")
    nearest = min(np.nanmin(label) for _, label in images)
    whole = yaml.safe_load(shipped_protocols()["kitti_eigen"].read_text())
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(whole | {"cap": [0.001, float(nearest) / 2]}))
    code, said, record = run(str(tmp_path / "mine.yaml"), tmp_path / "raw", (kitti.HEIGHT, kitti.WIDTH))
    assert code == 1
    assert (record["rows"], record["count"]["measured"]) == ([], 0)
    assert "2 left out, such as 2011_09_26" in said.out
    assert "no label inside crop and cap" in said.out


def test_the_list_of_protocols_is_shown(run, capsys):
    assert main(["test", "--protocol", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(shipped_protocols())
    assert main(["test", "--protocol", "nyu"]) == 2
    assert "--ckpt: not given" in capsys.readouterr().err


@pytest.mark.parametrize("file", shipped_protocols().values(), ids=lambda file: file.stem)
def test_a_shipped_protocol_has_the_name_of_its_file_and_says_what_it_does(file):
    protocol = read_protocol(file)
    assert protocol.name == file.stem
    assert file.read_text().startswith("# ")
    assert protocol.reference


def test_mistakes_in_a_protocol_are_found_where_they_stand(tmp_path):
    whole = yaml.safe_load(shipped_protocols()["nyu"].read_text())

    def problem(text: str = "", **changes: object) -> str:
        file = tmp_path / "mine.yaml"
        file.write_text(text or yaml.safe_dump(whole | changes, sort_keys=False))
        with pytest.raises(ConfigError) as raised:
            find_protocol(str(file))
        return str(raised.value).removeprefix(f"{file}:")

    assert problem("name: [").startswith("1:8: not valid YAML: expected the node content, but found ")
    assert problem(crip="garg").endswith("crip: unknown option; did you mean 'crop'?")
    assert problem(crop="grag").startswith("10:1: crop: nothing is called 'grag'; did you mean 'garg'?")
    assert "cap: must be smallest and largest depth, got [10, 1]" in problem(cap=[10, 1])
    assert "size: must be training, native or [rows, columns], got big" in problem(size="big")
    assert "alignments: nothing is called 'affine'; did you mean" in problem(alignments=["affine"])
    assert "metrics: nothing is called 'abs_rell'; did you mean 'abs_rel'?" in problem(metrics=["abs_rell"])
    assert "alignments: must be one or more, each once" in problem(alignments=["none", "none"])
    assert "resize: must be one of depth, inverse_depth, got 'log'" in problem(resize="log")
    assert "split.images: must be at least 1, got 0" in problem(split={"images": 0})
    assert "split.file: file, pattern and key go together" in problem(split={"images": 1, "file": "a.txt"})
    lists = {"images": 1, "file": "a.txt", "pattern": "(?P<a>.)", "key": "{b}"}
    assert "split.key: the pattern has no group 'b'" in problem(split=lists)
    assert "options.splt: unknown option; did you mean 'split'?" in problem(options={"splt": "test"})
    assert "source: no source is called 'Nyu'" in problem(source="Nyu")
    assert problem(crip=1, crap=2).endswith("; 1 more problem")
