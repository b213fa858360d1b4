"""The smallest corpus of the benchmark, rendered and prepared once."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from depthmix.bench.corpus import Corpus, make_corpus
from depthmix.bench.settings import Settings

TINY = Settings("smoke", steps=2, batch=8, looks=2)


@contextmanager
def no_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda done, total: None


@pytest.fixture(scope="session")
def bench_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("open3d")
    pytest.importorskip("skimage")
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="session")
def corpus(bench_folder: Path) -> Corpus:
    return make_corpus(bench_folder, TINY, 1, no_bar)
