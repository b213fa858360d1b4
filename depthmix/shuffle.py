"""Random orders that are computed, not stored: any place of any order in constant memory."""

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Int64, UInt64

__all__ = ["first_keys", "keys_of", "permute", "permute_all", "scramble", "scramble_all"]

ROUNDS = 6
_WORD = (1 << 64) - 1


def permute(position: int, size: int, keys: Sequence[int]) -> int:
    """Map `position` to its place in a random order of 0..size-1, without storing the order.

    A Feistel network permutes the next power of two, at least 64 because smaller ones shuffle poorly;
    results outside the range are sent through again until they fall inside, which leaves a permutation. The
    halves differ by a bit where the number of bits is odd; after an even number of rounds they are back.

    Reference: Black and Rogaway, Ciphers with arbitrary finite domains (CT-RSA 2002), cycle walking.
    """
    low, high = _halves(size)
    masks = ((1 << high) - 1, (1 << low) - 1)
    while True:
        left, right = position >> low, position & masks[1]
        for number, key in enumerate(keys):
            left, right = right, left ^ (scramble(right ^ key) & masks[number % 2])
        position = left << low | right
        if position < size:
            return position


def permute_all(
    positions: Int64[np.ndarray, " n"],
    which: Int64[np.ndarray, " n"],
    sizes: Int64[np.ndarray, " o"],
    keys: UInt64[np.ndarray, "o r"],
) -> Int64[np.ndarray, " n"]:
    """Do what `permute` does with many positions at once, in a few orders.

    Args:
        positions: a place in an order.
        which: the order that each place belongs to.
        sizes: how long each order is.
        keys: those of each order.
    """
    halves = np.array([_halves(size) for size in sizes.tolist()], np.uint64).reshape(-1, 2)
    low, ends = halves[:, 0], sizes.astype(np.uint64)
    masks = ((np.uint64(1) << halves) - np.uint64(1)).T[::-1]
    of_round = np.ascontiguousarray(keys.T)
    place, walking = positions.astype(np.uint64), np.arange(len(positions))
    result = np.empty_like(place)
    while len(walking):
        shift, both = low[which], [mask[which] for mask in masks]
        left, right = place >> shift, place & both[1]
        for number, key in enumerate(of_round):
            left, right = right, left ^ (scramble_all(right ^ key[which]) & both[number % 2])
        place = left << shift | right
        result[walking] = place
        again = np.flatnonzero(place >= ends[which])
        walking, place, which = walking[again], place[again], which[again]
    return result.astype(np.int64)


@lru_cache(maxsize=4096)
def keys_of(name: str, seed: int, epoch: int) -> tuple[int, ...]:
    """Derive the keys of one random order from what it belongs to."""
    digest = _digest(name, seed, epoch)
    return tuple(int.from_bytes(digest[8 * i : 8 * i + 8], "little") for i in range(ROUNDS))


def first_keys(name: str, seed: int, epochs: Iterable[int]) -> UInt64[np.ndarray, " n"]:
    """Derive the first key of many orders."""
    return np.frombuffer(b"".join(_digest(name, seed, epoch)[:8] for epoch in epochs), "<u8").astype(
        np.uint64
    )


def _digest(name: str, seed: int, epoch: int) -> bytes:
    return hashlib.blake2b(f"{name}/{seed}/{epoch}".encode(), digest_size=8 * ROUNDS).digest()


def scramble(value: int) -> int:
    """Scramble 64 bits (the finaliser of SplitMix64, Steele et al. 2014)."""
    value &= _WORD
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _WORD
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _WORD
    return value ^ (value >> 31)


def scramble_all(values: UInt64[np.ndarray, "*n"]) -> UInt64[np.ndarray, "*n"]:
    """Do what `scramble` does with many values."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    scrambled: UInt64[np.ndarray, "*n"] = values ^ (values >> np.uint64(31))
    return scrambled


def _halves(size: int) -> tuple[int, int]:
    """Return how many bits of a position form the lower half, and how many the upper one."""
    bits = max(6, (size - 1).bit_length())
    return bits // 2, bits - bits // 2
