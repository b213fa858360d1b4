"""Pair the records of two cameras that were not triggered together, by the times of their frames."""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping

__all__ = ["paired_in_time"]


def paired_in_time(
    first: Mapping[str, float], second: Mapping[str, float], *, max_gap_s: float
) -> dict[str, str]:
    """Pair names by their times, the closest pair first; no name is used twice.

    Args:
        first: seconds of each name.
        second: seconds of each name of the other camera.
        max_gap_s: how far apart in time a pair may be.

    Returns:
        The partner of each name of `first` that has one, sorted by name.

    Example:
        >>> paired_in_time({"a": 0.0, "b": 0.03}, {"x": 0.02, "y": 0.05}, max_gap_s=0.02)
        {'b': 'x'}
    """
    others = sorted((time, name) for name, time in second.items())
    times = [time for time, _ in others]
    gaps = []
    for name, time in first.items():
        near = others[bisect_left(times, time - max_gap_s) : bisect_right(times, time + max_gap_s)]
        gaps += [(abs(time - other), name, partner) for other, partner in near]
    pairs: dict[str, str] = {}
    taken: set[str] = set()
    for _, name, partner in sorted(gaps):
        if name not in pairs and partner not in taken:
            pairs[name] = partner
            taken.add(partner)
    return dict(sorted(pairs.items()))
