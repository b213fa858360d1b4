"""Whatever a stranger hands over ends in a named error or in nothing: P15 and P16.

The attacks run one after the other in a child process, under an audit hook that sees files, programs, imports
and sockets, with a canary file outside of their folder.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tests.security.on_checkpoints
import tests.security.on_configs
import tests.security.on_raw_files
import tests.security.on_sets  # noqa: F401  (fills the table)
from tests.security.box import TABLE

KINDS = ("on_sets", "on_configs", "on_checkpoints", "on_raw_files")
NAMES = [(one.run.__module__.rpartition(".")[2], one.name) for one in TABLE]

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures through /proc")


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, dict]:
    """Run all attacks and return what came of each."""
    scratch = tmp_path_factory.mktemp("attacks")
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    modules = [f"tests.security.{kind}" for kind in KINDS]
    command = [sys.executable, "-m", "tests.security.child", str(scratch), *modules]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"name"')]
    found = {one["name"]: one for one in lines}
    for _, name in NAMES:
        if name not in found:  # the one that it was at
            found[name] = {"problems": [f"the child ended with {done.returncode}: {done.stderr[-800:]}"]}
            break
    return found


def test_there_are_at_least_forty_attacks_and_no_two_of_one_name():
    assert len(TABLE) >= 40
    assert len({one.name for one in TABLE}) == len(TABLE)


@pytest.mark.parametrize(("kind", "name"), NAMES)
def test_an_attack_ends_in_a_named_error_or_in_nothing(results, kind, name):
    assert name in results, f"{kind}: not reached, an attack before it ended the child"
    assert results[name]["problems"] == []
