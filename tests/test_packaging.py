"""The two top-level folders install inside the package, completely, and environments name the same things."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory) -> set[str]:
    out = tmp_path_factory.mktemp("wheel")
    # Built from a copy of the tracked files: a build folder in the checkout would leak old modules.
    copy = out / "copy"
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in files.split("\n"):
        path = ROOT / name
        if name and (path.is_symlink() or path.is_file()):
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink():
                target.symlink_to(path.readlink())
            else:
                target.write_bytes(path.read_bytes())
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(out), str(copy)]
    build = subprocess.run(command, capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stdout + build.stderr
    return set(zipfile.ZipFile(next(out.glob("*.whl"))).namelist())


def test_the_wheel_holds_every_module_of_both_folders(wheel_names):
    for folder in ("sources", "losses"):
        modules = {f"depthmix/{folder}/{path.name}" for path in (ROOT / folder).glob("*.py")}
        assert modules
        assert modules <= wheel_names


def test_the_wheel_holds_every_module_of_the_package(wheel_names):
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "depthmix").rglob("*.py")}
    assert modules <= wheel_names


def test_the_wheel_holds_recipes_template_and_type_marker(wheel_names):
    data = {str(p.relative_to(ROOT)) for ext in ("*.yaml", "*.jinja") for p in (ROOT / "depthmix").rglob(ext)}
    assert data
    tables = {"depthmix/losses/losses.csv", "depthmix/sources/sources.csv"}
    assert data | tables | {"depthmix/py.typed"} <= wheel_names


def test_the_wheel_installs_nothing_beside_depthmix(wheel_names):
    assert {name.split("/")[0] for name in wheel_names if ".dist-info/" not in name} == {"depthmix"}


@pytest.mark.parametrize("folder", ["sources", "losses"])
def test_the_links_are_relative(folder):
    link = ROOT / "depthmix" / folder
    assert link.is_symlink()
    assert link.readlink() == Path("..") / folder


def test_environment_yml_names_only_what_pyproject_names():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    entries = environment["dependencies"]
    conda = {re.match(r"[a-z0-9-]+", entry).group() for entry in entries if isinstance(entry, str)}
    pip = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    assert pip == ["-e .[dev]"]
    ours = {
        re.match(r"[A-Za-z0-9-]+", entry).group().lower() for entry in PYPROJECT["project"]["dependencies"]
    }
    assert {"torch" if name == "pytorch" else name for name in conda - {"python", "pip"}} <= ours


def test_environment_yml_asks_for_the_same_versions():
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = dict(entry.split() for entry in entries if isinstance(entry, str) and " " in entry)
    ours = {
        re.match(r"[A-Za-z0-9-]+", entry).group(): entry for entry in PYPROJECT["project"]["dependencies"]
    }
    assert conda.pop("python") == PYPROJECT["project"]["requires-python"]
    for name, version in conda.items():
        assert ours["torch" if name == "pytorch" else name].endswith(version)


def test_known_bad_lightning_versions_are_excluded():
    entry = next(e for e in PYPROJECT["project"]["dependencies"] if e.startswith("lightning"))
    assert "!=2.6.2" in entry
    assert "!=2.6.3" in entry


def test_constraints_pin_everything_exactly():
    lines = (ROOT / "constraints.txt").read_text().split()
    assert "torch==2.13.0" in lines
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line) for line in lines)


def test_nothing_pulls_torchvision():
    assert "torchvision" not in (ROOT / "constraints.txt").read_text()


def test_importing_depthmix_is_light():
    heavy = {"torch", "lightning", "open3d", "cv2", "numpy"}
    code = f"import sys, depthmix; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_every_module_has_its_place_in_the_layers():
    (contract,) = PYPROJECT["tool"]["importlinter"]["contracts"]
    placed = {name.strip() for layer in contract["layers"] for name in re.split("[:|]", layer)}
    paths = [
        *(ROOT / "depthmix").glob("*.py"),
        *(path.parent for path in ROOT.glob("depthmix/*/__init__.py")),
    ]
    modules = {f"depthmix.{path.stem}" for path in paths} - {"depthmix.__init__"}
    modules -= {"depthmix.configs", "depthmix.templates"}  # files, no code
    assert placed == modules
