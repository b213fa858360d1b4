"""`depthmix predict` says each line at once, reads lists, and tells by its exit code what was left out."""

import io

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


def test_a_skipped_file_is_said_and_counts_in_the_exit_code(predict, photos):
    (photos / "aa.jpg").write_text("text")
    code, _, err = predict(str(photos), "--format", "npy")
    assert code == 1
    assert "aa.jpg" in err
    code, out, err = predict(str(photos), "--format", "npy", "--on-bad", "skip", "--flip", "--tiles", "2")
    assert code == 1
    assert [line.split(":")[0] for line in out] == [str(photos / "a.png"), "skipped", str(photos / "b.png")]
    assert err == ""
