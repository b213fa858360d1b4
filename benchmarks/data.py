"""What it costs to bring samples from the disk into batches: depthmix, files, h5py and four loaders.

    make data-costs          (ten minutes on two cores; writes .cache/data.json)

600 samples of 640 x 480 (photos with made-up rooms, see data_corpus.py) are stored by all in their own way,
with the same JPEG bytes. Each way runs in a process of its own and delivers the same window of 384 x 384;
outputs are compared first. Times are CPU times, ways take turns in rotating order, and figures are medians
over rounds, so other work on the machine disturbs all alike. Samples that are read are read once before,
untimed, so that they come from memory. An epoch counts everything that two workers and the main process
compute, divided by the samples. litData, MosaicML streaming, WebDataset and Hugging Face datasets live in an
environment of their own (.cache/peers); what is missing there is left out and said.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from data_corpus import load_photos, sample, write_corpus
from data_readers import SAMPLES

ROOT = Path(__file__).parents[1]
READS = 60
READING = ("depthmix", "files + OpenCV", "files + kornia_rs", "h5py vlen + gzip")
PEERS = ("litData", "MosaicML MDS", "WebDataset", "HF datasets")
MEASURED = ("read", "epoch", "floor", "floor_window", "beside")
FLOORS = {
    "beside": "  in turns with its codecs",
    "floor": "  its codecs, whole samples",
    "floor_window": "  its codecs, of the window",
}
FLOATS = ("litData, float32 image", "WebDataset, float32 image")
HANDING = ("ring", "dict, uint8 image", "dict, float32 image")


class Way:
    """Hold the process of one way to read.

    Args:
        name: of the way.
        python: interpreter of its environment.
        corpus: folder of the samples.
    """

    def __init__(self, name: str, python: Path, corpus: Path) -> None:
        self.name, self.times = name, {what: [] for what in MEASURED}  # type: dict[str, list[float]]
        command = [str(python), str(Path(__file__).with_name("data_readers.py")), name, str(corpus)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(command, text=True, stderr=self.errors, **pipes)

    def ask(self, what: str, numbers: list[int] | None = None) -> dict[str, Any]:
        """Return the answer to one command.

        Raises:
            RuntimeError: the process ended.
        """
        self.process.stdin.write(json.dumps({"what": what, "numbers": numbers or []}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise RuntimeError(self.errors.read().strip().splitlines()[-1:])
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def main() -> None:
    """Measure all ways, print tables and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "data.json")
    parser.add_argument("--corpus", type=Path, default=ROOT / ".cache" / "data-costs")
    parser.add_argument("--peers", type=Path, default=ROOT / ".cache" / "peers" / "bin" / "python")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("read", "epoch", "hand-over"), help="measure just this")
    options = parser.parse_args()
    write_corpus(options.corpus)
    ways, missing = start(options)
    for way in ways:
        check(ways[0], way)
    read = [way for way in ways if way.name in READING + PEERS]
    if options.only in (None, "read"):
        take_turns(read, "read", options.rounds)
    if options.only in (None, "epoch"):
        take_turns([way for way in ways if way.name not in HANDING], "epoch", options.rounds)
    if options.only in (None, "hand-over"):
        take_turns([way for way in ways if way.name in HANDING], "epoch", options.rounds)
    for way in ways:
        way.close()
    rows = [row_of(way) for way in ways]
    goals = goals_of({row["way"]: row for row in rows}, prepare_share())
    print_tables(rows, goals, missing)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    found = {"samples": SAMPLES, "rounds": options.rounds, "rows": rows, "goals": goals, "missing": missing}
    options.out.write_text(json.dumps(found, indent=1))


def start(options: argparse.Namespace) -> tuple[list[Way], dict[str, str]]:
    """Start the process of every way and let it read once; say which did not start, and why."""
    ways, missing = [], {}
    for name in (*READING, *PEERS, *FLOATS, *HANDING):
        python = options.peers if name in PEERS + FLOATS else Path(sys.executable)
        try:
            way = Way(name, python, options.corpus)
            way.ask("read", numbers(0)[:10])
            ways.append(way)
        except (OSError, RuntimeError) as error:
            missing[name] = str(error)
    return ways, missing


def numbers(turn: int) -> list[int]:
    """Return the samples that all ways read in a turn."""
    return [(turn * 97 + k * 61) % SAMPLES for k in range(READS)]


def check(first: Way, way: Way) -> None:
    """Compare what two ways deliver: equal pixels, depth within a millimetre's rounding and half a code.

    Raises:
        SystemExit: they differ.
    """
    import numpy as np

    if way.name in HANDING + FLOATS or way.name == "WebDataset":  # the same decoder, read in another order
        way.bytes = way.ask("check", [0])["bytes"]
        return
    for number in (0, 7, 311):
        answer, expected = way.ask("check", [number]), first.ask("check", [number])["row"]
        way.bytes = answer["bytes"]
        for name, value in answer["row"].items():
            error = np.abs(np.array(value) - np.array(expected[name]))
            # OpenCV's own libjpeg may round other than kornia_rs's.
            depth = 0.000501 + 6.3e-5 * np.array(expected["depth"])
            if (error > {"image": 2, "depth": depth, "valid": 0, "planes": 0}[name]).any():
                raise SystemExit(f"{way.name}: {name} of sample {number} differs by {error.max()}")


