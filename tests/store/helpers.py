"""A tiny raw data set and its source, at module level so that worker processes can import them."""

import errno
import math
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.files import file_size
from depthmix.sources.layout import visible

SIZE = (12, 16)
COUNT = 10  # raw samples of the set that verifications look at, one of them bad


class TinySource(Source):
    """Read `<root>/<key>.npy`: [4 h w] float32 of red, depth, plane id and sigma; depth 0 = not valid."""

    card = SourceCard("lidar", Quality.HIGH, LabelKind.METRIC_DEPTH, "m", "sparse", "", "CC0-1.0", "nobody")
    layout = "*.npy"

    def __init__(self, root: str | Path, *, name: str = "tiny", pause: float = 0.0) -> None:
        super().__init__(root, name=name)
        self._pause = pause

    def keys(self) -> Sequence[str]:
        return sorted(path.stem for path in visible(self.root) if path.suffix == ".npy")

    def files(self, key: str) -> Sequence[Path]:
        return [self.root / f"{key}.npy"]

    def read(self, key: str) -> Sample:
        time.sleep(self._pause)
        path = self.root / f"{key}.npy"
        try:
            red, depth, planes, sigma = np.load(path)
        except (OSError, ValueError, EOFError) as error:
            raise BadSource("not an array file", file=path, sample=f"{self.name}/{key}") from error
        image = np.zeros((*red.shape, 3), np.uint8)
        image[..., 0] = red
        camera = Intrinsics(20.0, 20.0, 7.5, 5.5)
        return self.sample(
            key,
            image=image,
            target=depth,
            valid=depth > 0,
            sky=depth < 0,
            planes=planes.astype(np.int32),
            sigma=sigma,
            intrinsics=camera,
        )


class DyingSource(TinySource):
    """End the process that reads sample 003, as the kernel does when memory runs out."""

    def read(self, key: str) -> Sample:
        if key == "003":
            os._exit(9)
        return super().read(key)


class TroubleSource(TinySource):
    """Meet with trouble at sample 003 that is none of the sample's."""

    def __init__(self, root: str | Path, *, trouble: str = "") -> None:
        super().__init__(root)
        self._trouble = trouble

    def read(self, key: str) -> Sample:
        if key == "003":
            self._meet()
        return super().read(key)

    def _meet(self) -> None:
        match self._trouble:
            case "hang":
                time.sleep(1000)
            case "out of memory":
                os.kill(os.getpid(), signal.SIGKILL)
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "exit":
                sys.exit(0)
            case "end":
                next(iter(()))
            case "close":
                raise GeneratorExit
            case "panic":
                raise BaseException("a decoder panics")
            case "no files":
                raise OSError(errno.EMFILE, "Too many open files", str(self.root / "003.npy"))


class ChoosySource(TinySource):
    """Have options of every kind, as adapters do."""

    def __init__(
        self, root: str | Path, *, window: tuple[int, int] = (8, 6), furthest: float = math.inf
    ) -> None:
        super().__init__(root)
        self.window, self.furthest = window, furthest


class PlainFileSource(TinySource):
    """Open plain files only, as the decoders of `depthmix.sources` do."""

    def read(self, key: str) -> Sample:
        file_size(self.root / f"{key}.npy")
        return super().read(key)


class PairSource(TinySource):
    """Know only which of two points is nearer; the last sample has one pair, of neighbours."""

    card = SourceCard("web", Quality.LOW, LabelKind.ORDINAL, "", "none", "", "CC0-1.0", "nobody")

    def read(self, key: str) -> Sample:
        image = np.full((*SIZE, 3), int(key), np.uint8)
        pairs = np.array([[0, 0, 15, 11, 1], [2, 3, 12, 4, -1], [4, 4, 5, 4, 0]], np.int32)
        return self.sample(key, image=image, pairs=pairs[2:] if key == self.keys()[-1] else pairs)


class BuggySource(TinySource):
    """Hold a mistake in the adapter itself, which no list of bad samples may hide."""

    def read(self, key: str) -> Sample:
        raise KeyError("an adapter bug")


def make_raw(root: Path, count: int, *, bad: Sequence[int] = ()) -> Path:
    """Write `count` raw files, those in `bad` as plain text, and return their folder."""
    root.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        path = root / f"{number:03d}.npy"
        if number in bad:
            path.write_text("not an array")
        else:
            np.save(path, raw_arrays(number))
    return root


def raw_arrays(number: int) -> np.ndarray:
    """Draw the four maps of one raw file."""
    random = np.random.default_rng(number)
    depth = random.uniform(1, 50, SIZE) * (random.random(SIZE) < 0.7)
    depth[0] = -1  # sky
    planes = random.integers(0, 300, SIZE)
    return np.stack([random.integers(0, 256, SIZE), depth, planes, 0.01 + 0.001 * depth**2]).astype(
        np.float32
    )


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
