"""Fixtures that several test modules share."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no fault of the code.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def real_samples() -> Path:
    """Folder of real files of public data sets, kept outside the repository for their licences."""
    folder = Path(__file__).parents[1].parent / "shared" / "samples"
    if not folder.is_dir():
        pytest.skip(f"no real samples at {folder}")
    return folder


@pytest.fixture(autouse=True)
def forget_determinism() -> Iterator[None]:
    """Undo what a Trainer with deterministic=True sets for the whole process."""
    yield
    if (torch := sys.modules.get("torch")) is not None:
        torch.use_deterministic_algorithms(False)
