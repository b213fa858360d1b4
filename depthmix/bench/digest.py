"""Name a run by everything that it depends on, so that nothing older passes for it."""

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import torch

from depthmix.bench.corpus import BLOCKS, METRIC, METRIC_VAL, Corpus
from depthmix.bench.recipes import Recipe
from depthmix.bench.settings import Settings
from depthmix.store import ShardSet

__all__ = ["code_digest", "measured_name", "run_name"]

PACKAGE: Final = Path(__file__).parents[1]
# What a training computes with. How data are read is left out: their own hash stands for it.
TRAINING: Final = (
    "*.py",
    "alignment/*.py",
    "losses/*.py",
    "models/*.py",
    "bench/training.py",
    "bench/baselines.py",
    "bench/one.py",
)
MEASURING: Final = ("metrics/*.py", "bench/measuring.py")


def run_name(recipe: Recipe, settings: Settings, seed: int, corpus: Corpus) -> str:
    """Return the folder name of a run: recipe, seed, and a digest of all else.

    The digest covers the configuration as it is run, the settings, the prepared sets, the code and torch.
    """
    sets = recipe.sets() if recipe.trains else METRIC
    facts = {
        "recipe": recipe.values,
        "settings": asdict(settings),
        "network": repr(settings.network()) if recipe.trains else None,
        "sets": _hashes(corpus.prepared, [*sets, *METRIC_VAL, *BLOCKS["val"]]),
        "code": code_digest(TRAINING),
        "torch": torch.__version__,
    }
    return f"{recipe.name.replace(' ', '_')}-s{seed}-{_short(facts)}"


def measured_name(on: str, corpus: Corpus) -> str:
    """Return the file name of the measures of a run on one block; metrics may change after a training."""
    facts = {"code": code_digest(MEASURING), "sets": _hashes(corpus.prepared, BLOCKS[on])}
    return f"{on}-{_short(facts)}.json"


@cache
def code_digest(patterns: Sequence[str]) -> str:
    """Hash what modules of the package compute: comments, docstrings and layout make no other code."""
    total = sha256()
    for file in sorted({file for pattern in patterns for file in PACKAGE.glob(pattern)}):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            _drop_docstring(node)
        total.update(f"{file.relative_to(PACKAGE)}\0{ast.dump(tree)}\0".encode())
    return total.hexdigest()


def _drop_docstring(node: ast.AST) -> None:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
        node.body = node.body[1:]


def _hashes(prepared: Path, names: Sequence[str]) -> Mapping[str, str]:
    return {name: ShardSet(prepared / name).root_hash for name in sorted(set(names))}


def _short(facts: Mapping[str, Any]) -> str:
    return sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
