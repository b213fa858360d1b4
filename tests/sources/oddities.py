"""Values that no data set holds: numbers, arrays and trees of them that are absurd where they stand."""

from collections.abc import Callable
from typing import Any

import numpy as np

Random = np.random.Generator

SIZES = (0, 1, 2, 7, 65_535, 70_000, 2**31 - 1, 2**32 - 1)
SIGNALLING = np.array([0x7FA00000], "<u4").view("<f4")[0]
FLOATS = (np.nan, np.inf, -np.inf, -1.0, 0.0, 1e-45, 3e38, -3e38, SIGNALLING)
MANY_DIGITS = "9" * 5000  # more than Python turns into a number
NUMBERS = (
    *("0", "-0", "1", "-1", "nan", "-inf", "inf", "1e-45", "1e308", "1e999", "1_0", "0x10", "½", "''"),
    *("65536", "2147483648", "99999999999999999999"),
)
ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 0.0, 2**31, 10**30, -1e308, float("nan"), float("inf")),
    *("", "x", "nan", "1", "../../../etc/hosts", "a\0b", "/dev/zero", "\ud800", MANY_DIGITS),
    *([], {}, [[]], [1], {"": 0}, [None] * 3),
)
TYPES = ("f2", "f4", "f8", ">f4", "i1", "u2", ">i8", "?", "c8", "M8[s]", "S3", "U2", "V5", [("a", "f4")])


def pick(random: Random, choices: Any) -> Any:
    """Return one of the choices; numpy's own choice would make an array of them."""
    return choices[int(random.integers(len(choices)))]


def overwritten(data: bytes, place: int, word: bytes) -> bytes:
    """Put a word in the place of as many bytes."""
    return data[:place] + word + data[place + len(word) :]


def swollen(random: Random) -> bytes:
    """Return zeros that compress to next to nothing."""
    return bytes(pick(random, (0, 1, 100, 1_000_000, 50_000_000)))


def odd_array(values: np.ndarray, random: Random) -> np.ndarray:
    """Return an array with other numbers in it, or of another type or another shape."""
    if random.random() < 0.5 and values.size and values.dtype.kind in "fiu":
        return _odd_numbers(values, random)
    ways: tuple[Callable[[], Any], ...] = (
        lambda: np.zeros(values.shape, pick(random, TYPES)),
        lambda: np.zeros(values.shape, pick(random, TYPES)),
        lambda: values[..., None],
        lambda: values.ravel()[:1].reshape(()) if values.size else np.zeros(()),
        lambda: values.ravel()[:0],
        lambda: np.asfortranarray(values),
        lambda: values.T,
        lambda: values.ravel(),
        lambda: np.zeros((2, 0, 3), values.dtype),
        lambda: np.ones((1,) * 20, "f4"),
    )
    return np.asarray(pick(random, ways)())


def _odd_numbers(values: np.ndarray, random: Random) -> np.ndarray:
    if values.dtype.kind == "f":
        choices = FLOATS
    else:
        choices = (0, 1, np.iinfo(values.dtype).max, np.iinfo(values.dtype).min)
    changed = values.flatten()
    some = random.integers(0, changed.size, max(changed.size // 3, 1))
    with np.errstate(all="ignore"):
        changed[slice(None) if random.random() < 0.2 else some] = pick(random, choices)
    return changed.reshape(values.shape)


def odd_tree(tree: Any, random: Random) -> Any:
    """Change one thing in containers, each depth alike: a leaf, a branch, or one entry less."""
    deeper = random.random() < 0.85
    if isinstance(tree, dict | list) and tree and deeper:
        place = pick(random, sorted(tree, key=str) if isinstance(tree, dict) else range(len(tree)))
        changed = tree.copy()
        if random.random() < 0.1:
            del changed[place]
        else:
            changed[place] = odd_tree(tree[place], random)
        return changed
    if isinstance(tree, tuple) and tree and deeper:
        changed = odd_tree(list(tree), random)
        return tuple(changed) if isinstance(changed, list) else changed
    if isinstance(tree, np.ndarray) and deeper:
        return odd_array(tree, random)
    return pick(random, ODD)
