"""What `depthmix new-source` writes passes its own test, at once, for every kind of label."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from depthmix.cli import main
from depthmix.cli.new_source import KINDS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", KINDS)
def test_the_written_test_passes_and_the_files_are_clean(tmp_path, kind, capsys):
    assert main(["new-source", "CaveScans", "--kind", kind, "--out", str(tmp_path / "mine")]) == 0
    said = capsys.readouterr().out
    assert "python -m pytest" in said
    assert "depthmix inspect RAW --source cave_scans:CaveScans" in said
    files = sorted(path.name for path in (tmp_path / "mine").iterdir())
    assert files == ["cave_scans.py", "make_cave_scans.py", "test_cave_scans.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:dash", "-W", "error", "."],
        cwd=tmp_path / "mine",
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
    assert "failed" not in done.stdout
    options = ["--config", str(ROOT / "pyproject.toml"), str(tmp_path / "mine")]
    for action in (["check", "--ignore", "D,ANN,I001"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *action, *options]
        checked = subprocess.run(ruff, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_names_become_modules_in_the_usual_way(tmp_path):
    for name, module in (("NYUDepth", "nyu_depth"), ("X", "x"), ("Sun3D", "sun3_d")):
        assert main(["new-source", name, "--out", str(tmp_path / name)]) == 0
        assert (tmp_path / name / f"{module}.py").is_file()


def test_nothing_is_overwritten(tmp_path, capsys):
    main(["new-source", "Mine", "--out", str(tmp_path)])
    (tmp_path / "mine.py").write_text("my work")
    assert main(["new-source", "Mine", "--out", str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "mine.py").read_text() == "my work"


@pytest.mark.parametrize("name", ["cave", "1Cave", "Cave-Scans", "../Cave"])
def test_a_name_that_is_no_class_is_refused(tmp_path, capsys, name):
    assert main(["new-source", name, "--out", str(tmp_path)]) == 2
    assert "must be the name of a class" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
