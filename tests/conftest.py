"""Fixtures that several test modules share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_samples() -> Path:
    """Folder of real files of public data sets, kept outside the repository for their licences."""
    folder = Path(__file__).parents[1].parent / "shared" / "samples"
    if not folder.is_dir():
        pytest.skip(f"no real samples at {folder}")
    return folder
