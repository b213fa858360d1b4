"""Prepare is killed, refused or lied to by the system at each of its file-system calls in turn."""

import errno
import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import store
from tests.crash.strace import CHANGING, READING, Call, Runner, check_left, needs_strace
from tests.store.helpers import make_raw, tree

pytestmark = needs_strace

ERRORS = ("ENOSPC", "EIO", "EMFILE", "EDQUOT", "EROFS", "EACCES")


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    return make_raw(tmp_path_factory.mktemp("raw"), 6, bad=[3])


def command(raw: Path, out: Path) -> list[str]:
    source = ["prepare", "tests.store.helpers:TinySource", str(raw), str(out)]
    return [*source, "--workers", "0", "--shard-mb", "5", "--max-bad-fraction", "0.5"]


@pytest.fixture(scope="module")
def whole(runner: Runner, raw: Path, tmp_path_factory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole")
    assert runner.run(*command(raw, out))[0] == 0
    written = tree(out / "tiny")
    assert [name for name in written if name.endswith(".h5")] == ["00000.h5", "00001.h5"]
    return written


def calls(runner: Runner, raw: Path, out: Path, names: tuple[str, ...]) -> list[Call]:
    """List the calls of a run into an empty folder."""
    adapter = Path(store.helpers.__file__)
    found = runner.calls(names, (raw, out, adapter), *command(raw, out))
    shutil.rmtree(out)
    return found


def run_again(runner: Runner, raw: Path, out: Path, whole: dict[str, bytes], text: str) -> None:
    """Run the same command undisturbed; compare, and clear up for the next."""
    code, said = runner.run(*command(raw, out))
    assert code == 0, f"{text}: {said}"
    assert tree(out / "tiny") == whole, text
    shutil.rmtree(out)


def test_killed_at_any_call_a_run_loses_nothing_and_the_next_ends_in_the_same_bytes(
    runner, raw, whole, tmp_path
):
    out = tmp_path / "out"
    places = calls(runner, raw, out, CHANGING)
    finished: set[str] = set()
    for call in places:
        code, said = runner.run(*command(raw, out), inject=f"{call.name}:signal=KILL:when={call.number}")
        assert code == -9, f"{call.text}: {said}"
        final = check_left(out / "tiny", whole, killed=True)
        if call.name == "rename":  # before it: what the renames before this one have finished is there
            assert finished <= final, call.text
        finished |= final
        run_again(runner, raw, out, whole, call.text)
    assert finished == set(whole)
    print(f"{len(places)} calls, 0 finished shards lost, {len(places)} identical trees")  # noqa: T201


def of_each_kind(places: list[Call]) -> list[Call]:
    """Return the first call of each kind; the default suite tries these alone."""
    return list({call.kind: call for call in reversed(places)}.values())


def kill_replacing_runs(
    runner: Runner, raw: Path, folder: Path, new: dict[str, bytes], choose: Callable[[list[Call]], list[Call]]
) -> None:
    """Kill runs that replace a set by one with other options: the root record never lies about the shards."""
    out, before = folder / "out", folder / "before"
    assert runner.run(*command(raw, before), "--image", "png")[0] == 0
    old = tree(before / "tiny")
    assert old.keys() == new.keys()
    replace = [*command(raw, out), "--overwrite"]
    shutil.copytree(before, out)
    places = choose(runner.calls(CHANGING, (raw, out), *replace))
    assert tree(out / "tiny") == new
    for call in places:
        shutil.rmtree(out)
        shutil.copytree(before, out)
        assert runner.run(*replace, inject=f"{call.name}:signal=KILL:when={call.number}")[0] == -9, call.text
        left = {name: data for name, data in tree(out / "tiny").items() if not name.endswith(".tmp")}
        assert all(data in (old[name], new[name]) for name, data in left.items()), call.text
        assert left in (old, new) or "index.json" not in left, call.text
        code, said = runner.run(*replace)
        assert code == 0, said
        assert tree(out / "tiny") == new, call.text
    print(f"{len(places)} calls while a set is replaced: old, new or unclaimed; all identical after")  # noqa: T201


def test_killed_while_it_replaces_a_set_a_run_never_leaves_a_mixture(runner, raw, whole, tmp_path):
    def removals(places: list[Call]) -> list[Call]:
        return [call for call in of_each_kind(places) if call.name in ("unlink", "rename")]

    kill_replacing_runs(runner, raw, tmp_path, whole, removals)


@pytest.mark.slow
def test_killed_at_any_call_while_it_replaces_a_set_a_run_never_leaves_a_mixture(
    runner, raw, whole, tmp_path
):
    kill_replacing_runs(runner, raw, tmp_path, whole, list)


def test_every_file_is_on_the_disk_before_it_has_its_name(runner, raw, tmp_path):
    """A power cut cannot be played here; its order of calls can be read."""
    out = tmp_path / "out"
    places = [call for call in calls(runner, raw, out, CHANGING) if ".writer-on-" not in call.text]
    renames = [number for number, call in enumerate(places) if call.name == "rename"]
    assert len(renames) == 6
    for number in renames:
        temporary = places[number].text.split('"')[1]
        around = [call.text for call in places]
        assert any(text.startswith("fsync(") and temporary in text for text in around[:number])
        assert any(text.startswith("fsync(") and f"<{out / 'tiny'}>" in text for text in around[number:])


def check_refusal(
    runner: Runner, raw: Path, out: Path, whole: dict[str, bytes], call: Call, name: str
) -> bool:
    """Let one call fail; return whether the run ended in an error."""
    code, said = runner.run(*command(raw, out), inject=f"{call.name}:error={name}:when={call.number}")
    what = f"{name} in {call.text}: exit code {code}\n{said}"
    assert code in (0, 1), what
    assert "Traceback" not in said, what
    left = check_left(out / "tiny", whole, killed=False)
    if code == 0:
        assert left == set(whole), what
        shutil.rmtree(out)
        return False
    errors = [line for line in said.splitlines() if line.startswith("depthmix: ")]
    assert len(errors) == 1, what
    reason = os.strerror(getattr(errno, name))
    assert reason in errors[0], what
    assert f"{reason}; " in errors[0], what  # and what to do next
    places = (str(raw), str(out), str(Path(__file__).parents[2]))
    assert errors[0].removeprefix("depthmix: ").startswith(places), what
    run_again(runner, raw, out, whole, what)
    return True


def refuse_calls(
    runner: Runner, raw: Path, out: Path, whole: dict[str, bytes], cases: list[tuple[Call, str]]
) -> None:
    stopped = sum(check_refusal(runner, raw, out, whole, call, name) for call, name in cases)
    print(f"{len(cases)} errors injected: {stopped} named, {len(cases) - stopped} harmless")  # noqa: T201


def test_a_call_that_the_system_refuses_is_one_named_error(runner, raw, whole, tmp_path):
    places = of_each_kind(calls(runner, raw, tmp_path / "out", CHANGING + READING))
    cases = list(zip(places, itertools.cycle(ERRORS)))
    refuse_calls(runner, raw, tmp_path / "out", whole, cases)


@pytest.mark.slow
def test_each_call_that_the_system_refuses_is_one_named_error(runner, raw, whole, tmp_path):
    places = calls(runner, raw, tmp_path / "out", CHANGING + READING)
    refuse_calls(runner, raw, tmp_path / "out", whole, [(call, name) for call in places for name in ERRORS])


def test_a_write_that_stores_less_than_it_says_is_found_before_the_file_has_its_name(
    runner, raw, whole, tmp_path
):
    out = tmp_path / "out"
    places = [call for call in calls(runner, raw, out, ("write",)) if ".tmp>" in call.text]
    assert len(places) == 6
    for call in places:
        size = int(call.text.rsplit(" = ", 1)[1])
        for claimed in (size, size // 2):  # nothing is stored, and said to be all, or half
            code, said = runner.run(*command(raw, out), inject=f"write:retval={claimed}:when={call.number}")
            assert code == 1, said
            assert "the file system gave back other bytes than were written; " in said
            check_left(out / "tiny", whole, killed=False)
            run_again(runner, raw, out, whole, call.text)
    print(f"{2 * len(places)} lying writes, all found")  # noqa: T201


def test_a_write_that_takes_only_a_part_is_continued(runner, raw, whole, tmp_path):
    out = tmp_path / "out"
    code, said = runner.run(*command(raw, out), limit=4096)
    assert code == 1
    assert "File too large; " in said
    check_left(out / "tiny", whole, killed=False)
    run_again(runner, raw, out, whole, "a limit on the size of files")
