from pathlib import Path

import pytest

from tests.report.make_run import make_data, make_run


@pytest.fixture(scope="session")
def data_root(tmp_path_factory) -> Path:
    return make_data(tmp_path_factory.mktemp("view-data"))


@pytest.fixture
def run(tmp_path) -> Path:
    return make_run(tmp_path / "run <1> & co")
