"""Runs are kept under what they depend on, done once, done again when killed, and fail one by one."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from depthmix.bench import digest, one, queue
from depthmix.bench.corpus import Corpus
from depthmix.bench.digest import code_digest, measured_name, run_name
from depthmix.bench.one import Run
from depthmix.bench.recipes import Recipe, find_recipe
from tests.bench.conftest import TINY


@pytest.fixture
def runs(corpus: Corpus, tmp_path: Path) -> list[Run]:
    recipes = [find_recipe(name, corpus) for name in ("ramp", "midas", "constant")]
    return queue.plan_runs(recipes, [0, 1], TINY, corpus, tmp_path, "val")


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Do runs in this process; the list holds what was done. A recipe called broken has no terms."""
    done: list[str] = []

    def run(command: list[str], **options: Any) -> SimpleNamespace:
        wanted = Run.loaded(options["input"])
        done.append(f"{wanted.recipe}-{wanted.seed}")
        return _in_process(wanted)

    monkeypatch.setattr(subprocess, "run", run)
    return done


def _in_process(wanted: Run) -> SimpleNamespace:
    from depthmix.errors import DepthmixError

    try:
        one.run(wanted)
    except DepthmixError as error:
        return SimpleNamespace(returncode=1, stderr=f"warning: noise\n{error}\n")
    return SimpleNamespace(returncode=0, stderr="")


def test_a_baseline_runs_once_and_a_training_once_a_seed(runs: list[Run]):
    assert [(run.recipe, run.seed) for run in runs] == [
        ("ramp", 0), ("midas", 0), ("constant", 0), ("midas", 1)
    ]  # fmt: skip


def test_finished_runs_are_kept_and_killed_ones_done_again(runs: list[Run], spawned: list[str]):
    said: list[str] = []
    assert queue.do_runs(runs, 1, said.append) == []
    assert spawned == ["ramp-0", "midas-0", "constant-0", "midas-1"]
    assert said[0] == "4 runs, 4 to do"
    assert queue.do_runs(runs, 1, said.append) == []
    assert len(spawned) == 4
    (runs[1].folder / "run.json").unlink()  # as a kill before the last write leaves it
    assert queue.do_runs(runs, 1, said.append) == []
    assert spawned[4:] == ["midas-0"]


def test_new_metrics_measure_again_without_training_again(runs: list[Run], spawned: list[str]):
    assert queue.do_runs(runs[:2], 1, lambda _: None) == []
    before = [(run.folder / "run.json").stat().st_mtime_ns for run in runs[:2]]
    later = [replace(run, measured="val-otherwise.json") for run in runs[:2]]
    assert queue.do_runs(later, 1, lambda _: None) == []
    assert [(run.folder / "run.json").stat().st_mtime_ns for run in runs[:2]] == before
    first, second = (json.loads((run.folder / run.measured).read_text()) for run in (runs[1], later[1]))
    assert first == second


def test_an_error_names_its_run_and_the_others_go_on(runs: list[Run], spawned: list[str]):
    broken = {**runs[1].values, "model": {**runs[1].values["model"], "balance": "fair"}}
    runs[1] = replace(runs[1], recipe="broken", values=broken, folder=runs[1].folder.with_name("broken"))
    problems = queue.do_runs(runs, 1, lambda _: None)
    assert len(problems) == 1
    assert problems[0].startswith("broken seed 0: model.balance: must be one of")
    assert [run.finished for run in runs] == [True, False, True, True]


def test_a_killed_process_is_said_to_be_one(runs: list[Run], monkeypatch: pytest.MonkeyPatch):
    killed = SimpleNamespace(returncode=-9, stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: killed)
    problems = queue.do_runs(runs[:1], 1, lambda _: None)
    assert problems == ["ramp seed 0: killed by signal 9; the next call does it again"]


def test_an_interrupt_starts_no_further_run(runs: list[Run], monkeypatch: pytest.MonkeyPatch):
    started = []

    def interrupted(*_: Any, **options: Any) -> None:
        started.append(options["input"])
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        queue.do_runs(runs * 10, 1, lambda _: None)
    assert len(started) < len(runs * 10)


def test_the_same_run_twice_gives_the_same_weights_and_measures(corpus: Corpus, tmp_path: Path):
    recipe = find_recipe("quality_aware", corpus)
    texts = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        [run] = queue.plan_runs([recipe], [3], TINY, corpus, folder, "test")
        one.run(run)
        texts.append((run.folder / run.measured).read_text())
        curve = json.loads((run.folder / "run.json").read_text())["curve"]
        assert [point["step"] for point in curve] == [1, 2]
    assert texts[0] == texts[1]


def test_looking_during_a_training_does_not_change_it(corpus: Corpus, tmp_path: Path):
    recipe, texts = find_recipe("midas", corpus), []
    for looks in (1, 2):
        [run] = queue.plan_runs([recipe], [0], replace(TINY, looks=looks), corpus, tmp_path, "test")
        one.run(run)
        texts.append((run.folder / run.measured).read_text())
    assert texts[0] == texts[1]


def test_a_run_survives_its_way_through_json(runs: list[Run]):
    assert [Run.loaded(run.dumped()) for run in runs] == runs


def test_the_name_of_a_run_depends_on_all_that_it_depends_on(corpus: Corpus, monkeypatch: pytest.MonkeyPatch):
    recipe = find_recipe("midas", corpus)
    heavier = {**recipe.values, "model": {**recipe.values["model"], "learning_rate": 0.002}}
    names = [
        run_name(recipe, TINY, 0, corpus),
        run_name(recipe, TINY, 1, corpus),
        run_name(Recipe("midas", heavier), TINY, 0, corpus),
        run_name(find_recipe("midas_pareto", corpus), TINY, 0, corpus),
    ]
    changes = ({"steps": 3}, {"batch": 9}, {"net": "lite_scratch"}, {"size": "96x128"}, {"looks": 1})
    names += [run_name(recipe, replace(TINY, **change), 0, corpus) for change in changes]
    monkeypatch.setattr(digest, "code_digest", lambda patterns: "another")
    names.append(run_name(recipe, TINY, 0, corpus))
    assert len(set(names)) == len(names)
    assert measured_name("test", corpus) != measured_name("val", corpus)


def test_comments_and_docstrings_make_no_other_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(digest, "PACKAGE", tmp_path)
    digests = []
    for text in ('"""A."""\nx = 1  # one\n', '"""B."""\nx  =  1\n', "x = 2\n"):
        (tmp_path / "a.py").write_text(text)
        code_digest.cache_clear()
        digests.append(code_digest(("*.py",)))
    code_digest.cache_clear()
    assert digests[0] == digests[1] != digests[2]
