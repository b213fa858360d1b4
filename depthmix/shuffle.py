"""Random orders that are computed, not stored: any place of any order in constant memory."""

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Int64, UInt64

__all__ = ["first_keys", "keys_of", "permute", "permute_all", "scramble", "scramble_all"]

ROUNDS = 6
PIECE = 1 << 14  # positions that are worked on at once: what a round needs of them stays in the cache
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
    masks = ((np.uint64(1) << halves) - np.uint64(1)).T[::-1]
    low, ends, of_round = halves[:, 0], sizes.astype(np.uint64), np.ascontiguousarray(keys.T)
    result = positions.astype(np.uint64)
    for first in range(0, len(result), PIECE):
        piece = slice(first, first + PIECE)
        result[piece] = _feistel(result[piece], which[piece], low, masks, of_round)
    outside = np.flatnonzero(result >= ends[which])
    while len(outside):
        again = which[outside]
        result[outside] = place = _feistel(result[outside], again, low, masks, of_round)
        outside = outside[place >= ends[again]]
    return result.view(np.int64)


def _feistel(
    place: UInt64[np.ndarray, " n"],
    which: Int64[np.ndarray, " n"],
    low: UInt64[np.ndarray, " o"],
    masks: UInt64[np.ndarray, "2 o"],
    of_round: UInt64[np.ndarray, "r o"],
) -> UInt64[np.ndarray, " n"]:
    """Send each place through the network of its order, once."""
    shift, both = low[which], [mask[which] for mask in masks]
    left, right = place >> shift, place & both[1]
    for number, key in enumerate(of_round):
        mixed = scramble_all(right ^ key[which])
        mixed &= both[number % 2]
        mixed ^= left
        left, right = right, mixed
    turned: UInt64[np.ndarray, " n"] = left << shift | right
    return turned


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
    scrambled: UInt64[np.ndarray, "*n"] = values ^ (values >> np.uint64(30))
    scrambled *= np.uint64(0xBF58476D1CE4E5B9)
    scrambled ^= scrambled >> np.uint64(27)
    scrambled *= np.uint64(0x94D049BB133111EB)
    scrambled ^= scrambled >> np.uint64(31)
    return scrambled


def _halves(size: int) -> tuple[int, int]:
    """Return how many bits of a position form the lower half, and how many the upper one."""
    bits = max(6, (size - 1).bit_length())
    return bits // 2, bits - bits // 2
