"""A network that somebody else describes is stopped while it is built."""

import threading

import pytest
from torch import nn

from depthmix.models import bounded
from depthmix.models.bounded import at_most


def test_as_many_weights_as_allowed_are_built():
    with at_most(12):
        assert nn.Linear(3, 3) is not None
    assert nn.Linear(30, 30) is not None  # behind it nothing is counted


@pytest.mark.parametrize("sizes", [[(3, 3), (1, 1)], [(1 << 15, 1 << 15)]])
def test_one_more_is_refused_before_its_memory_is_taken(sizes):
    with at_most(12), pytest.raises(ValueError, match="would have more than 12 weights"):
        nn.Sequential(*[nn.Linear(*size) for size in sizes])


def test_tiny_parts_without_end_are_refused(monkeypatch):
    monkeypatch.setattr(bounded, "MOST_TENSORS", 10)
    with at_most(1 << 40), pytest.raises(ValueError, match="or 10 tensors"):
        nn.Sequential(*[nn.LayerNorm(1) for _ in range(1000)])


def test_other_threads_are_left_alone():
    built = []
    with at_most(1):
        thread = threading.Thread(target=lambda: built.append(nn.Linear(9, 9)))
        thread.start()
        thread.join()
    assert len(built) == 1
