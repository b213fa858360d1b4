"""The page on adding a source is run: its source, its fixture writer and its test."""

import re
import sys
from pathlib import Path
from types import ModuleType

PAGE = Path(__file__).parents[2] / "sources" / "README.md"


def _run_the_page() -> dict[str, object]:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    # A module of its own, so that the source of the page can be pickled like any other.
    module = ModuleType("page_on_sources")
    sys.modules[module.__name__] = module
    exec(compile("\n".join(blocks), str(PAGE), "exec"), module.__dict__)
    return module.__dict__


TestYardScans = _run_the_page()["TestYardScans"]


def test_the_page_names_files_that_exist():
    root = PAGE.parents[1]
    named = re.findall(r"`((?:sources|docs|tests|notebooks)/[\w./]+)`", PAGE.read_text())
    assert {"sources/base.py", "sources/__init__.py", "sources/sources.csv"} <= set(named)
    assert all((root / name).exists() for name in named)
