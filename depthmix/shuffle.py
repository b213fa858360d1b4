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

    A Feistel network permutes the next power of four, at least 64 because smaller ones shuffle poorly;
    results outside the range are sent through again until they fall inside, which leaves a permutation.

    Reference: Black and Rogaway, Ciphers with arbitrary finite domains (CT-RSA 2002), cycle walking.
    """
    half = _half_bits(size)
    mask = (1 << half) - 1
    while True:
        left, right = position >> half, position & mask
        for key in keys:
            left, right = right, left ^ (scramble(right ^ key) & mask)
        position = left << half | right
        if position < size:
            return position


def permute_all(
    positions: Int64[np.ndarray, " n"], sizes: Int64[np.ndarray, " n"], keys: UInt64[np.ndarray, "n r"]
) -> Int64[np.ndarray, " n"]:
    """Do what `permute` does with many positions at once, each in an order of its own.

    Args:
        positions: a place in each order.
        sizes: how long each order is.
        keys: those of each order.
    """
    lengths, which = np.unique(sizes, return_inverse=True)
    half = np.array([_half_bits(size) for size in lengths.tolist()], np.uint64)[which]
    mask, ends = (np.uint64(1) << half) - np.uint64(1), sizes.astype(np.uint64)
    result, place = np.empty_like(ends), positions.astype(np.uint64)
    open_ = np.arange(len(result))
    while len(open_):
        left, right = place >> half, place & mask
        for key in keys.T:
            left, right = right, left ^ (scramble_all(right ^ key) & mask)
        place = left << half | right
        result[open_] = place
        again = np.flatnonzero(place >= ends)
        open_, place, half, mask = open_[again], place[again], half[again], mask[again]
        ends, keys = ends[again], keys[again]
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


def _half_bits(size: int) -> int:
    return max(3, ((size - 1).bit_length() + 1) // 2)
