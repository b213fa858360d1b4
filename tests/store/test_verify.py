import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from depthmix.cli.main import main
from depthmix.errors import ConfigError
from depthmix.store import local, verify
from depthmix.store.folder import own_folder
from depthmix.store.local import LocalFolder
from depthmix.store.reader import ShardSet
from depthmix.store.verify import verify_set
from depthmix.store.vouched import Vouched
from tests.store.helpers import COUNT


def problems(root, **options):
    return [str(problem) for problem in verify_set(root, **options).problems]


def flip(path, position, bit=0):
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)


# What is done to a set, and what is said about it.
DAMAGE = [
    (lambda root: os.truncate(root / "00001.h5", 900), "00001.h5: size: expected {size} bytes, got 900"),
    (
        lambda root: (root / "00001.h5").write_bytes(b"a" * 99999),
        "size: expected {size} bytes, got 99999",
    ),
    (lambda root: (root / "00001.h5").unlink(), "00001.h5: No such file or directory"),
    (lambda root: (root / "00001.json").unlink(), "00001.json: No such file or directory"),
    (lambda root: (root / "index.json").unlink(), "index.json: prepare has not finished here"),
    (lambda root: (root / "quarantine.jsonl").unlink(), "quarantine.jsonl: No such file or directory"),
    (lambda root: flip(root / "quarantine.jsonl", 9), "quarantine.jsonl: skipped: differs from the list"),
    (lambda root: flip(root / "index.json", 300), "index.json: proof: the record does not match"),
    (lambda root: shutil.copy(root / "00000.h5", root / "00007.h5"), "00007.h5: belongs to no record"),
    (lambda root: (root / "notes.json").write_text("{}"), "notes.json: belongs to no record; remove it"),
    (lambda root: (root / ".00001.h5.12-ab.tmp").write_text(""), ".tmp: belongs to no record"),
]


@pytest.mark.parametrize("workers", [1, 3])
def test_nothing_is_found_in_a_sound_set(root, workers):
    told = []
    found = verify_set(root, workers=workers, progress=lambda done, total: told.append((done, total)))
    assert (found.problems, found.samples, found.vouched) == ([], COUNT - 1, 0)
    assert found.shards == len(told)
    assert told[-1] == (found.bytes, found.bytes)


def test_a_flipped_bit_names_file_sample_and_field(root):
    index = ShardSet(root)._shard(1).index
    flip(root / "00001.h5", int(index.offsets[0, 1]) + 30, 2)
    flip(root / "00001.h5", int(index.offsets[1, 0]) + 3, 2)
    first, second = verify_set(root).problems
    assert (first.file, first.sample, first.field) == (root / "00001.h5", index.keys[0], "target")
    assert (second.sample, second.field) == (index.keys[1], "image")
    assert "run prepare again" in str(first)


def test_damage_outside_of_the_samples_is_said_to_be_there(root):
    flip(root / "00001.h5", -1)
    (text,) = problems(root)
    assert "00001.h5: sha256: differs from its record, outside of all samples" in text


def test_a_damaged_record_does_not_hide_a_damaged_shard(root):
    flip(root / "00001.json", -30)
    flip(root / "00001.h5", -1)
    first, second = problems(root)
    assert "00001.json: proof" in first
    assert "00001.h5: sha256: differs from its record;" in second


def test_of_many_damaged_samples_the_first_are_named_and_the_others_counted(root, monkeypatch):
    monkeypatch.setattr(verify, "_MOST_NAMED", 1)
    path, index = root / "00000.h5", ShardSet(root)._shard(0).index
    for start in index.offsets[:, 0].tolist():
        flip(path, start + 40)
    first, rest = problems(root)
    assert f"00000.h5: {index.keys[0]}: image: differs" in first
    assert f"{len(index) - 1} more samples differ" in rest


@pytest.mark.parametrize(("change", "said"), DAMAGE)
def test_every_kind_of_damage_is_named_with_its_file(root, change, said):
    said = said.format(size=(root / "00001.h5").stat().st_size)
    change(root)
    found = problems(root)
    assert len(found) == 1
    assert said in found[0]


def test_two_shards_in_each_others_place_are_told_from_damage(root):
    first, second = (root / f"0000{number}.h5" for number in (0, 1))
    kept = first.read_bytes()
    shutil.copy(second, first)
    second.write_bytes(kept)
    found = problems(root)
    sizes = [path.stat().st_size for path in (first, second)]
    if sizes[0] != sizes[1]:
        assert all("size: expected" in text for text in found)
    else:
        assert "00000.h5: sha256: holds the bytes of 00001.h5" in found[0]
    assert len(found) == 2


def test_a_shard_of_equal_size_in_anothers_place_is_recognised(root):
    owners = {"a" * 64: "00000.h5"}
    (error,) = verify._differing(LocalFolder(root), "00001.h5", "a" * 64, None, owners)
    assert "holds the bytes of 00000.h5" in str(error)


def test_a_shard_that_changes_while_it_is_hashed_is_said_to(root, monkeypatch):
    original = local.hashlib.file_digest

    def slow(file, kind):
        os.utime(file.fileno(), ns=(1, 1))
        return original(file, kind)

    monkeypatch.setattr(local.hashlib, "file_digest", slow)
    found = problems(root)
    assert len(found) == len(list(root.glob("*.h5")))
    assert all("was changed while it was read" in text for text in found)


def test_a_link_in_a_set_is_refused_wherever_it_leads(root, tmp_path):
    shutil.move(root / "00001.h5", tmp_path / "elsewhere.h5")
    (root / "00001.h5").symlink_to(tmp_path / "elsewhere.h5")
    (text,) = problems(root)
    assert "00001.h5: is a link, and sets hold plain files only; put a copy in its place" in text


