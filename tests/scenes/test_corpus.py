"""The corpus on disk: the same bytes for any number of workers, cached, resumed, and never mixed."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from depthmix.errors import ConfigError, StorageError
from depthmix.scenes import PRESETS, make_demo_data
from depthmix.scenes.corpus import RECORD, corpus_hash
from depthmix.scenes.plan import NARROW

pytest.importorskip("open3d")
TINY = PRESETS["tiny"]
LESS = replace(TINY, name="less", train=1, val=0, evaluation=0)


def _record(root: Path) -> dict[str, object]:
    return json.loads((root / RECORD).read_text())  # type: ignore[no-any-return]


def test_two_workers_write_the_same_bytes_as_one(tiny_corpus: Path, tmp_path: Path):
    make_demo_data(tmp_path, preset=TINY, seed=0, workers=2)
    assert _record(tmp_path) == _record(tiny_corpus)
    names = sorted(
        str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*") if f.is_file() and f.name != RECORD
    )
    assert corpus_hash(tmp_path, names) == corpus_hash(tiny_corpus, names) == _record(tiny_corpus)["sha256"]


def test_a_finished_corpus_is_left_alone(tiny_corpus: Path):
    before = {file: file.stat().st_mtime_ns for file in tiny_corpus.rglob("*")}
    calls: list[tuple[int, int]] = []
    make_demo_data(tiny_corpus, preset=TINY, seed=0, workers=1, progress=lambda *now: calls.append(now))
    assert {file: file.stat().st_mtime_ns for file in tiny_corpus.rglob("*")} == before
    assert calls == []


def test_another_seed_or_preset_in_the_same_folder_is_refused_by_name(tiny_corpus: Path):
    with pytest.raises(
        ConfigError, match=r"holds preset tiny, seed 0, version \d+, wanted preset tiny, seed 1"
    ):
        make_demo_data(tiny_corpus, preset=TINY, seed=1, workers=1)
    with pytest.raises(ConfigError, match=r"holds preset tiny, .* wanted preset demo, seed 0"):
        make_demo_data(tiny_corpus, preset=PRESETS["demo"], seed=0, workers=1)
    with pytest.raises(ConfigError, match="take another folder"):
        make_demo_data(tiny_corpus, preset=replace(TINY, shares=NARROW), seed=0, workers=1)


def test_progress_counts_up_to_all_images(tmp_path: Path):
    calls: list[tuple[int, int]] = []
    make_demo_data(tmp_path, preset=LESS, seed=0, workers=1, progress=lambda *now: calls.append(now))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_an_interrupted_corpus_is_continued_and_ends_the_same(tmp_path: Path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    make_demo_data(whole, preset=LESS, seed=0, workers=1)

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_demo_data(cut, preset=LESS, seed=0, workers=1, progress=stop)
    assert not (cut / RECORD).exists()
    with pytest.raises(ConfigError, match="seed 0"):
        make_demo_data(cut, preset=LESS, seed=5, workers=1)
    first = next(cut.rglob("*.jpg"))
    kept = first.stat().st_mtime_ns
    calls: list[tuple[int, int]] = []
    make_demo_data(cut, preset=LESS, seed=0, workers=1, progress=lambda *now: calls.append(now))
    assert calls == [(3, 4), (4, 4)]
    assert first.stat().st_mtime_ns == kept
    assert _record(cut) == _record(whole)
    assert {f.relative_to(cut) for f in cut.rglob("*")} == {f.relative_to(whole) for f in whole.rglob("*")}


def test_a_folder_with_other_files_is_not_touched(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds files, but no demo corpus; give a new or empty folder"):
        make_demo_data(tmp_path, preset=LESS, seed=0, workers=1)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("content", ["", "[1]", "{"])
def test_a_damaged_record_is_named(tiny_corpus: Path, tmp_path: Path, content: str):
    root = tmp_path / "copy"
    shutil.copytree(tiny_corpus, root)
    (root / RECORD).write_text(content)
    with pytest.raises(ConfigError, match=r"corpus.json: is damaged; delete the folder"):
        make_demo_data(root, preset=TINY, seed=0, workers=1)


def test_a_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="next call continues"):
        make_demo_data(tmp_path / "file" / "below", preset=LESS, seed=0, workers=1)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="lists children through /proc")
def test_rendering_processes_end_when_their_parent_is_killed(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from depthmix.scenes import PRESETS, make_demo_data\n"
        "if __name__ == '__main__':\n"
        "    make_demo_data(Path(sys.argv[1]), preset=PRESETS['demo'], seed=0, workers=2)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "raw")])
    children: list[Path] = []
    deadline = time.monotonic() + 30
    while len(children) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
        listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        children = [Path(f"/proc/{pid}") for pid in listed if _is_worker(Path(f"/proc/{pid}"))]
    process.kill()
    process.wait()
    assert len(children) == 2
    while any(map(_is_worker, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [child for child in children if _is_worker(child)]


def _is_worker(process: Path) -> bool:
    try:
        return "spawn_main" in (process / "cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
