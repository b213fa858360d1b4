"""Damage the raw files of every source, at random and with care, and see how reading ends.

    python -m tests.sources.mutations FIRST LAST        run these mutations, one line of JSON each

A mutation is a pure function of its number: which source, sample and file, and what is done to its bytes. So
a failure is reproduced alone by `python -m tests.sources.mutations N N+1`.
"""

import faulthandler
import importlib
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from depthmix.errors import BadSample, BadSource
from depthmix.sample import Sample
from depthmix.sources.base import Source
from depthmix.testing import SourceContract
from tests.sources.crafted import crafted

FOLDER = Path(__file__).parent
MARK = "@@"
READ_S = 20  # of the processor; reading a tiny file takes milliseconds, a loop without end takes this
PEAK_BYTES = 3 << 30  # of the whole process; one array of 64 megapixels of float64 has 0.5 GB
HEADS = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff\xe0",
    b"\x93NUMPY\x01\x00",
    b"PK\x03\x04",
    b"\x89HDF\r\n\x1a\n",
    b"Pf\n",
    b"ARROW1",
    b"II*\x00",
    b"v/1\x01",
)
WORDS = (
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x00\x00\x00\x80",
    b"\x00\x00\x00\x00",
)
TEXTS = (
    b"nan",
    b"inf",
    b"-1",
    b"1e999",
    b"99999999999999999999",
    b"",
    b"null",
    b"[",
    b'"',
    b"\xff",
    b"../../x",
    b"0",
)


@dataclass(frozen=True)
class Outcome:
    """How one mutation ended: "refused", "read", or what is wrong with it."""

    number: int
    what: str
    end: str


def contracts() -> list[type[SourceContract]]:
    """Return every test class of a source whose files are its own, by name."""
    for path in sorted(FOLDER.glob("test_*.py")):
        if path.stem != "test_mutations":
            importlib.import_module(f"tests.sources.{path.stem}")
    found, waiting = [], [SourceContract]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        found.append(kind)
    # Those that pytest collects: a base of several tests has no fixture of its own.
    kept = [
        kind
        for kind in found
        if kind.own_files and vars(sys.modules[kind.__module__]).get(kind.__name__) is kind
    ]
    kept = [
        kind
        for kind in kept
        if kind.__name__.startswith("Test") and kind.__module__.startswith("tests.sources")
    ]
    return sorted(kept, key=lambda kind: (kind.__module__, kind.__qualname__))


def mutated(data: bytes, others: list[bytes], random: np.random.Generator) -> tuple[str, bytes]:
    """Return what is done to the bytes of a file, and the result."""
    known = crafted(data, random) if random.random() < 0.5 else None
    return known or _at_random(data, others, random)