def test_a_verification_goes_on_where_it_was(root, tmp_path):
    with Vouched(tmp_path / "done") as vouched:
        assert verify_set(root, vouched=vouched).vouched == 0
    with Vouched(tmp_path / "done") as vouched:
        found = verify_set(root, vouched=vouched)
        assert (found.vouched, found.problems) == (found.shards, [])
        vouched.finish()
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize("change", ["bytes", "times", "longer", "record", "root", "replaced", "link"])
def test_what_has_changed_since_is_never_vouched_for(root, tmp_path, change):
    path = root / "00001.h5"
    with Vouched(tmp_path / "done") as vouched:
        verify_set(root, vouched=vouched)
    before = path.stat()
    if change == "bytes":
        flip(path, 900)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # as a copy with --times does
    elif change == "times":
        path.touch()
    elif change == "longer":
        path.write_bytes(path.read_bytes() + b"\0")
    elif change == "record":
        flip(root / "00001.json", -9)
    elif change == "root":
        flip(root / "index.json", -9)
    elif change == "replaced":
        shutil.copy2(path, tmp_path / "copy")
        (tmp_path / "copy").replace(path)
    else:
        shutil.move(path, tmp_path / "moved")
        path.symlink_to(tmp_path / "moved")
    with Vouched(tmp_path / "done") as vouched:
        found = verify_set(root, vouched=vouched)
    assert found.vouched == (0 if change == "root" else found.shards - 1)
    assert bool(found.problems) == (change not in ("times", "replaced"))


def test_a_shard_with_a_problem_is_not_remembered(root, tmp_path):
    flip(root / "00001.h5", 900)
    for _ in range(2):
        with Vouched(tmp_path / "done") as vouched:
            assert len(verify_set(root, vouched=vouched).problems) == 1


def test_a_torn_last_line_only_costs_its_own_shard(root, tmp_path):
    with Vouched(tmp_path / "done") as vouched:
        shards = verify_set(root, vouched=vouched).shards
    os.truncate(tmp_path / "done", (tmp_path / "done").stat().st_size - 9)
    for known in (shards - 1, shards):
        with Vouched(tmp_path / "done") as vouched:
            assert verify_set(root, vouched=vouched).vouched == known


def test_a_file_of_something_else_is_never_taken_for_progress(tmp_path):
    (tmp_path / "notes").write_text("milk, bread\n")
    with pytest.raises(ConfigError, match="notes: --resume: is no progress of a verification"):
        Vouched(tmp_path / "notes")
    assert (tmp_path / "notes").read_text() == "milk, bread\n"


def test_the_command_takes_many_sets_and_tells_json(root, tmp_path, capsys):
    shutil.copytree(root, tmp_path / "more" / "a")
    shutil.copytree(root, tmp_path / "more" / "b")
    flip(tmp_path / "more" / "b" / "00000.h5", 900)
    (tmp_path / "more" / "a" / "index.json").unlink()
    (tmp_path / "empty").mkdir()
    paths = [str(path) for path in (root, tmp_path / "more", tmp_path / "empty")]
    assert main(["verify", *paths, "--json", "--workers", "1"]) == 1
    told = json.loads(capsys.readouterr().out)
    found = {os.path.relpath(one["folder"], tmp_path): one["problems"] for one in told["sets"]}
    assert {name: len(listed) for name, listed in found.items()} == {
        "tiny": 0,
        "more/a": 1,
        "more/b": 1,
        "empty": 1,
    }
    assert told["problems"] == 3
    assert found["more/b"][0]["file"].endswith("more/b/00000.h5")
    assert found["more/b"][0]["hint"].startswith("remove this file and run prepare again")
    assert "no prepared set here" in found["empty"][0]["reason"]


def test_a_set_without_any_record_is_not_passed_over(root, capsys):
    for record in root.glob("*.json"):
        record.unlink()
    assert main(["verify", str(root.parent)]) == 1
    assert "tiny/index.json: prepare has not finished here" in capsys.readouterr().err


def test_the_command_refuses_a_progress_file_inside_a_set(root, capsys):
    assert main(["verify", str(root), "--resume", str(root / "done")]) == 2
    assert "lies inside a prepared set" in capsys.readouterr().err
    assert not (root / "done").exists()


def test_the_command_refuses_to_work_without_workers(root, capsys):
    assert main(["verify", str(root), "--workers", "0"]) == 2
    assert "--workers: must be at least 1" in capsys.readouterr().err


def test_the_command_goes_on_after_a_kill_and_then_forgets(root, tmp_path, capsys):
    progress = tmp_path / "done"
    program = (
        "import sys, time; from depthmix.store.local import LocalFolder; original = LocalFolder.hashed\n"
        "def slow(*args):\n    time.sleep(0.3); return original(*args)\n"
        "LocalFolder.hashed = slow\n"
        "from depthmix.cli.main import main; main(sys.argv[1:])"
    )
    command = [
        sys.executable,
        "-c",
        program,
        "verify",
        str(root),
        "--workers",
        "1",
        "--resume",
        str(progress),
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (progress.exists() and progress.read_bytes().count(b"\n") > 1):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert main(["verify", str(root), "--resume", str(progress)]) == 0
    assert "of them verified before, 0 problems" in capsys.readouterr().out
    assert not progress.exists()


def test_a_mark_of_a_writer_is_no_stray_and_other_temporary_files_are(root):
    with own_folder(root):
        assert problems(root) == []
        (root / ".00000.h5.12-ab.tmp").touch()
        (found,) = problems(root)
    assert ".00000.h5.12-ab.tmp: belongs to no record" in found
