"""What `benchmarks/data.py` compares; runs in depthmix's environment or, for most peers, in one of their own.

    python benchmarks/data_readers.py NAME FOLDER     (serves commands from standard input, lines of JSON)

Every reader delivers the same: a window of 384 x 384 as uint8 image [h w 3], float32 depth in metres, valid
and uint8 or int32 planes. Payloads of peers: the very JPEG that depthmix stores, 16-bit PNG depth in
millimetres, 8-bit PNG planes.
"""

import importlib.machinery
import json
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

SAMPLES, CROP, BATCH = 600, 384, 8
SIZE = (480, 640)
Row = dict[str, np.ndarray]
Payload = dict[str, bytes]


def window(number: int) -> tuple[slice, slice]:
    """Return the window of a sample."""
    top, left = number * 37 % (SIZE[0] - CROP + 1), number * 91 % (SIZE[1] - CROP + 1)
    return slice(top, top + CROP), slice(left, left + CROP)


def deliver(number: int, image: np.ndarray, millimetres: np.ndarray, planes: np.ndarray) -> Row:
    """Cut the window and give depth in metres."""
    box = window(number)
    depth = millimetres[box]
    return {
        "image": np.ascontiguousarray(image[box]),
        "depth": depth.astype(np.float32) * np.float32(0.001),
        "valid": depth > 0,
        "planes": np.ascontiguousarray(planes[box]),
    }


def decode(number: int, payload: Payload) -> Row:
    """Decode JPEG and PNG with OpenCV, as most loaders do."""
    import cv2

    image, depth, planes = (np.frombuffer(payload[name], np.uint8) for name in ("image", "depth", "planes"))
    bgr = cv2.imdecode(image, cv2.IMREAD_COLOR)
    rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    unchanged = cv2.IMREAD_UNCHANGED
    return deliver(number, rgb, cv2.imdecode(depth, unchanged), cv2.imdecode(planes, unchanged))


def payloads(root: Path) -> Iterator[Payload]:
    """Return the bytes of all samples for peers to store."""
    for number in range(SAMPLES):
        stem = root / "files" / f"{number:06d}"
        endings = {"image": ".jpg", "depth": ".depth.png", "planes": ".planes.png"}
        yield {name: Path(f"{stem}{ending}").read_bytes() for name, ending in endings.items()}


