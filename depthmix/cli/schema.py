"""Compare a YAML tree with the constructors it is meant for, and say where each mistake stands."""

import dataclasses
import inspect
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from depthmix.configured import (
    did_you_mean,
    is_foreign,
    known_classes,
    names_of_plug_ins,
    offered_classes,
    resolve_class,
)
from depthmix.errors import ConfigError, visible
from depthmix.foreign import import_foreign
from depthmix.plain_yaml import parse_yaml, read_yaml_text

__all__ = [
    "Document",
    "Problem",
    "call_problems",
    "did_you_mean",
    "import_named",
    "known_classes",
    "named_classes",
    "read_document",
    "resolve_class",
]

CLASS_KEYS = ("class_path", "loss", "net")  # whose value may be the dotted path of a class
SCALARS: Mapping[type, tuple[str, ...]] = {
    bool: ("bool",),
    int: ("int",),
    float: ("float", "int"),
    str: ("str", "int", "float", "bool"),
}


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake at one place of a configuration file."""

    line: int
    column: int
    where: str
    text: str
    missing: bool = False

    def located(self, file: Path) -> str:
        """Write as `file:line:column: key: what`."""
        where = f"{self.where}: " if self.where else ""
        return visible(f"{file}:{self.line}:{self.column}: {where}{self.text}", "\n")


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML file as a tree with marks, and as plain values."""

    file: Path
    root: yaml.Node
    values: dict[str, Any]

    def place(self, *keys: str) -> tuple[int, int]:
        """Find line and column of a nested key; of the deepest one that exists."""
        node, mark = self.root, self.root.start_mark
        for key in keys:
            found = next((pair for pair in _pairs(node) if pair[0].value == key), None)
            if found is None:
                break
            mark, node = found[0].start_mark, found[1]
        return mark.line + 1, mark.column + 1


def read_document(file: Path) -> tuple[Document | None, list[Problem]]:
    """Read a YAML mapping; syntax errors and repeated keys come back as problems."""
    try:
        root, values = parse_yaml(read_yaml_text(file))
    except OSError as error:
        return None, [Problem(1, 1, "", f"cannot be read: {error.strerror}")]
    except ValueError as error:
        return None, [Problem(1, 1, "", str(error))]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        return None, [Problem(line, column, "", f"not valid YAML: {reason}")]
    if not isinstance(values, dict) or root is None:
        return None, [Problem(1, 1, "", "must be a mapping with the keys trainer, model and data")]
    return Document(file, root, values), list(_repeated(root, ""))


def shape_problems(node: yaml.Node, hint: object, where: str) -> Iterator[Problem]:
    """Compare a node with a type: a constructor, a dict or list of such, a scalar, or a choice of these."""
    options = _options(hint)
    if type(None) in options and node.tag.endswith(":null"):
        return
    options = [option for option in options if option is not type(None)]
    if len(options) != 1:
        if not all(option in SCALARS or get_origin(option) is Literal for option in options):
            return
        if not any(not list(shape_problems(node, option, where)) for option in options):
            yield _at(node, where, f"must be {' or '.join(_name(o) for o in options)}, got {_shown(node)}")
        return
    yield from _one_type(node, options[0], where)


def _one_type(node: yaml.Node, hint: Any, where: str) -> Iterator[Problem]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is dict:
        yield from _mapping_of(node, arguments[1], where)
    elif origin is list:
        yield from _list_of(node, arguments[0], where)
    elif origin is Literal:
        if node.value not in [str(choice) for choice in arguments]:
            yield _at(node, where, f"must be one of {', '.join(map(str, arguments))}, got {_shown(node)}")
    elif hint in SCALARS:
        if not any(node.tag.endswith(f":{tag}") for tag in SCALARS[hint]):
            yield _at(node, where, f"must be {_name(hint)}, got {_shown(node)}")
    elif dataclasses.is_dataclass(hint) and isinstance(hint, type):
        yield from call_problems(node, hint, where)
    elif isinstance(hint, type) and hint.__module__ != "builtins":
        yield from _class_problems(node, hint, where)


def call_problems(node: yaml.Node, target: Callable[..., object], where: str) -> Iterator[Problem]:
    """Compare a mapping with the parameters of a constructor."""
    if not isinstance(node, yaml.MappingNode):
        yield _at(node, where, f"must be a mapping of options, got {_shown(node)}")
        return
    initialiser = target.__init__ if isinstance(target, type) else target  # type: ignore[misc]
    parameters = dict(inspect.signature(target).parameters)
    hints = get_type_hints(initialiser)
    open_ended = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    for key, value in _pairs(node):
        inside = f"{where}.{key.value}".lstrip(".")
        if key.value in parameters:
            yield from shape_problems(value, hints.get(key.value, object), inside)
        elif not open_ended:
            yield _at(key, inside, "unknown option" + did_you_mean(key.value, parameters))
    given = {key.value for key, _ in _pairs(node)}
    for name, parameter in parameters.items():
        required = parameter.default is inspect.Parameter.empty and parameter.kind not in (
            inspect.Parameter.VAR_KEYWORD,
            inspect.Parameter.VAR_POSITIONAL,
        )
        if required and name not in given:
            yield replace(_at(node, where, f"lacks the option {name!r}"), missing=True)