def _at_random(data: bytes, others: list[bytes], random: np.random.Generator) -> tuple[str, bytes]:
    size = len(data)
    place = int(random.integers(0, max(size, 1)))
    head = int(random.integers(0, min(max(size, 1), 256)))
    ways: dict[str, Callable[[], bytes]] = {
        "cut": lambda: data[:place],
        "bits": lambda: _flipped(data, int(random.integers(1, 9)), size, random),
        "bits of the head": lambda: _flipped(data, int(random.integers(1, 5)), 256, random),
        "zeros": lambda: data[:place] + bytes(min(256, size - place)) + data[place + 256 :],
        "another head": lambda: HEADS[int(random.integers(len(HEADS)))] + data[8:],
        "a large word": lambda: data[:head] + WORDS[int(random.integers(len(WORDS)))] + data[head + 4 :],
        "a word of text": lambda: _reworded(data, random),
        "another file": lambda: others[int(random.integers(len(others)))] if others else b"",
        "a tail": lambda: data + random.bytes(int(random.integers(1, 4096))),
        "a piece twice": lambda: data[:place] + data[place // 2 : place] + data[place:],
        "noise": lambda: random.bytes(int(random.integers(0, 4096))),
    }
    name = list(ways)[int(random.integers(len(ways)))]
    return name, ways[name]()


def run(first: int, last: int, report: Callable[[Outcome], None]) -> None:
    """Run mutations `first` .. `last` - 1; what is under way is reported with the end "?" before."""
    kinds = contracts()
    made: dict[int, tuple[SourceContract, Source]] = {}
    signal.signal(signal.SIGPROF, _too_slow)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(first, last):
            random = np.random.default_rng([7, number])
            k = number % len(kinds)  # all sources get equally many
            if k not in made:
                contract = kinds[k]()
                home = Path(folder) / str(k)
                home.mkdir()
                made[k] = contract, contract.make(home)
            contract, source = made[k]
            key = str(random.choice(list(source.keys())))
            files = list(source.files(key))
            file = files[int(random.integers(len(files)))]
            sound = file.read_bytes()
            way, damaged = mutated(sound, [other.read_bytes() for other in files if other != file], random)
            what = f"{kinds[k].__module__}.{kinds[k].__qualname__} {key} {file.name}: {way}"
            report(Outcome(number, what, "?"))
            try:
                file.write_bytes(damaged)
                report(Outcome(number, what, _end(contract, source, key)))
            finally:
                file.write_bytes(sound)
            if _peak() > PEAK_BYTES:
                return  # the peak of this process stays: the next mutations need another one


def in_children(first: int, last: int) -> Iterator[Outcome]:
    """Run mutations in a child process, and in another one behind each that ended or spoilt it."""
    while first < last:
        command = [sys.executable, "-m", "tests.sources.mutations", str(first), str(last)]
        started, begun = None, first
        # What libraries say goes to a file: a pipe that nobody reads would fill up and stop the child.
        with (
            tempfile.TemporaryFile("w+") as errors,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=FOLDER.parents[1]
            ) as child,
        ):
            assert child.stdout is not None
            for line in child.stdout:
                _, marked, told = line.partition(MARK)
                if not marked:
                    continue
                outcome = Outcome(**json.loads(told))
                if outcome.end == "?":
                    started = outcome
                    continue
                yield outcome
                first, started = outcome.number + 1, None
            code = child.wait()
            errors.seek(0)
            said = errors.read()[-2000:]
        if started is None and (code or first == begun):
            raise AssertionError(f"the child ended with {code} between mutations: {said}")
        if started is not None:
            yield Outcome(started.number, started.what, f"killed the process ({code}): {said}")
            first = started.number + 1


def _end(contract: SourceContract, source: Source, key: str) -> str:
    signal.setitimer(signal.ITIMER_PROF, READ_S)
    # A library that hangs or waits lets no signal through: then the process ends, and the parent goes on.
    faulthandler.dump_traceback_later(6 * READ_S, exit=True)
    began, told = time.process_time(), []
    try:
        # Not as errors: those would end reading where a user's program goes on.
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            again = contract.again(source, source.root)
            sample = again.read(key)
            again.views(key)
        end = "read" if isinstance(sample, Sample) else f"gave {type(sample).__name__}"
    except (BadSource, BadSample):
        end = "refused"
    except _TooSlowError:
        end = f"took more than {READ_S} s"
    except BaseException as error:  # noqa: BLE001  # that is what is looked for
        end = f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        faulthandler.cancel_dump_traceback_later()
    if time.process_time() - began > READ_S:  # a decoder may take the signal for an error of its own
        return f"took more than {READ_S} s"
    if _peak() > PEAK_BYTES:
        return f"the process grew to {_peak() / 1e9:.1f} GB"
    return f"warned: {told[0].category.__name__}: {told[0].message}" if told else end


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class _TooSlowError(BaseException):
    pass


def _too_slow(*_: object) -> None:
    raise _TooSlowError


def _flipped(data: bytes, count: int, within: int, random: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for place in random.integers(0, max(min(within, len(data)), 1), count if data else 0):
        changed[place] ^= 1 << int(random.integers(8))
    return bytes(changed)


def _reworded(data: bytes, random: np.random.Generator) -> bytes:
    """Replace a number or a word of a text; other files are changed somewhere."""
    place = int(random.integers(0, max(len(data), 1)))
    end = place
    while end < len(data) and end < place + 12 and data[end : end + 1] not in b' ,;:\n"]}':
        end += 1
    return data[:place] + TEXTS[int(random.integers(len(TEXTS)))] + data[end:]


def _print(outcome: Outcome) -> None:
    sys.stdout.write(f"{MARK}{json.dumps(asdict(outcome))}\n")  # libraries print, too
    sys.stdout.flush()


if __name__ == "__main__":
    run(int(sys.argv[1]), int(sys.argv[2]), _print)
