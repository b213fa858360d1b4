"""`depthmix inspect` says what is wrong, in text, as JSON and as a page, and its exit code tells scripts."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from depthmix.cli import main
from depthmix.prepare import prepare
from depthmix.sources import MiddleburyStereo
from tests.data.middlebury import make as middlebury


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    middlebury.make(tmp_path / "raw")
    return tmp_path / "raw"


def test_raw_data_are_inspected_in_words(raw, capsys):
    assert main(["inspect", str(raw), "--source", "MiddleburyStereo"]) == 0
    said = capsys.readouterr().out
    assert "middlebury: MIDDLE METRIC_DEPTH, 2 of 2 samples read" in said
    assert "median label value" in said
    assert "licence: free for research with citation" in said


def test_a_problem_is_exit_code_1_and_json_names_it(raw, capsys):
    scene = next(raw.iterdir())
    (scene / "calib.txt").write_text("cam0=nonsense\n")
    assert main(["inspect", str(raw), "--source", "MiddleburyStereo", "--json"]) == 1
    (audit,) = json.loads(capsys.readouterr().out)
    assert audit["findings"][0]["what"] == "unreadable"
    assert audit["failed"][0]["key"] == scene.name
    assert "calib.txt" in audit["failed"][0]["reason"]


def test_prepared_sets_are_found_and_leaks_into_evaluation_are_a_problem(raw, tmp_path, capsys):
    for name in ("one", "two"):
        prepare(MiddleburyStereo(raw, name=name), tmp_path / "mix" / name)
    assert main(["inspect", str(tmp_path / "mix"), "--page", str(tmp_path / "page.html")]) == 0
    assert "are also in two: they weigh twice" in capsys.readouterr().out
    assert '<h2 id="source2">two</h2>' in (tmp_path / "page.html").read_text()
    one, two = (str(tmp_path / "mix" / name) for name in ("one", "two"))
    for kept in (two, f"MiddleburyStereo={raw}"):
        assert main(["inspect", one, "--against", kept]) == 1
        assert "kept for evaluation" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--limit", "-1"], "--limit: must not be negative"),
        (["--option", "a=b"], "name it by --source"),
        (["--source", "MiddleburyStereo", "--against", "Middlebury=x"], "did you mean MiddleburyStereo"),
        ([], "say which source reads it: --source"),
    ],
)
def test_what_cannot_work_is_one_line(raw, capsys, arguments, said):
    assert main(["inspect", str(raw), *arguments]) in (1, 2)
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_inspecting_imports_no_torch(raw):
    code = (
        "import sys; from depthmix.cli import main; "
        f"main(['inspect', {str(raw)!r}, '--source', 'MiddleburyStereo']); "
        "print('torch' in sys.modules, 'lightning' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"


def test_the_numbers_do_not_depend_on_workers(raw, capsys):
    said = []
    for workers in ("0", "1"):
        main(["inspect", str(raw), "--source", "MiddleburyStereo", "--json", "--workers", workers])
        said.append(json.loads(capsys.readouterr().out))
    assert said[0] == said[1]
    assert np.isfinite(said[0][0]["summary"]["median"]).all()