def _class_problems(node: yaml.Node, base: type, where: str) -> Iterator[Problem]:
    path: yaml.Node = node
    options: yaml.Node | None = None
    if not isinstance(node, yaml.ScalarNode):
        pairs = {key.value: (key, value) for key, value in _pairs(node)}
        for name, (key, _) in pairs.items():
            if name not in ("class_path", "init_args"):
                text = "only class_path and init_args go here" + did_you_mean(
                    name, ("class_path", "init_args")
                )
                yield _at(key, f"{where}.{name}", text)
        if "class_path" not in pairs:
            yield _at(node, where, "lacks class_path")
            return
        path, options = pairs["class_path"][1], pairs.get("init_args", (None, None))[1]
    try:
        found = resolve_class(str(path.value), base)
    except ConfigError as error:
        yield _at(path, where, str(error))
        return
    if found is None and is_foreign(str(path.value)):
        text = f"{path.value!r} is no part of depthmix and was not imported: that would run its code"
        yield _at(path, where, f"{text}; say --trust if you know where this configuration comes from")
    elif found is None:
        names = sorted({*offered_classes(base), *names_of_plug_ins(base)})
        file = _file_of(str(path.value))
        text = f"no {base.__name__} is called {path.value!r}" + (f" in {file}" if file else "")
        yield _at(path, where, text + did_you_mean(path.value, names))
    elif options is not None:
        yield from call_problems(options, found, f"{where}.init_args")


def _file_of(path: str) -> str | None:
    """Return the file of the imported module that a dotted path names; it may be another than was meant."""
    return getattr(sys.modules.get(path.rpartition(".")[0]), "__file__", None)


def import_named(root: yaml.Node) -> Iterator[Problem]:
    """Import the modules of all classes that a configuration names, because its user trusts it."""
    for where, node in named_classes(root):
        if is_foreign(str(node.value)):
            try:
                import_foreign(str(node.value).rpartition(".")[0])
            except ConfigError as error:
                yield _at(node, where.removesuffix(".class_path"), str(error))


def named_classes(root: yaml.Node, where: str = "") -> Iterator[tuple[str, yaml.ScalarNode]]:
    """List what a configuration names classes by, short names and dotted paths, right or wrong, and where."""
    for key, value in _children(root):
        inside = f"{where}.{key}".lstrip(".")
        if key in CLASS_KEYS and isinstance(value, yaml.ScalarNode):
            yield inside, value
        yield from named_classes(value, inside)


def _children(node: yaml.Node) -> list[tuple[str, yaml.Node]]:
    if isinstance(node, yaml.SequenceNode):
        return [(str(index), value) for index, value in enumerate(node.value)]
    return [(str(key.value), value) for key, value in _pairs(node)]


def _mapping_of(node: yaml.Node, inner: object, where: str) -> Iterator[Problem]:
    if not isinstance(node, yaml.MappingNode):
        yield _at(node, where, f"must be a mapping from names, got {_shown(node)}")
        return
    for key, value in _pairs(node):
        yield from shape_problems(value, inner, f"{where}.{key.value}")


def _list_of(node: yaml.Node, inner: object, where: str) -> Iterator[Problem]:
    if not isinstance(node, yaml.SequenceNode):
        yield _at(node, where, f"must be a list, got {_shown(node)}")
        return
    for index, value in enumerate(node.value):
        yield from shape_problems(value, inner, f"{where}[{index}]")


def _repeated(node: yaml.Node, where: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for key, value in _pairs(node):
        inside = f"{where}.{key.value}".lstrip(".")
        if key.value in seen:
            yield _at(key, inside, "is given twice")
        seen.add(key.value)
        yield from _repeated(value, inside)


def _pairs(node: yaml.Node) -> list[tuple[yaml.Node, yaml.Node]]:
    return list(node.value) if isinstance(node, yaml.MappingNode) else []


def _options(hint: object) -> list[Any]:
    return list(get_args(hint)) if get_origin(hint) in (Union, types.UnionType) else [hint]


def _name(hint: Any) -> str:
    return {float: "a number", int: "a whole number", bool: "true or false", str: "text"}.get(hint, str(hint))


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value)
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def _at(node: yaml.Node, where: str, text: str) -> Problem:
    return Problem(node.start_mark.line + 1, node.start_mark.column + 1, where, text)
