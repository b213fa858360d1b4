import json

import pytest

from depthmix.store import strict_json
from depthmix.store.strict_json import parse


def test_plain_json_comes_back_as_it_is():
    value = {"a": [1, -2.5e3, None, True, "x,[{:"], "b": {}}
    assert parse(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[NaN]", "NaN is no number"),
        (b"[-Infinity]", "-Infinity is no number"),
        (b"[1e999]", "1e999 is no number"),
        (b'{"a": 1, "b": 2, "a": 1}', "'a' is given twice"),
        (b"[" * 100_000, "nested too deep"),
        (b"9" * 5000, "Exceeds the limit"),
        (b"[1", "Expecting"),
    ],
)
def test_what_has_no_single_meaning_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse(text)


def test_many_small_values_are_refused_before_they_are_made(monkeypatch):
    monkeypatch.setattr(strict_json, "MAX_MEMORY", 1 << 20)
    assert parse(b"[" + b"0," * 10_000 + b"0]")
    with pytest.raises(ValueError, match="may need 1 MiB of memory, more than 1"):
        parse(b"[" + b"[]," * 10_000 + b"0]")
