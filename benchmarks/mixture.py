"""What it costs to say which sample comes next: depthmix, torch's samplers, numpy's permutation.

    make mixture-costs          (a minute on one core; writes .cache/mixture.json)

Each measurement runs in a process of its own. Build: CPU time and peak memory (of Python and numpy, by
tracemalloc in a run of its own, since it slows down what it watches) until the first index can be asked
for. Index: CPU time for one index over the first million, worked out in blocks as the sampler does. torch's
and numpy's orders are tables, so an index costs nothing once they are built. WeightedRandomSampler draws
with replacement, cannot say what comes at step n without drawing all before, and takes at most 2^24
samples.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

SOURCES, BATCH, ROUNDS = 50, 64, 5
ROOT = Path(__file__).parents[1]
WAYS = ("depthmix", "torch.RandomSampler", "torch.WeightedRandomSampler", "numpy.permutation")


def main() -> None:
    """Measure every way in its own process, print a table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "mixture.json")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)  # way, samples, what: of a child process
    options = parser.parse_args()
    if options.one:
        way, samples, what = options.one
        print(json.dumps(measure(way, int(samples), what)))
        return
    rows = []
    for samples in (10**7, 10**9):
        for way in WAYS:
            if way != "depthmix" and samples > 10**7:
                continue  # randperm of 10^9 needs 8 GB, the others more
            rows.append({"way": way, "samples": samples} | in_children(way, samples))
            print_row(rows[-1])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(
        json.dumps({"sources": SOURCES, "batch": BATCH, "rounds": ROUNDS, "rows": rows}, indent=1)
    )


def in_children(way: str, samples: int) -> dict[str, Any]:
    """Return the medians over fresh processes."""
    found: dict[str, list[Any]] = {}
    for what in ("time", "memory"):
        for _ in range(ROUNDS if what == "time" else 1):
            command = [sys.executable, __file__, "--one", way, str(samples), what]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                return {"failed": done.stderr.strip().splitlines()[-1]}
            for name, value in json.loads(done.stdout).items():
                found.setdefault(name, []).append(value)
    return {name: statistics.median(values) for name, values in found.items()}


def measure(way: str, samples: int, what: str) -> dict[str, float]:
    """Build one way and draw from it."""
    build, draw, count = PREPARED[way](samples)
    if what == "memory":
        tracemalloc.start()
        built = build()
        peak = tracemalloc.get_traced_memory()[1]
        del built
        return {"build_mb": peak / 1e6}
    began = time.process_time()
    built = build()
    ready = time.process_time()
    draw(built)
    return {"build_ms": 1e3 * (ready - began), "index_us": 1e6 * (time.process_time() - ready) / count}


def depthmix_way(samples: int) -> tuple[Any, Any, int]:
    """Build a plan over sources of very different sizes and draw as the sampler does."""
    from depthmix.mixture import BLOCK, MixturePlan

    sizes, weights = sources(samples)
    steps = 10**6 // BATCH

    def draw(plan: MixturePlan) -> None:
        block = BLOCK // BATCH
        for first in range(0, steps, block):
            plan.block(first, min(first + block, steps))

    return lambda: MixturePlan(sizes, weights, BATCH, seed=0), draw, steps * BATCH


def random_way(samples: int) -> tuple[Any, Any, int]:
    """Shuffle all samples, without weights; the iterator makes the permutation."""
    from torch.utils.data import RandomSampler

    def build() -> Any:
        iterator = iter(RandomSampler(range(samples)))
        next(iterator)
        return iterator

    return build, take_million, 10**6


def weighted_way(samples: int) -> tuple[Any, Any, int]:
    """Give each sample the weight of its source."""
    import torch
    from torch.utils.data import WeightedRandomSampler

    sizes, weights = sources(samples)

    def build() -> Any:
        each = torch.cat(
            [torch.full((size,), weights[name] / size, dtype=torch.double) for name, size in sizes.items()]
        )
        iterator = iter(WeightedRandomSampler(each, samples))  # type: ignore[arg-type]
        next(iterator)
        return iterator

    return build, take_million, 10**6


def numpy_way(samples: int) -> tuple[Any, Any, int]:
    """Shuffle all samples, without weights, and read the order block by block."""
    import numpy as np

    def draw(order: Any) -> None:
        for first in range(0, 10**6, BATCH):
            order[first : first + BATCH].tolist()

    return lambda: np.random.default_rng(0).permutation(samples), draw, 10**6


def take_million(iterator: Any) -> None:
    """Draw a million indices."""
    for _ in range(10**6):
        next(iterator)


def sources(samples: int) -> tuple[dict[str, int], dict[str, float]]:
    """Return 50 sources, the largest fifty times the smallest, with weights of one decimal."""
    parts = [number + 1 for number in range(SOURCES)]
    sizes = {f"s{number:02d}": samples * part // sum(parts) for number, part in enumerate(parts)}
    return sizes, {name: 0.1 * (1 + number % 7) for number, name in enumerate(sizes)}


def print_row(row: dict[str, Any]) -> None:
    """Print one line of the table."""
    if "failed" in row:
        print(f"{row['way']:30} {row['samples']:>13,} {row['failed']}")
        return
    figures = f"build {row['build_ms']:9.2f} ms {row['build_mb']:8.2f} MB   index {row['index_us']:6.3f} us"
    print(f"{row['way']:30} {row['samples']:>13,} {figures}")


PREPARED = {
    "depthmix": depthmix_way,
    "torch.RandomSampler": random_way,
    "torch.WeightedRandomSampler": weighted_way,
    "numpy.permutation": numpy_way,
}


if __name__ == "__main__":
    main()
