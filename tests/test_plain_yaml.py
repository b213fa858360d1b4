import pytest
import yaml

from depthmix import plain_yaml
from depthmix.plain_yaml import parse_yaml, read_yaml_text


def test_plain_yaml_comes_back_as_pyyaml_reads_it():
    text = "a: &x {b: [1, 2.5, yes, null]}\nc: *x\nd: {<<: *x, e: f}\n"
    node, values = parse_yaml(text)
    assert values == yaml.safe_load(text)
    assert node.value[1][0].value == "c"
    assert parse_yaml("") == (None, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: &a [*a]", "an alias that holds itself"),
        ("a: " + "[" * 51 + "]" * 51, "nested deeper than 50"),
        ("a: !!python/name:os.system", "could not determine a constructor"),
        ("a: 2001-99-99", "holds a value that cannot be: month must be"),
        (f"a: {'9' * 5000}", "holds a value that cannot be: Exceeds the limit"),
        ("? [a]\n: b", "unhashable"),
        ("a: *b", "undefined alias"),
    ],
)
def test_what_cannot_be_is_one_kind_of_error(text, reason):
    with pytest.raises(yaml.YAMLError, match=reason):
        parse_yaml(text)


def test_aliases_count_with_all_that_they_stand_for(monkeypatch):
    monkeypatch.setattr(plain_yaml, "_MAX_NODES", 100)
    lines = ["a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]", "b: &b [*a, *a, *a]"]
    assert parse_yaml("\n".join(lines))
    with pytest.raises(yaml.YAMLError, match="more than 100 values, with aliases written out") as caught:
        parse_yaml("\n".join([*lines, "c: [*b, *b]"]))
    assert caught.value.problem_mark.line == 2


def test_a_file_is_read_up_to_its_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(plain_yaml, "MAX_BYTES", 4)
    file = tmp_path / "a.yaml"
    file.write_bytes(b"a: b")
    assert read_yaml_text(file) == "a: b"
    file.write_bytes(b"a: bc")
    with pytest.raises(ValueError, match="has more than 4 bytes"):
        read_yaml_text(file)
    file.write_bytes(b"a\xff")
    with pytest.raises(ValueError, match="is not a UTF-8 text file"):
        read_yaml_text(file)
    with pytest.raises(OSError, match="is no plain file"):
        read_yaml_text(tmp_path)