def take_turns(ways: list[Way], what: str, rounds: int) -> None:
    """Let all ways do the same, each round in another order."""
    for turn in range(rounds):
        for k in range(len(ways)):
            way = ways[(turn + k) % len(ways)]
            way.times[what].append(way.ask(what, numbers(turn))["ms"])
            if what == "read" and way.name == "depthmix":
                for name, ms in way.ask("floors", numbers(turn)).items():
                    way.times[name].append(ms)
            print(f"{what} {turn + 1}/{rounds}  {way.name}: {way.times[what][-1]:.2f} ms", file=sys.stderr)


def row_of(way: Way) -> dict[str, Any]:
    """Return the medians of a way, and each round."""
    medians = {f"{what}_ms": statistics.median(times) for what, times in way.times.items() if times}
    return {"way": way.name, "mb": way.bytes / 1e6, **medians, "rounds": way.times}


def ratio(rows: dict[str, Any], slow: str, fast: str, what: str, other: str = "") -> float | None:
    """Return the median over rounds of how many times more CPU `slow` takes than `fast`."""
    if slow not in rows or fast not in rows:
        return None
    pairs = zip(rows[slow]["rounds"][what], rows[fast]["rounds"][other or what], strict=True)
    ratios = [a / b for a, b in pairs]
    return statistics.median(ratios) if ratios else None


def goals_of(rows: dict[str, Any], prepared: float) -> list[dict[str, Any]]:
    """Return every goal with what was found."""
    against = {name: ratio(rows, name, "depthmix", "read") for name in (*READING, *PEERS)}
    epochs = {name: ratio(rows, name, "depthmix", "epoch") for name in ("litData", "WebDataset", *FLOATS)}
    handing = {name: ratio(rows, name, "ring", "epoch") for name in HANDING[1:]}
    size = rows["depthmix"]["mb"] / rows["files + OpenCV"]["mb"]
    floor, window = (ratio(rows, "depthmix", "depthmix", "beside", of) for of in ("floor", "floor_window"))
    kornia = "files + kornia_rs"
    goals = [
        ("read + decode, times the codecs alone", "at most", 1.15, floor),
        ("the same, codecs of the window only", "at most", 1.15, window),
        *[(f"read + decode, {name}", "at least", 3.5, against[name]) for name in PEERS if name[0] != "W"],
        (f"read + decode, {kornia}", "at least", 2.5, against[kornia]),
        ("bytes, times JPEG + PNG", "at most", 1.5, size),
        *[(f"epoch, {name}", "at least", 4.5, found) for name, found in epochs.items()],
        *[(f"hand-over, {name}", "at least", 6.0, found) for name, found in handing.items()],
        ("prepare, part of its time that its codecs take", "at least", 0.9, prepared),
    ]
    return [
        {"goal": goal, "sense": sense, "limit": limit, "found": found, "met": met(sense, limit, found)}
        for goal, sense, limit, found in goals
    ]


def met(sense: str, limit: float, found: float | None) -> bool | None:
    """Tell whether a goal was met; None where nothing was measured."""
    if found is None:
        return None
    return found <= limit if sense == "at most" else found >= limit


def prepare_share() -> float:
    """Return which part of the CPU time of `prepare` goes into encoding, the median of three runs."""
    from depthmix.prepare import prepare
    from depthmix.sample import LabelKind, Quality
    from depthmix.sources.base import Source, SourceCard
    from depthmix.store import CodecOptions
    from depthmix.store.codec import encode_fields
    from depthmix.workers import keep_memory

    keep_memory()  # as the command does
    photos = load_photos()
    samples = {one.key: one for one in (sample(photos, number) for number in range(40))}

    class InMemory(Source):
        card = SourceCard("synthetic", Quality.HIGH, LabelKind.METRIC_DEPTH, "m", "dense", "", "CC0-1.0", "")

        def keys(self) -> list[str]:
            return sorted(samples)

        def files(self, key: str) -> list[Path]:
            return [self.root / "raw"]

        def read(self, key: str) -> Any:
            return samples[key]

    shares = []
    with tempfile.TemporaryDirectory() as raw, tempfile.TemporaryDirectory() as out:
        (Path(raw) / "raw").touch()
        for turn in range(3):
            began = time.process_time()
            for one in samples.values():
                encode_fields(one, CodecOptions())
            middle = time.process_time()
            prepare(InMemory(raw, name="rooms"), Path(out) / str(turn))
            shares.append((middle - began) / (time.process_time() - middle))
    return statistics.median(shares)


def print_tables(rows: list[dict[str, Any]], goals: list[dict[str, Any]], missing: dict[str, str]) -> None:
    """Print what each way costs and which goals were met."""
    print(f"{'CPU ms a sample':30} {'MB':>6} {'read + decode':>14} {'epoch, 2 workers':>17}")
    for row in rows:
        cells = [f"{row[name]:.2f}" if name in row else "" for name in ("read_ms", "epoch_ms")]
        print(f"{row['way']:30} {row['mb']:6.0f} {cells[0]:>14} {cells[1]:>17}")
        for name, said in FLOORS.items():
            if f"{name}_ms" in row:
                print(f"{said:30} {'':6} {row[f'{name}_ms']:14.2f}")
    for name, reason in missing.items():
        print(f"{name:30} not measured: {reason}")
    for goal in goals:
        found = "not measured" if goal["found"] is None else f"{goal['found']:.2f}"
        verdict = {True: "met", False: "MISSED", None: ""}[goal["met"]]
        print(f"{goal['goal']:50} {goal['sense']} {goal['limit']:<5} {found:>12} {verdict}")


if __name__ == "__main__":
    main()
