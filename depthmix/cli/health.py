"""Look at what depthmix runs on, without importing anything heavy into this process."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final, Literal

from packaging.requirements import Requirement

__all__ = ["Finding", "findings", "machine", "packages", "tried"]

Level = Literal["ok", "note", "warning", "problem"]

IMPORTED: Final = ("torch", "torchvision", "lightning", "kornia", "cv2", "h5py", "open3d")
DISTRIBUTIONS: Final = {"cv2": "opencv-python-headless"}
TIMEOUT_S: Final = 120
LEAST_DISK: Final = 10e9  # a small prepared set and a run
LEAST_MEMORY: Final = 4e9
OPEN3D_GLIBC: Final = (2, 35)  # what the wheels of open3d 0.20 are built for
NVIDIA: Final = Path("/proc/driver/nvidia/version")
DEVELOPERS: Final = ("dev",)  # extras that no user misses
# Prints what is wrong with one package, or what torch sees.
PROBE: Final = """
import importlib, json, sys
found = {}
try:
    module = importlib.import_module(sys.argv[1])
    if sys.argv[1] == "torch":
        gpus = range(module.cuda.device_count()) if module.cuda.is_available() else ()
        names = [module.cuda.get_device_properties(k) for k in gpus]
        found = {"cuda": module.version.cuda, "gpus": [[one.name, one.total_memory] for one in names]}
except BaseException as error:
    found = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """Say one thing about this machine.

    Args:
        level: "problem": depthmix or a part of it cannot work; "warning": it will be slow or run out of
            something; "note": something is not there that few need.
        what: the subject, such as a package.
        found: what there is.
        hint: the next step.
    """

    level: Level
    what: str
    found: str
    hint: str = ""


def findings(folder: Path, *, tries: bool = True) -> list[Finding]:
    """Look at everything.

    Args:
        folder: where data and runs are to lie.
        tries: whether packages are imported, in processes of their own, which takes seconds.
    """
    found = [Finding("ok", "python", f"{platform.python_version()}, {sys.platform} {platform.machine()}")]
    extras = metadata.metadata("depthmix").get_all("Provides-Extra") or []
    found += packages(metadata.requires("depthmix") or [], sorted({*extras} - {*DEVELOPERS}))
    found += tried() if tries else []
    return [*found, *machine(folder)]


def packages(requirements: Sequence[str], extras: Sequence[str]) -> list[Finding]:
    """Compare what is installed with what is asked for, each extra in one line.

    Args:
        requirements: as the metadata of a package states them.
        extras: names of those to look at.
    """
    asked = [Requirement(text) for text in requirements]
    core = [one for one in asked if one.marker is None or one.marker.evaluate({"extra": ""})]
    found = [_package(one) for one in core]
    for extra in extras:
        own = [one for one in asked if one.marker and one.marker.evaluate({"extra": extra})]
        lacking = [one for one in map(_package, own) if one.level != "ok"]
        names = ", ".join(f"{one.what} {one.found}" for one in lacking)
        hint = f"pip install depthmix[{extra}]"
        whole = Finding("ok", f"extra {extra}", "installed")
        found.append(Finding("note", f"extra {extra}", names, hint) if lacking else whole)
    return found


def _package(asked: Requirement) -> Finding:
    install = f"pip install '{asked.name}{asked.specifier}'"
    try:
        version = metadata.version(asked.name)
    except metadata.PackageNotFoundError:
        return Finding("problem", asked.name, "not installed", install)
    if asked.specifier.contains(version, prereleases=True):
        return Finding("ok", asked.name, version)
    wanted = ",".join(sorted(map(str, asked.specifier)))
    return Finding("problem", asked.name, f"{version}, needs {wanted}", install)


def tried() -> list[Finding]:
    """Import packages, each in a process of its own: one that is installed may not start."""
    seen = {name: _probe(name) for name in IMPORTED if _installed(name)}
    found = [
        Finding("problem", name, f"does not import: {about['error']}", _remedy(name))
        for name, about in seen.items()
        if "error" in about
    ]
    return [*found, *_gpus(seen.get("torch", {}))]


def _installed(name: str) -> bool:
    names = metadata.packages_distributions() if name == "open3d" else {}
    if name in names:
        return True
    try:
        return bool(metadata.version(DISTRIBUTIONS.get(name, name)))
    except metadata.PackageNotFoundError:
        return False


def _probe(name: str) -> dict[str, Any]:
    command = [sys.executable, "-c", PROBE, name]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        about: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        return {"error": f"nothing after {TIMEOUT_S} s"}
    except (IndexError, ValueError):  # a library that ends the process
        return {"error": f"the process ended with code {ended.returncode}"}
    return about


def _remedy(name: str) -> str:
    if name == "torchvision":
        return "depthmix does not need it, but lightning stops at it: pip uninstall torchvision"
    if name == "open3d":
        version = ".".join(map(str, OPEN3D_GLIBC))
        return f"its wheels need glibc {version}, libGL and libX11; only 3-D views and the demo need open3d"
    return f"pip install --force-reinstall {DISTRIBUTIONS.get(name, name)}"


def _gpus(torch: Mapping[str, Any]) -> Iterator[Finding]:
    if "error" in torch or not torch:
        return
    for name, memory in torch["gpus"]:
        yield Finding("ok", "GPU", f"{name}, {memory / 1e9:.0f} GB, CUDA {torch['cuda']}")
    if torch["gpus"]:
        return
    if NVIDIA.exists():
        build = f"torch is built for CUDA {torch['cuda']}" if torch["cuda"] else "torch is a build for CPUs"
        hint = "install the build of torch that fits the driver: nvidia-smi shows its CUDA"
        yield Finding("warning", "GPU", f"there is one, but torch does not see it: {build}", hint)
    else:
        yield Finding("note", "GPU", "none; small networks train on the CPU", "")


def machine(folder: Path) -> Iterator[Finding]:
    """Look at cores, memory, disk, the C library and how processes are started."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Finding("ok", "cores", f"{cores}; workers of data.workers and prepare --workers share them")
    memory = _memory()
    if memory is not None:
        text = f"{memory / 1e9:.1f} GB free"
        hint = "use smaller batches and fewer workers"
        yield (
            Finding("ok", "memory", text)
            if memory >= LEAST_MEMORY
            else Finding("warning", "memory", text, hint)
        )
    yield _disk(folder)
    libc, version = platform.libc_ver()
    if libc == "glibc":
        found = tuple(map(int, version.split(".")[:2]))
        old = found < OPEN3D_GLIBC
        hint = "open3d 0.20 does not start here; the rest works" if old else ""
        yield Finding("note" if old else "ok", "glibc", version, hint)
    yield _start_method()


def _disk(folder: Path) -> Finding:
    place = next(part for part in (folder.absolute(), *folder.absolute().parents) if part.exists())
    free = shutil.disk_usage(place).free
    text = f"{free / 1e9:.1f} GB free for {folder}"
    if free >= LEAST_DISK:
        return Finding("ok", "disk", text)
    return Finding("warning", "disk", text, "free some space; depthmix doctor FOLDER looks at another disk")


def _memory() -> float | None:
    """Return the bytes that processes here may still take, also inside a container; None if not known."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no limit is the word "max"
        return free
    return min(free, limit)


def _start_method() -> Finding:
    import multiprocessing

    method = multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
    if method == "fork":
        return Finding("ok", "workers", "started by fork, batches come through shared memory")
    hint = "see docs/data.md, Hand-over"
    return Finding("warning", "workers", f"started by {method}: batches are copied, which costs more", hint)
