"""One server process for all tests that run prepare under strace."""

from collections.abc import Iterator

import pytest

from tests.crash.strace import Runner


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """Give the server; it ends with the session."""
    started = Runner.start(tmp_path_factory.mktemp("server"))
    yield started
    started.stop()
