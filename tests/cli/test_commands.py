"""Every mistake ends in one clear line and the right exit code, with nothing half-written."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from depthmix.cli import main
from tests.data.middlebury import make as middlebury
from tests.data.planes import make as planes
from tests.data.web_stereo import make as web_stereo


@pytest.fixture
def stereo(tmp_path) -> Path:
    root = tmp_path / "raw"
    middlebury.make(root)
    return root


@pytest.fixture(scope="module")
def mix(tmp_path_factory) -> Path:
    """Prepared sets of three kinds, large enough for the network."""
    root = tmp_path_factory.mktemp("mix")
    middlebury.make(root / "raw" / "stereo")
    web_stereo.make(root / "raw" / "web")
    planes.make(root / "raw" / "planes")
    for source, name in (("MiddleburyStereo", "stereo"), ("WebStereo", "web"), ("PlaneInstances", "planes")):
        arguments = [source, str(root / "raw" / name), str(root / "sets"), "--name", name]
        # The fixture's planes are as small as its images.
        arguments += ["--option", "min_pixels=1"] if name == "planes" else []
        assert main(["prepare", *arguments, "--size", "32x40", "--workers", "0"]) == 0
    return root / "sets"


def config(root: Path, **terms: str) -> dict:
    return {
        "trainer": {"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False},
        "model": {
            "net": {"class_path": "LightDepthNet", "init_args": {"widths": [8, 8], "bottleneck": 1}},
            "terms": {name: {"loss": loss} for name, loss in terms.items()},
        },
        "data": {
            "root": str(root),
            "sources": {"stereo": {"weight": 2}, "web": {"weight": 1}, "planes": {"weight": 1}},
            "test_sources": {"stereo": "stereo"},
            "batch_size": 4,
            "steps_per_epoch": 3,
            "augment": {"height": 32, "width": 32},
            "workers": 0,
        },
    }


TERMS = {"ssi": "ScaleShiftInvariantLoss", "metric": "LogL1Loss", "plane": "PlaneLoss"}


def write(path: Path, values: dict) -> str:
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return str(path)


def lines(capsys) -> list[str]:
    return capsys.readouterr().err.strip().splitlines()


def test_a_prepared_mix_trains_tests_and_reports(tmp_path, mix, capsys):
    values = config(mix, **TERMS)
    values["trainer"]["default_root_dir"] = str(tmp_path / "run")
    file = write(tmp_path / "mix.yaml", values)
    assert main(["check", file]) == 0
    assert main(["fit", "--config", file]) == 0
    checkpoint = tmp_path / "run" / "last.ckpt"
    assert main(["test", "--config", file, "--ckpt_path", str(checkpoint)]) == 0
    assert main(["report", str(tmp_path / "run"), "--data", str(mix)]) == 0
    written = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"config.yaml", "metrics.csv", "last.ckpt", "test.json", "test.csv", "report.html"} <= written
    rows = json.loads((tmp_path / "run" / "test.json").read_text())["rows"]
    assert {row["alignment"] for row in rows} == {"none", "affine_inverse_depth"}
    photo = next((mix.parent / "raw" / "stereo").rglob("im0.png"))
    arguments = [str(photo), "--ckpt", str(checkpoint), "--fov-degrees", "60", "--out", str(tmp_path / "out")]
    assert main(["predict", *arguments]) == 0
    assert "metric depth, m" in capsys.readouterr().out


def test_two_runs_on_a_cpu_end_in_identical_weights_whatever_the_workers(tmp_path, mix):
    weights = []
    for name, workers in (("first", 0), ("second", 2)):
        values = config(mix, **TERMS)
        values["trainer"]["default_root_dir"] = str(tmp_path / name)
        values["data"]["workers"] = workers
        assert main(["fit", "--config", write(tmp_path / f"{name}.yaml", values)]) == 0
        weights.append(torch.load(tmp_path / name / "last.ckpt", weights_only=True)["state_dict"])
    assert weights[0]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def logged(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("named", ["path", "word"])
def test_a_fit_that_goes_on_in_its_folder_keeps_its_log(tmp_path, mix, named):
    folder = tmp_path / "run"
    values = config(mix, **TERMS)
    values["trainer"] |= {"default_root_dir": str(folder), "log_every_n_steps": 1}
    file = write(tmp_path / "mix.yaml", values)
    assert main(["fit", "--config", file]) == 0
    before = logged(folder)
    checkpoint = str(folder / "last.ckpt") if named == "path" else "last"
    again = ["fit", "--config", file, "--trainer.max_epochs", "2", "--ckpt_path", checkpoint]
    assert main([*again, "--data.batch_size", "3"]) != 0  # another order of samples: refused, nothing lost
    assert logged(folder) == before
    assert main(again) == 0
    assert logged(folder)[:3] == before
    assert [row["step"] for row in logged(folder)] == ["1", "2", "3", "4", "5", "6"]


def test_a_new_fit_starts_a_new_log(tmp_path, mix):
    values = config(mix, **TERMS)
    values["trainer"] |= {"default_root_dir": str(tmp_path / "run"), "log_every_n_steps": 1}
    file = write(tmp_path / "mix.yaml", values)
    assert main(["fit", "--config", file]) == 0
    other = ["--trainer.default_root_dir", str(tmp_path / "other"), "--trainer.max_epochs", "2"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "metrics.csv").write_text("step,train/loss\n2,9\n")
    assert main(["fit", "--config", file]) == 0
    assert [row["step"] for row in logged(tmp_path / "run")] == ["1", "2", "3"]
    # Another run's checkpoint does not make another run's log its past.
    assert main(["fit", "--config", file, *other, "--ckpt_path", str(tmp_path / "run" / "last.ckpt")]) == 0
    assert [row["step"] for row in logged(tmp_path / "other")] == ["4", "5", "6"]


def test_a_typo_is_named_with_its_place(tmp_path, mix, capsys):
    values = config(mix, **TERMS)
    values["data"]["sources"]["web"] = {"wieght": 1}
    file = write(tmp_path / "mix.yaml", values)
    assert main(["fit", "--config", file]) == 2
    (line,) = lines(capsys)
    assert f"{file}:" in line
    assert "data.sources.web.wieght: unknown option; did you mean 'weight'?" in line
    assert main(["check", file]) == 1


def test_a_metric_loss_on_web_stereo_is_refused(tmp_path, mix, capsys):
    values = config(mix, **TERMS)
    values["trainer"]["default_root_dir"] = str(tmp_path / "run")
    values["model"]["terms"]["metric"]["sources"] = ["web"]
    file = write(tmp_path / "mix.yaml", values)
    assert main(["check", file]) == 1
    assert "LogL1Loss needs metric depth, but source 'web' gives AFFINE_DISPARITY" in lines(capsys)[0]
    assert main(["fit", "--config", file]) == 2
    (line,) = lines(capsys)
    assert "LogL1Loss needs metric depth, but source 'web' gives AFFINE_DISPARITY" in line
    assert not (tmp_path / "run").exists()


def test_a_set_that_was_never_prepared_is_named_with_the_command_that_makes_it(tmp_path, mix, capsys):
    values = config(mix, **TERMS)
    values["data"]["sources"]["kitti"] = {"weight": 1}
    file = write(tmp_path / "mix.yaml", values)
    assert main(["fit", "--config", file]) == 2
    (line,) = lines(capsys)
    assert "kitti" in line
    assert "depthmix prepare" in line


def test_an_unknown_option_of_the_command_line_is_one_line(tmp_path, mix, capsys):
    file = write(tmp_path / "mix.yaml", config(mix, **TERMS))
    assert main(["fit", "--config", file, "--data.bacht_size", "3"]) == 2
    (line,) = lines(capsys)
    assert "bacht_size" in line


def test_a_missing_raw_folder_is_named(tmp_path, capsys):
    assert main(["prepare", "MiddleburyStereo", str(tmp_path / "no"), str(tmp_path / "out")]) == 1
    (line,) = lines(capsys)
    assert "no such folder" in line
    assert str(tmp_path / "no") in line
    assert not (tmp_path / "out").exists()


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def break_header(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"-1.0", b"zero", 1))


def forget_all_disparities(file: Path) -> None:
    middlebury.write_pfm(file, np.full((middlebury.HEIGHT, middlebury.WIDTH), np.inf))


def put_nan(file: Path) -> None:
    file.write_text(file.read_text().replace(f"baseline={middlebury.BASELINE_MM}", "baseline=nan"))


DAMAGE = [
    ("im0.png", truncate, "im0.png"),
    ("disp0.pfm", break_header, "disp0.pfm"),
    ("disp0.pfm", forget_all_disparities, "0 of 768 pixels are valid"),
    ("calib.txt", put_nan, "baseline"),
]


@pytest.mark.parametrize(("name", "damage", "said"), DAMAGE)
def test_a_damaged_file_stops_a_strict_run_in_one_line(tmp_path, stereo, capsys, name, damage, said):
    file = stereo / "Adirondack" / name
    damage(file)
    arguments = [
        "MiddleburyStereo",
        str(stereo),
        str(tmp_path / "out"),
        "--workers",
        "0",
        "--on-bad",
        "error",
    ]
    assert main(["prepare", *arguments]) == 1
    line = lines(capsys)[-1]
    assert said in line
    assert "Adirondack" in line
    assert not list((tmp_path / "out").rglob("*.h5"))
    assert not list((tmp_path / "out").rglob("index.json"))


def test_a_source_that_does_not_exist_is_answered_with_the_nearest(tmp_path, capsys):
    assert main(["prepare", "MiddleburryStereo", str(tmp_path), str(tmp_path / "out")]) == 2
    assert "did you mean MiddleburyStereo" in lines(capsys)[-1]


def test_an_option_that_a_source_does_not_have_is_named(stereo, tmp_path, capsys):
    arguments = ["MiddleburyStereo", str(stereo), str(tmp_path / "out"), "--option", "spilt=val"]
    assert main(["prepare", *arguments]) == 2
    assert "--option spilt: MiddleburyStereo has no such option" in lines(capsys)[-1]


@pytest.mark.parametrize("size", ["12", "axb", "0x4", "-3x4"])
def test_a_size_that_is_none_is_refused(stereo, tmp_path, capsys, size):
    arguments = ["MiddleburyStereo", str(stereo), str(tmp_path / "out"), f"--size={size}"]
    assert main(["prepare", *arguments]) == 2
    assert "must be HEIGHTxWIDTH" in lines(capsys)[-1]


def test_sources_are_listed_as_text_and_as_json(capsys):
    assert main(["sources", "list"]) == 0
    assert re.search(r"^ *KittiLidar +HIGH +METRIC_DEPTH", capsys.readouterr().out, re.MULTILINE)
    assert main(["sources", "list", "--json"]) == 0
    cards = json.loads(capsys.readouterr().out)
    assert cards["WebStereo"]["kind"] == "AFFINE_DISPARITY"


@pytest.mark.parametrize("name", ["KittiLidar", "kittilidar", "kitti"])
def test_a_card_is_shown_by_class_and_by_name_in_the_mix(name, capsys):
    assert main(["sources", "show", name]) == 0
    said = capsys.readouterr().out
    assert said.startswith("KittiLidar\n")
    for field in ("family", "quality", "kind", "unit", "licence", "size", "citation", "read on real files"):
        assert re.search(rf"^  {field} +\S", said, re.MULTILINE)


def test_verify_finds_a_flipped_bit(tmp_path, stereo, capsys):
    arguments = ["MiddleburyStereo", str(stereo), str(tmp_path / "out"), "--workers", "0"]
    assert main(["prepare", *arguments]) == 0
    assert main(["verify", str(tmp_path / "out")]) == 0
    shard = next((tmp_path / "out").rglob("*.h5"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    assert main(["verify", str(tmp_path / "out")]) == 1
    assert shard.name in capsys.readouterr().err


def test_a_checkpoint_that_is_none_is_refused(tmp_path, stereo, capsys):
    (tmp_path / "x.ckpt").write_text("hello")
    photo = stereo / "Bicycle" / "im0.png"
    assert (
        main(["predict", str(photo), "--ckpt", str(tmp_path / "x.ckpt"), "--out", str(tmp_path / "o")]) == 2
    )
    assert "x.ckpt" in lines(capsys)[-1]
    assert not (tmp_path / "o").exists()
