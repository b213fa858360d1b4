"""`depthmix doctor` finds what is wrong with a machine, and says what to do about it."""

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from depthmix.cli import health, main
from depthmix.cli.health import machine, packages, tried


def of(findings, what):
    return [one for one in findings if one.what == what]


def test_a_sound_machine_has_no_problem_and_names_what_it_looked_at(capsys, tmp_path):
    assert main(["doctor", str(tmp_path), "--quick", "--json"]) == 0
    found = {one["what"]: one for one in json.loads(capsys.readouterr().out)}
    assert {"python", "torch", "lightning", "extra export", "cores", "disk", "workers"} <= found.keys()
    assert found["torch"]["found"] == metadata.version("torch")


def test_quick_imports_nothing_heavy():
    code = "import sys; from depthmix.cli import main; main(['doctor', '--quick']); print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    modules = said.splitlines()[-1].split()
    assert "depthmix.cli.doctor" in modules
    assert not {"torch", "lightning", "open3d", "cv2", "h5py", "numpy"} & {*modules}


@pytest.mark.parametrize(
    ("asked", "found", "hint"),
    [
        ("no-such-package>=2", "not installed", "pip install 'no-such-package>=2'"),
        ("numpy<1", f"{metadata.version('numpy')}, needs <1", "pip install 'numpy<1'"),
        (
            f"numpy>=1,!={metadata.version('numpy')}",
            f"{metadata.version('numpy')}, needs !={metadata.version('numpy')},>=1",
            "pip install",
        ),
    ],
)
def test_a_package_that_is_missing_or_of_another_version_is_a_problem(asked, found, hint):
    (one,) = packages([asked], [])
    assert (one.level, one.found) == ("problem", found)
    assert one.hint.startswith(hint)


def test_the_malicious_versions_of_lightning_are_refused():
    asked = next(text for text in metadata.requires("depthmix") if text.startswith("lightning"))
    assert {"2.6.2", "2.6.3"} & {*health.Requirement(asked).specifier.filter(["2.6.2", "2.6.3"])} == set()


def test_an_extra_that_lacks_a_package_is_a_note_with_the_command():
    asked = ["numpy", "numpy; extra == 'whole'", "no-such-package; extra == 'part' and python_version > '3'"]
    numpy, part, whole = packages(asked, ["part", "whole"])
    assert (numpy.level, whole.level, part.level) == ("ok", "ok", "note")
    assert (part.what, part.found) == ("extra part", "no-such-package not installed")
    assert part.hint == "pip install depthmix[part]"


def test_a_requirement_of_another_platform_is_passed_over():
    assert packages(["no-such-package; sys_platform == 'plan9'"], []) == []


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Give a package that does not import in place of h5py, and of torchvision."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(name: str, code: str) -> None:
        (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.setattr(health, "IMPORTED", (name,))
        monkeypatch.setattr(health, "_installed", lambda one: True)

    return make


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("h5py", "raise OSError('libhdf5.so: no such file\\nmore')", "OSError: libhdf5.so: no such file"),
        ("h5py", "import os; os._exit(9)", "the process ended with code 9"),
        ("h5py", "print('hello'); raise SystemExit(3)", "SystemExit: 3"),
        ("torchvision", "raise RuntimeError('operator torchvision::nms does not exist')", "torchvision::nms"),
    ],
)
def test_a_package_that_does_not_import_is_a_problem(broken, name, code, said):
    broken(name, code)
    (one,) = tried()
    assert (one.level, one.what) == ("problem", name)
    assert said in one.found
    assert "pip" in one.hint


def test_a_package_that_hangs_is_a_problem(broken, monkeypatch):
    broken("h5py", "import time; time.sleep(60)")
    monkeypatch.setattr(health, "TIMEOUT_S", 1)
    (one,) = tried()
    assert one.found == "does not import: nothing after 1 s"


FAKE_TORCH = """
class version: cuda = {cuda!r}
class cuda:
    is_available = staticmethod(lambda: {available})
    device_count = staticmethod(lambda: 1)
    class get_device_properties:
        def __init__(self, k): self.name, self.total_memory = "H1", 80e9
"""


@pytest.mark.parametrize(
    ("cuda", "available", "driver", "level", "said"),
    [
        ("12.8", True, True, "ok", "H1, 80 GB, CUDA 12.8"),
        (None, False, False, "note", "none"),
        (None, False, True, "warning", "torch is a build for CPUs"),
        ("13.0", False, True, "warning", "torch is built for CUDA 13.0"),
    ],
)
def test_a_gpu_is_named_and_one_that_torch_does_not_see_is_a_warning(
    broken, monkeypatch, tmp_path, cuda, available, driver, level, said
):
    broken("torch", FAKE_TORCH.format(cuda=cuda, available=available))
    monkeypatch.setattr(health, "NVIDIA", tmp_path if driver else tmp_path / "none")
    (one,) = tried()
    assert (one.what, one.level) == ("GPU", level)
    assert said in one.found


def test_scarce_disk_and_memory_are_warnings(monkeypatch, tmp_path):
    monkeypatch.setattr(health, "LEAST_DISK", 1e18)
    monkeypatch.setattr(health, "LEAST_MEMORY", 1e18)
    found = list(machine(tmp_path / "not" / "yet"))
    for what in ("disk", "memory"):
        (one,) = of(found, what)
        assert one.level == "warning"
        assert "GB free" in one.found
        assert one.hint


def test_an_old_c_library_is_said_with_what_it_means(monkeypatch):
    monkeypatch.setattr(health.platform, "libc_ver", lambda: ("glibc", "2.31"))
    (one,) = of(machine(Path()), "glibc")
    assert one.level == "note"
    assert "open3d" in one.hint


def test_a_problem_is_the_exit_code_and_the_last_line(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(metadata, "requires", lambda name: ["no-such-package>=2"])
    assert main(["doctor", str(tmp_path), "--quick"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(" X  no-such-package") for line in lines)
    assert lines[-1].startswith("1 problem")
