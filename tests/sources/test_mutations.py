"""Whatever happens to the bytes of raw files, reading ends in a named error or in a checked sample."""

from collections import Counter

import pytest

from depthmix.sources.registry import shipped
from tests.sources.mutations import contracts, in_children


def wrong(first: int, last: int) -> tuple[list[str], Counter[str]]:
    """Return what ended otherwise, with the command that repeats it, and how the others ended."""
    found, ends = [], Counter[str]()
    for outcome in in_children(first, last):
        ends[outcome.end if outcome.end in ("read", "refused") else "wrong"] += 1
        if outcome.end not in ("read", "refused"):
            again = f"python -m tests.sources.mutations {outcome.number} {outcome.number + 1}"
            found.append(f"{outcome.what}: {outcome.end}  ({again})")
    assert sum(ends.values()) == last - first
    return found, ends


def test_every_source_is_damaged(tmp_path):
    kinds = set()
    for number, contract in enumerate(contracts()):
        home = tmp_path / str(number)
        home.mkdir()
        kinds.add(type(contract().make(home)))
    installed = {"MotorcycleStereo", "OakPairs", "OakStereo"}  # their files belong to a package or a wheel
    # A test may give a source other defaults by a subclass.
    forgotten = {
        name for name, kind in shipped().items() if not any(issubclass(other, kind) for other in kinds)
    }
    assert forgotten <= installed


def test_damaged_files_end_in_a_named_error_or_a_checked_sample():
    found, ends = wrong(0, 300)  # the first of the slow test
    assert not found
    assert min(ends["read"], ends["refused"]) > 20  # some damage changes nothing that is read, most is seen


@pytest.mark.slow  # 4 to 9 minutes
def test_20_000_damaged_files_end_in_a_named_error_or_a_checked_sample():
    found, ends = wrong(0, 20_000)
    assert not found, f"{len(found)} of 20 000: {found[:20]}"
    assert min(ends["read"], ends["refused"]) > 1000
