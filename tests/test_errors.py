import pickle
from pathlib import Path

import pytest

from depthmix.errors import BadSample, BadSource, ConfigError, CorruptShard, DepthmixError, StorageError


def test_the_message_is_one_line_in_the_order_file_sample_field_reason_next_step():
    error = BadSource(
        "has 3 bytes", file=Path("a/b.png"), sample="web/b", field="target", hint="fetch it again"
    )
    assert str(error) == "a/b.png: web/b: target: has 3 bytes; fetch it again"
    assert str(BadSample("is empty")) == "is empty"


@pytest.mark.parametrize("kind", [BadSample, BadSource, ConfigError, CorruptShard, StorageError])
def test_errors_of_worker_processes_arrive_whole(kind):
    error = pickle.loads(pickle.dumps(kind("r", file=Path("f"), sample="s/k", field="x", hint="h")))
    assert type(error) is kind
    assert (error.reason, error.file, error.sample, error.field, error.hint) == (
        "r",
        Path("f"),
        "s/k",
        "x",
        "h",
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb.png: all is well", r"a\nb.png: all is well"),
        ("\x1b[2Ja.png", r"\x1b[2Ja.png"),
        ("m\udcfcnchen", r"m\udcfcnchen"),
        ("über 森.png", "über 森.png"),
    ],
)
def test_names_can_neither_break_the_line_nor_speak_to_the_terminal(name, shown):
    error = DepthmixError(f"got {name.partition('.')[0]!s}", file=name, sample=f"web/{name}")
    assert str(error).startswith(f"{shown}: web/{shown}: got ")
    assert "\x1b" not in str(error)
    str(error).encode()
    assert error.file == name


def test_a_list_of_problems_keeps_its_lines():
    assert str(ConfigError("a is wrong\nb is wrong")) == "a is wrong\nb is wrong"


def test_behind_a_table_the_next_step_is_a_line_of_its_own():
    error = DepthmixError("too many:\n  3  cut off\n", sample="web", hint="fetch them again")
    assert str(error) == "web: too many:\n  3  cut off\nfetch them again"
