"""For tests of own sources: what every source has to keep, and a scene whose depth is known."""

import pytest

# Without this, a failing assertion of the contract would not show its values.
pytest.register_assert_rewrite("depthmix.testing.contract")

from depthmix.testing.contract import SourceContract, Truth  # noqa: E402
from depthmix.testing.known import Known, known_view  # noqa: E402

__all__ = ["Known", "SourceContract", "Truth", "known_view"]
