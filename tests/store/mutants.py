"""Damage a prepared set in every way that disks, copies and people do, one way at a time."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Files = dict[str, bytes]
SECTOR = 512


@dataclass(frozen=True)
class Mutant:
    """Hold what changes: new contents by name (None: the file is gone), and the files to be named."""

    what: str
    changes: dict[str, bytes | None]
    named: tuple[str, ...]


def draw(files: Files, random: np.random.Generator) -> Mutant:
    """Draw one mutant; it always differs from the sound set."""
    while True:
        kind = KINDS[int(random.integers(len(KINDS)))]
        mutant = kind(files, random)
        if mutant is not None and any(files.get(name) != data for name, data in mutant.changes.items()):
            return mutant


def headers(files: Files, length: int) -> list[Mutant]:
    """Flip one bit of each of the first bytes of each file."""
    return [
        flipped(files, name, place, place % 8)
        for name, data in files.items()
        for place in range(min(length, len(data)))
    ]


def flipped(files: Files, name: str, place: int, bit: int) -> Mutant:
    data = bytearray(files[name])
    data[place] ^= 1 << bit
    return Mutant(f"bit {bit} of byte {place} of {name}", {name: bytes(data)}, (name,))


def _name(files: Files, random: np.random.Generator, suffix: str = "") -> str:
    return str(random.choice([name for name in files if name.endswith(suffix)]))


def _bit(files: Files, random: np.random.Generator) -> Mutant:
    # Weighed by bytes: every bit of the set is as likely.
    names = list(files)
    sizes = np.array([len(files[name]) for name in names])
    name = str(random.choice(names, p=sizes / sizes.sum()))
    return flipped(files, name, int(random.integers(len(files[name]))), int(random.integers(8)))


def _bit_of_small_files(files: Files, random: np.random.Generator) -> Mutant:
    name = _name(files, random)
    return flipped(files, name, int(random.integers(len(files[name]))), int(random.integers(8)))


def _word(files: Files, random: np.random.Generator) -> Mutant | None:
    """Swap 0 and 65535, which fletcher32 cannot tell apart."""
    name = _name(files, random, ".h5")
    data = bytearray(files[name])
    words = np.frombuffer(files[name][: len(data) // 2 * 2], np.uint16)
    places = np.flatnonzero((words == 0) | (words == 65535))
    if not places.size:
        return None
    place = int(random.choice(places))
    count = int(random.integers(1, 9))
    for word in range(place, min(place + count, len(words))):
        if words[word] in (0, 65535):
            data[2 * word : 2 * word + 2] = b"\0\0" if words[word] else b"\xff\xff"
    return Mutant(f"words 0 <-> 65535 at {place} of {name}", {name: bytes(data)}, (name,))


def _sector(files: Files, random: np.random.Generator) -> Mutant:
    name = _name(files, random)
    data = bytearray(files[name])
    start = int(random.integers(len(data) // SECTOR + 1)) * SECTOR
    data[start : start + SECTOR] = bytes(len(data[start : start + SECTOR]))
    return Mutant(f"sector {start // SECTOR} of {name} zeroed", {name: bytes(data)}, (name,))


def _cut(files: Files, random: np.random.Generator) -> Mutant:
    name = _name(files, random)
    length = int(random.integers(len(files[name])))
    return Mutant(f"{name} cut at {length}", {name: files[name][:length]}, (name,))


def _longer(files: Files, random: np.random.Generator) -> Mutant:
    name = _name(files, random)
    return Mutant(f"{name} longer", {name: files[name] + bytes(int(random.integers(1, 600)))}, (name,))


def _gone(files: Files, random: np.random.Generator) -> Mutant:
    name = _name(files, random)
    return Mutant(f"{name} gone", {name: None}, (name,))


def _swapped(files: Files, random: np.random.Generator) -> Mutant:
    suffix = str(random.choice([".h5", ".json"]))
    names = [name for name in files if name.endswith(suffix) and name[0].isdigit()]
    one, two = map(str, random.choice(names, 2, replace=False))
    return Mutant(f"{one} and {two} swapped", {one: files[two], two: files[one]}, (one, two))


def _swapped_with_records(files: Files, random: np.random.Generator) -> Mutant:
    names = [name[:-3] for name in files if name.endswith(".h5")]
    one, two = map(str, random.choice(names, 2, replace=False))
    changes = {
        f"{a}{suffix}": files[f"{b}{suffix}"]
        for a, b in ((one, two), (two, one))
        for suffix in (".h5", ".json")
    }
    return Mutant(f"{one} and {two} swapped with their records", changes, tuple(changes))


def _copied_over(files: Files, random: np.random.Generator) -> Mutant:
    """Leave an older or other shard in the place of one."""
    names = [name for name in files if name.endswith(".h5")]
    one, two = map(str, random.choice(names, 2, replace=False))
    return Mutant(f"{one} over {two}", {two: files[one]}, (two,))


def _stray(files: Files, random: np.random.Generator) -> Mutant:
    name = f"{int(random.integers(100, 99999)):05d}.h5"
    return Mutant(f"stray {name}", {name: files[_name(files, random, ".h5")]}, (name,))


KINDS: list[Callable[[Files, np.random.Generator], Mutant | None]] = [
    *[_bit] * 4,
    *[_bit_of_small_files] * 2,
    *[_word] * 2,
    *[_sector] * 2,
    _cut,
    _longer,
    _gone,
    _swapped,
    _swapped_with_records,
    _copied_over,
    _stray,
]
