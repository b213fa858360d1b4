"""`depthmix predict` says each line at once, reads lists, and tells by its exit code what was left out."""

import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from depthmix.cli import main
from depthmix.cli.predict import FORMATS
from depthmix.predict import FORMATS as KNOWN
from tests.predict.networks import trained


@pytest.fixture
def predict(tmp_path, monkeypatch, capsys):
    """Run the command with a network whose answer is known."""
    monkeypatch.setattr("depthmix.trained.load_trained", lambda path, trust: trained())

    def run(*arguments):
        code = main(["predict", *arguments, "--ckpt", "x.ckpt", "--out", str(tmp_path / "out")])
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err

    return run


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((12, 16, 3), 51, np.uint8)).save(tmp_path / "in" / name)
    return tmp_path / "in"


def test_the_formats_of_the_command_are_those_of_the_package():
    assert FORMATS == KNOWN


def test_paths_come_from_standard_input_too(predict, photos, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{photos / 'a.png'}\n\n{photos / 'b.png'}\n"))
    code, out, _ = predict("-", "--format", "npy")
    assert code == 0
    assert [line.split(":")[0] for line in out] == [str(photos / "a.png"), str(photos / "b.png")]


def test_photos_go_through_the_network_together_where_asked_to(predict, photos):
    code, out, _ = predict(str(photos), "--format", "npy", "--batch", "2", "--device", "cpu")
    assert code == 0
    assert [line.split(":")[0] for line in out] == [str(photos / "a.png"), str(photos / "b.png")]
    code, _, err = predict(str(photos), "--batch", "0")
    assert (code, err) == (2, "depthmix: batch: must be at least 1, got 0\n")


def test_a_gpu_that_is_not_there_ends_in_one_line(predict, photos, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, out, err = predict(str(photos), "--device", "cuda")
    assert (code, out) == (2, [])
    assert re.fullmatch(r"depthmix: device: torch .* CUDA.*; predict with --device cpu\n", err)


def test_metres_are_refused_from_a_relative_network(predict, photos, monkeypatch):
    monkeypatch.setattr("depthmix.trained.load_trained", lambda path, trust: trained(metric=False))
    code, out, err = predict(str(photos), "--format", "ply", "--focal-px", "20")
    assert (code, out) == (2, [])
    assert "this checkpoint gives relative inverse depth, unknown scale and shift; leave ply and glb" in err
    code, out, _ = predict(str(photos), "--format", "npy", "png16", "--focal-px", "20")
    assert code == 0
    assert all("has not learned metres, so the focal length was not used" in line for line in out)
    stated = json.loads((photos.parent / "out" / "a_depth.json").read_text())
    assert (stated["unit"], stated["focal_used"]) == ("none", None)


def test_a_skipped_file_is_said_and_counts_in_the_exit_code(predict, photos):
    (photos / "aa.jpg").write_text("text")
    code, _, err = predict(str(photos), "--format", "npy")
    assert code == 1
    assert "aa.jpg" in err
    code, out, err = predict(str(photos), "--format", "npy", "--on-bad", "skip", "--flip", "--tiles", "2")
    assert code == 1
    assert [line.split(":")[0] for line in out] == [str(photos / "a.png"), "skipped", str(photos / "b.png")]
    assert err == ""
