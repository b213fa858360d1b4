"""Parse YAML files of strangers: plain values, with a bound on size, depth and what aliases expand to."""

from pathlib import Path
from typing import Any, Final

import yaml

__all__ = ["parse_yaml", "read_yaml_text"]

MAX_BYTES: Final = 512 << 10
_MAX_DEPTH: Final = 50
_MAX_NODES: Final = 100_000  # with every alias written out


class _Loader(yaml.SafeLoader):
    """Count what is composed; PyYAML itself stops at nothing."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth, self._nodes = 0, 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        is_alias = self.check_event(yaml.AliasEvent)
        before, self._depth = self._nodes, self._depth + 1
        if self._depth > _MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {_MAX_DEPTH}", problem_mark=mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if is_alias and id(node) not in self._sizes:
            raise yaml.MarkedYAMLError(problem="an alias that holds itself", problem_mark=mark)
        self._nodes += self._sizes[id(node)] if is_alias else 1
        if self._nodes > _MAX_NODES:
            reason = f"more than {_MAX_NODES} values, with aliases written out"
            raise yaml.MarkedYAMLError(problem=reason, problem_mark=mark)
        self._sizes.setdefault(id(node), self._nodes - before)
        return node


def read_yaml_text(file: Path) -> str:
    """Read a YAML file as text.

    Raises:
        OSError: it is missing, no plain file, or cannot be read.
        ValueError: it is too large, or no UTF-8 text.
    """
    if file.exists() and not file.is_file():
        raise OSError(None, "is no plain file")
    with file.open("rb") as opened:
        data = opened.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"has more than {MAX_BYTES} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError("is not a UTF-8 text file") from error


def parse_yaml(text: str) -> tuple[yaml.Node | None, Any]:
    """Return the tree with marks, and its plain values.

    Raises:
        yaml.YAMLError: no YAML, tags of objects, or beyond the bounds; with a mark where there is one.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        return node, None if node is None else loader.construct_document(node)
    except (OverflowError, TypeError, ValueError) as error:  # such as the 99th of a month, or 5000 digits
        raise yaml.YAMLError(f"holds a value that cannot be: {error}") from error
    finally:
        loader.dispose()
