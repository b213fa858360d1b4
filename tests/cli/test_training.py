"""`depthmix fit | validate | test`: what Lightning or a constructor refuses is one line, too."""

from pathlib import Path

import pytest
import yaml

from depthmix.cli import main
from tests.cli.test_check import config, put, sets

__all__ = ["sets"]

REFUSED = [
    ("model.terms.ssi.loss", {"class_path": "ScaleShiftInvariantLoss", "init_args": {"trim": 3.0}}, "`trim`"),
    ("model.net.init_args.widths", [-8, 8], "`widths` must be positive multiples of 8"),
    ("trainer.accelerator", "gup", "invalid accelerator name"),
    ("trainer.max_epochs", -7, "`max_epochs` must be a non-negative integer or -1"),
    ("data.sources.web.weight", -3.0, "sources.web.weight: must be positive and finite"),
    ("model.terms.ssi.sources", ["weeb"], "'weeb' is not one of"),
    ("ckpt_path", "gone.ckpt", "gone.ckpt: no such checkpoint"),
    ("ckpt_path", ".", "no such checkpoint"),
]


def write(tmp_path: Path, values: dict) -> str:
    file = tmp_path / "mix.yaml"
    file.write_text(yaml.safe_dump(values))
    return str(file)


def small(tmp_path: Path, sets: Path) -> dict:
    values = config(sets)
    values["trainer"] = {"default_root_dir": str(tmp_path / "run"), "max_epochs": 1, "accelerator": "cpu"}
    return values


@pytest.mark.parametrize(("path", "value", "said"), REFUSED, ids=[f"{r[0]}={r[1]}" for r in REFUSED])
def test_what_cannot_work_is_one_line_and_leaves_no_run_folder(tmp_path, sets, capsys, path, value, said):
    values = small(tmp_path, sets)
    put(values, path, value)
    capsys.readouterr()
    assert main(["fit", "--config", write(tmp_path, values)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "run").exists()


def test_several_problems_are_one_line_that_counts_the_others(tmp_path, sets, capsys):
    values = small(tmp_path, sets)
    values["model"]["terms"] = {"metric": {"loss": "LogL1Loss", "sources": ["web", "weeb"]}}
    capsys.readouterr()
    assert main(["fit", "--config", write(tmp_path, values)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "more problem" in line


def test_a_run_folder_that_cannot_be_made_is_named(tmp_path, sets, capsys):
    (tmp_path / "run").write_text("a file")
    capsys.readouterr()
    assert main(["fit", "--config", write(tmp_path, small(tmp_path, sets))]) == 1
    assert str(tmp_path / "run") in capsys.readouterr().err.splitlines()[-1]
    assert (tmp_path / "run").read_text() == "a file"


@pytest.mark.parametrize("command", ["test", "validate"])
def test_untrained_weights_are_not_evaluated_by_mistake(tmp_path, sets, capsys, command):
    capsys.readouterr()
    assert main([command, "--config", write(tmp_path, small(tmp_path, sets))]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--ckpt_path: no checkpoint given; such as {tmp_path / 'run' / 'last.ckpt'}" in line


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, sets, capsys):
    (tmp_path / "x.ckpt").write_text("hello")
    arguments = ["--config", write(tmp_path, small(tmp_path, sets)), "--ckpt_path", str(tmp_path / "x.ckpt")]
    capsys.readouterr()
    assert main(["test", *arguments]) == 2
    assert "is no torch checkpoint, or is cut short" in capsys.readouterr().err
