"""Every notebook runs offline from start to end, and is kept with its outputs and no trace of a machine."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MACHINE_PATH = re.compile(r"(?<![\w.])/(tmp|home|root|work|Users|var|mnt)/|site-packages|[A-Z]:\\\\")


@pytest.fixture(scope="module")
def refresh() -> ModuleType:
    pytest.importorskip("nbclient", reason="needs depthmix[notebooks]")
    spec = importlib.util.spec_from_file_location("refresh", FOLDER / "refresh.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def code_cells(notebook: Path) -> list[dict]:
    return [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.notebook
@pytest.mark.filterwarnings("default")  # those of the Jupyter packages are not ours
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs_and_shows_as_much_as_the_kept_one(notebook, refresh, tmp_path):
    pytest.importorskip("open3d", reason="needs depthmix[3d]")
    pytest.importorskip("skimage", reason="needs depthmix[samples]")
    fresh = [cell for cell in refresh.execute(notebook, tmp_path).cells if cell.cell_type == "code"]
    kept = code_cells(notebook)
    for now, then in zip(fresh, kept, strict=True):
        assert [sorted(output.get("data", {})) for output in now.outputs] == [
            sorted(output.get("data", {})) for output in then["outputs"]
        ]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_is_kept_executed_in_order_and_without_errors(notebook):
    cells = code_cells(notebook)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_kept_notebook_is_small_and_names_no_machine(notebook):
    text = notebook.read_text()
    assert len(text) <= 1_000_000
    without_pictures = re.sub(r'"image/png": "[^"]*"', "", text)
    assert not MACHINE_PATH.search(without_pictures)
    assert set(json.loads(text)["metadata"]) == {"kernelspec", "language_info"}


def test_adding_a_source_takes_at_most_120_lines():
    files = [
        "".join(cell["source"]).split("\n", 1)[1]
        for cell in code_cells(FOLDER / "02_add_a_source.ipynb")
        if "".join(cell["source"]).startswith("%%writefile")
    ]
    assert len(files) == 3  # adapter, fixture writer, test
    assert sum(len(text.rstrip().splitlines()) for text in files) <= 120
