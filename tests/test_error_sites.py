"""Every error of ours says why, and where or what next: the whole package is looked through."""

import ast
from functools import cache
from pathlib import Path

import pytest

import depthmix
from depthmix import errors
from depthmix.errors import DepthmixError

ROOT = Path(depthmix.__file__).parent
CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, DepthmixError)
}
# What each class must name at the place where it is raised: one of these.
WANTED = {
    "BadSource": {"file", "sample"},
    "BadSample": {"sample", "field"},
    "ConfigError": {"file", "field", "sample", "hint"},
    "StorageError": {"file"},
    "CorruptShard": {"file"},
    "DepthmixError": {"file", "sample", "field"},
}
# Reviewed exceptions: file, or file and reason as it is written there, and why it need not.
REVIEWED = {
    "cli/constructors.py": "made of copies; each error is judged where it was written",
    "coded.py": "`ShardSet` adds file, sample and next step",
    "store/codec.py": "`decode_fields` adds the field, and `ShardSet` file, sample and next step",
    "store/images.py": "`decode_fields` and `CodedImage` add the field, and `ShardSet` the rest",
    "store/jpeg.py": "`decode_fields` and `CodedImage` add the field, and `ShardSet` the rest",
    "sources/middlebury.py: 'scikit-image is not installed'": "no file; names the option and what to do",
    "terms.py: '\\n'.join(problems)": "each line names its own field and what to do",
    "task.py: '\\n'.join(problems)": "each line names its own field and what to do",
}


@cache
def sites():
    """List each place where an error of ours is made: file, line, class, arguments, names of keywords."""
    return list(_sites())


def _sites():
    # In a checkout the last two are links, which rglob does not enter by itself.
    folders = (ROOT, ROOT / "sources", ROOT / "losses")
    for path in sorted({path for folder in folders for path in folder.rglob("*.py")}):
        name = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CLASSES:
                yield name, node.lineno, node.func.id, node.args, {word.arg for word in node.keywords}


def faults(name, line, kind, arguments, words):
    where = f"{name}:{line}: {kind}"
    if len(arguments) != 1 or None in words:
        return [f"{where} must be given its reason, and all else by name"]
    reason = arguments[0]
    if isinstance(reason, ast.Constant) and (not isinstance(reason.value, str) or len(reason.value) < 5):
        return [f"{where} gives no reason: {reason.value!r}"]
    if not words & WANTED[kind] and not {name, f"{name}: {ast.unparse(reason)}"} & REVIEWED.keys():
        return [f"{where} must name one of {', '.join(sorted(WANTED[kind]))}"]
    return []


def test_every_error_says_why_and_where():
    found = sites()
    assert len(found) > 300
    assert {kind for _, _, kind, _, _ in found} == CLASSES.keys()
    assert [fault for site in found for fault in faults(*site)] == []


def test_there_is_a_rule_for_every_class_and_no_exception_without_a_place():
    assert WANTED.keys() == CLASSES.keys()
    places = {name for name, *_ in sites()} | {
        f"{name}: {ast.unparse(arguments[0])}" for name, _, _, arguments, _ in sites()
    }
    assert REVIEWED.keys() <= places


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("BadSource('cannot be read')", "must name one of file, sample"),
        ("BadSource('', file=f)", "gives no reason"),
        ("StorageError(file=f)", "must be given its reason"),
        ("ConfigError('is odd', **more)", "must be given its reason"),
        ("CorruptShard('differs', hint='mend it')", "must name one of file"),
    ],
)
def test_the_look_finds_what_it_looks_for(code, fault):
    call = ast.parse(code, mode="eval").body
    words = {word.arg for word in call.keywords}
    assert fault in faults("x.py", 1, call.func.id, call.args, words)[0]


def test_every_class_is_rendered_in_the_same_way():
    """The golden text: class, then what a user sees, with all parts and with each one alone."""
    parts = {
        "file": Path("prepared/kitti/00001.h5"),
        "sample": "kitti/0005/12",
        "field": "target",
        "hint": "run prepare again",
    }
    lines = []
    for name in sorted(CLASSES):
        kind = CLASSES[name]
        lines.append(f"{name} | {kind('0 of 9 pixels are valid', **parts)}")
        lines += [f"{name} | {kind('is odd', **{part: value})}" for part, value in parts.items()]
    assert lines == [line for name in sorted(CLASSES) for line in golden(name)]


def golden(name):
    file = "prepared/kitti/00001.h5"
    return [
        f"{name} | {file}: kitti/0005/12: target: 0 of 9 pixels are valid; run prepare again",
        f"{name} | {file}: is odd",
        f"{name} | kitti/0005/12: is odd",
        f"{name} | target: is odd",
        f"{name} | is odd; run prepare again",
    ]


def test_no_part_of_an_error_speaks_to_the_terminal():
    hostile = "a\x1b[2J\x07\u202eb\r"
    parts = dict.fromkeys(("file", "sample", "field", "hint"), hostile)
    shown = str(DepthmixError(hostile, **parts))
    assert shown.count(r"a\x1b[2J\x07\u202eb\r") == 5
    assert shown.isprintable()