class Files:
    """Three files a sample, decoded by OpenCV."""

    def __init__(self, root: Path) -> None:
        self.root = root / "files"
        self.bytes = sum(path.stat().st_size for path in self.root.iterdir())

    def read(self, number: int) -> Row:
        """Return one sample."""
        import cv2

        stem = self.root / f"{number:06d}"
        rgb = cv2.cvtColor(cv2.imread(f"{stem}.jpg", cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        depth = cv2.imread(f"{stem}.depth.png", cv2.IMREAD_UNCHANGED)
        return deliver(number, rgb, depth, cv2.imread(f"{stem}.planes.png", cv2.IMREAD_UNCHANGED))

    def batches(self) -> Iterator[Any]:
        """Return an epoch of two workers."""
        return of_dicts(self)


class FilesKornia(Files):
    """Three files a sample, decoded by kornia_rs."""

    def read(self, number: int) -> Row:
        """Return one sample."""
        from kornia_rs import io

        stem = self.root / f"{number:06d}"
        rgb = np.asarray(io.decode_image_jpegturbo(Path(f"{stem}.jpg").read_bytes(), "rgb"))
        depth = np.asarray(io.read_image_png_u16(f"{stem}.depth.png", "mono"))[..., 0]
        planes = np.asarray(io.read_image_png_u8(f"{stem}.planes.png", "mono"))[..., 0]
        return deliver(number, rgb, depth, planes)


class Vlen:
    """One HDF5 file through h5py: JPEG as bytes of variable length, gzip chunks for the rest."""

    def __init__(self, root: Path) -> None:
        self.path = root / "vlen.h5"
        self.bytes = self.path.stat().st_size
        self.file: Any = None

    def read(self, number: int) -> Row:
        """Return one sample."""
        import cv2
        import h5py

        self.file = self.file or h5py.File(self.path, "r")
        rgb = cv2.cvtColor(cv2.imdecode(self.file["image"][number], cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        return deliver(number, rgb, self.file["depth"][number], self.file["planes"][number])

    def batches(self) -> Iterator[Any]:
        """Return an epoch of two workers."""
        return of_dicts(self)


class Depthmix:
    """A prepared set, read with all its checks."""

    def __init__(self, root: Path) -> None:
        from depthmix.store import ShardSet
        from depthmix.workers import keep_memory

        keep_memory()  # as the workers of a training do
        self.shards = ShardSet(root / "depthmix")
        self.bytes = sum(path.stat().st_size for path in (root / "depthmix").iterdir())

    def sample(self, number: int) -> Any:
        """Return one sample as depthmix does."""
        from depthmix.augment import crop

        rows, columns = window(number)
        return crop(self.shards.stored(number), rows.start, columns.start, CROP, CROP)

    def read(self, number: int) -> Row:
        """Return one sample."""
        found = self.sample(number)
        return {"image": found.image, "depth": found.target, "valid": found.valid, "planes": found.planes}

    def batches(self) -> Iterator[Any]:
        """Return an epoch of two workers, through the loader that training uses."""
        from depthmix.datasets import WholeDataset
        from depthmix.loader import SampleLoader

        class Windows(WholeDataset):
            pixels = CROP * CROP

            def sample(windows, index: int) -> Any:
                return self.sample(index)

        order = np.random.default_rng(0).permutation(SAMPLES).tolist()
        loader = SampleLoader(Windows(self.shards, 0), workers=2, rows=BATCH, sampler=order, batch_size=BATCH)
        return iter(loader)

    def floors(self, numbers: list[int]) -> dict[str, float]:
        """Return the milliseconds a sample that its codecs alone take, and reading it, turn by turn.

        Sample by sample one of them comes first, then the other: whoever came second throughout would find
        bytes and memory warm. Codecs get bytes in memory and check nothing; `floor` decodes whole samples,
        `floor_window` image and depth of the window only, as reading does.
        """
        totals = {"floor": 0.0, "floor_window": 0.0, "beside": 0.0}
        ways = {
            "floor": lambda number: self._codecs(number, np.s_[:, :]),
            "floor_window": lambda number: self._codecs(number, window(number)),
            "beside": lambda number: timed(lambda: self.read(number)),
        }
        for turn, number in enumerate(numbers):
            names = list(ways)
            for name in names[turn % 3 :] + names[: turn % 3]:
                totals[name] += ways[name](number)
        return {name: 1e3 * total / len(numbers) for name, total in totals.items()}

    def _codecs(self, number: int, box: tuple[slice, slice]) -> float:
        from depthmix.store import codec
        from depthmix.store.images import coded_image

        kind, options = self.shards._kind, self.shards.options
        place, row = self.shards._locate(number)
        blobs = self.shards._blobs(place, self.shards._shard(place), row)

        def decode_all() -> None:
            coded_image(blobs["image"], SIZE, options)[box]
            codec._decode_label(blobs["target"], SIZE, kind, options)[box]
            codec.decode_mask(blobs["valid"], SIZE)
            codec.decode_planes(blobs["planes"], SIZE)

        return timed(decode_all)


class LitData:
    """Chunks of litData."""

    def __init__(self, root: Path) -> None:
        from litdata.streaming import StreamingDataset
        from litdata.streaming.writer import BinaryWriter

        folder = root / "litdata"
        if not (folder / "index.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            writer = BinaryWriter(str(folder), chunk_bytes="64MB")
            for number, payload in enumerate(payloads(root)):
                writer[number] = payload
            writer.done()
            writer.merge()
        self.bytes = sum(path.stat().st_size for path in folder.iterdir())
        self.set = StreamingDataset(str(folder), shuffle=False)

    def read(self, number: int) -> Row:
        """Return one sample."""
        return decode(number, self.set[number])

    def batches(self) -> Iterator[Any]:
        """Return an epoch of two workers."""
        return of_dicts(self)


class Mds:
    """Shards of MosaicML streaming."""

    def __init__(self, root: Path) -> None:
        without_torchvision()
        from streaming import MDSWriter, StreamingDataset

        folder = root / "mds"
        if not (folder / "index.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            columns = dict.fromkeys(("image", "depth", "planes"), "bytes")
            with MDSWriter(out=str(folder), columns=columns) as writer:
                for payload in payloads(root):
                    writer.write(payload)
        self.bytes = sum(path.stat().st_size for path in folder.iterdir())
        self.set = StreamingDataset(local=str(folder), shuffle=False, batch_size=BATCH)

    def read(self, number: int) -> Row:
        """Return one sample."""
        return decode(number, self.set[number])

    def batches(self) -> Iterator[Any]:
        """Return an epoch of two workers."""
        return of_dicts(self)


class LitDataFloat(LitData):
    """litData as it is usually written, with float32 images [3 h w]."""

    def read(self, number: int) -> Row:
        """Return one sample."""
        return as_float(super().read(number))


class HuggingFace:
    """Arrow tables of Hugging Face datasets, saved to disk."""

    def __init__(self, root: Path) -> None:
        from datasets import Dataset, disable_progress_bars, load_from_disk

        disable_progress_bars()
        folder = root / "hf"
        if not (folder / "state.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            Dataset.from_list(list(payloads(root))).save_to_disk(str(folder))
        self.bytes = sum(path.stat().st_size for path in folder.iterdir())
        self.set = load_from_disk(str(folder))

    def read(self, number: int) -> Row:
        """Return one sample."""
        return decode(number, self.set[number])

    def batches(self) -> Iterator[Any]:
        """Return an epoch of two workers."""
        return of_dicts(self)


class WebDataset:
    """Tar files of WebDataset, which can only be read in their own order."""

    def __init__(self, root: Path) -> None:
        import webdataset

        folder = root / "webdataset"
        if not (folder / "000001.tar").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for part in range(2):
                with webdataset.TarWriter(str(folder / f"{part:06d}.tar")) as writer:
                    for number, payload in enumerate(payloads(root)):
                        if number % 2 == part:
                            writer.write(
                                {"__key__": f"{number:06d}", **{f"{k}.bin": v for k, v in payload.items()}}
                            )
        self.folder, self.stream = folder, iter(())
        self.bytes = sum(path.stat().st_size for path in folder.iterdir())

    def _set(self) -> Any:
        import webdataset

        tars = [str(path) for path in sorted(self.folder.iterdir())]
        return webdataset.WebDataset(tars, shardshuffle=False, empty_check=False)

    @staticmethod
    def _row(found: dict[str, Any]) -> Row:
        return decode(int(found["__key__"]), {k[:-4]: v for k, v in found.items() if k.endswith(".bin")})

    def read(self, number: int) -> Row:
        """Return the next sample, whatever its number."""
        while True:
            for found in self.stream:
                return self._row(found)
            self.stream = iter(self._set())

    def batches(self) -> Iterator[Any]:
        """Return an epoch of two workers."""
        import webdataset

        rows = self._set().shuffle(100).map(self._row)
        return iter(webdataset.WebLoader(rows, batch_size=BATCH, num_workers=2))


class WebDatasetFloat(WebDataset):
    """WebDataset as it is usually written, with float32 images [3 h w]."""

    @staticmethod
    def _row(found: dict[str, Any]) -> Row:
        return as_float(WebDataset._row(found))


class Ready:
    """Samples that are in memory already: what is left is the hand-over."""

    bytes = 0
    count = 4 * SAMPLES  # so that the start of workers counts little
    image_dtype: type = np.float32

    def __init__(self, root: Path) -> None:
        from depthmix.store import ShardSet

        stored = ShardSet(root / "depthmix").stored  # what training reads
        self.samples = [self.cut(stored(number), number) for number in range(16)]
        self.rows = [self.row(sample) for sample in self.samples]

    @staticmethod
    def cut(sample: Any, number: int) -> Any:
        """Return the window of a sample."""
        from depthmix.augment import crop

        rows, columns = window(number)
        return crop(sample, rows.start, columns.start, CROP, CROP)

    def row(self, sample: Any) -> Row:
        """Return a sample as the dict that datasets usually give."""
        row = {"image": sample.image, "depth": sample.target, "valid": sample.valid, "planes": sample.planes}
        return as_float(row) if self.image_dtype is np.float32 else row

    def read(self, number: int) -> Row:
        """Return one sample."""
        return self.rows[number % len(self.rows)]

    def batches(self) -> Iterator[Any]:
        """Return an epoch of two workers."""
        return of_dicts(self, self.count)


class ReadySmall(Ready):
    """The same with uint8 images."""

    image_dtype = np.uint8


class ReadyRing(Ready):
    """The same through depthmix's loader."""

    def batches(self) -> Iterator[Any]:
        """Return an epoch of two workers."""
        from depthmix.loader import SampleLoader

        ready, count = self.samples, self.count

        class Samples:
            pixels = CROP * CROP

            def __len__(self) -> int:
                return count

            def __getitems__(self, numbers: list[int]) -> Any:
                return [ready[number % len(ready)] for number in numbers], [0] * len(numbers), []

        rows: Any = Samples()
        return iter(SampleLoader(rows, workers=2, rows=BATCH, batch_size=BATCH))


class Rows:
    """What `of_dicts` reads from."""

    def __init__(self, read: Callable[[int], Row], count: int) -> None:
        self.read, self.count = read, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Row:
        return self.read(number)


def of_dicts(reader: Any, count: int = SAMPLES) -> Iterator[Any]:
    """Return an epoch of the DataLoader with two workers, whose samples are dicts of arrays."""
    from torch.utils.data import DataLoader

    rows: Any = Rows(reader.read, count)
    return iter(DataLoader(rows, BATCH, shuffle=True, num_workers=2))


READERS: dict[str, type] = {
    "depthmix": Depthmix,
    "files + OpenCV": Files,
    "files + kornia_rs": FilesKornia,
    "h5py vlen + gzip": Vlen,
    "litData": LitData,
    "MosaicML MDS": Mds,
    "WebDataset": WebDataset,
    "HF datasets": HuggingFace,
    "litData, float32 image": LitDataFloat,
    "WebDataset, float32 image": WebDatasetFloat,
    "dict, float32 image": Ready,
    "dict, uint8 image": ReadySmall,
    "ring": ReadyRing,
}


def as_float(row: Row) -> Row:
    """Give the image as float32 [3 h w] in 0 .. 1."""
    image = np.ascontiguousarray(row["image"].transpose(2, 0, 1)).astype(np.float32) / 255
    return {**row, "image": image}


def without_torchvision() -> None:
    """Let MosaicML streaming import without torchvision, of which it uses nothing here."""
    import types

    for name in ("", ".datasets", ".transforms", ".transforms.functional"):
        name = f"torchvision{name}"
        module: Any = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.VisionDataset = module.to_tensor = object
        sys.modules.setdefault(name, module)


def cpu() -> float:
    """Return the CPU seconds of this process and of all its children that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def timed(work: Callable[[], object]) -> float:
    """Return the CPU seconds of this thread that some work takes."""
    began = time.thread_time()
    work()
    return time.thread_time() - began


def answer(reader: Any, command: dict[str, Any]) -> dict[str, Any]:
    """Do what the driver asks."""
    what, numbers = command["what"], command.get("numbers", [])
    if what == "check":
        kept = {name: value.tolist() for name, value in thin(reader.read(numbers[0])).items()}
        return {"row": kept, "bytes": reader.bytes}
    if what == "floors":
        return reader.floors(numbers)
    if what == "read":
        read_all(reader, numbers)  # untimed: what the disk and a process that slept cost is no part of it
        return {"ms": 1e3 * timed(lambda: read_all(reader, numbers)) / len(numbers)}
    began, seen = cpu(), 0
    for batch in reader.batches():
        seen += len(batch["image"] if isinstance(batch, dict) else batch.image)
    batch = None
    return {"ms": 1e3 * (cpu() - began) / seen}


def read_all(reader: Any, numbers: list[int]) -> None:
    """Read samples and let each go, as a loader does: memory for all of them would be new memory."""
    for number in numbers:
        reader.read(number)


def thin(row: Row) -> Row:
    """Keep every 16th pixel, for the comparison of outputs."""
    return {name: value[::16, ::16].astype(np.float64) for name, value in row.items()}


def main() -> None:
    """Serve commands until the input ends."""
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    talk, sys.stdout = sys.stdout, sys.stderr  # peers print
    reader = READERS[sys.argv[1]](Path(sys.argv[2]))
    for line in sys.stdin:
        talk.write(json.dumps(answer(reader, json.loads(line))) + "\n")
        talk.flush()


if __name__ == "__main__":
    main()
