"""What the networks cost: parameters, and CPU time for an image.

    make network-costs          (some minutes on one core; writes .cache/networks.json)

One thread, one image at a time, as in a prediction: eval mode, no gradients, random weights (the time does
not depend on them). The networks take turns round by round, so that whatever else the machine does falls on
all of them; the time is that of the process, and the median of the rounds is shown beside the ratio to the
first network in the same rounds. `--folder RUN` adds the network of a run folder. Where `make bench` has left
its table (`.cache/bench/recipes-core-48x64-NET-test.json`), AbsRel of the recipe quality_aware on its exact
test sets is put beside it: those of `light` and of `lite0`, which were trained there on small images.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from depthmix.checkpoints import newest_checkpoint
from depthmix.models import LightDepthNet, LiteDepthNet
from depthmix.trained import load_trained

ROOT = Path(__file__).parents[1]
SIZES = ((384, 384), (96, 128))
NETS: dict[str, Callable[[], nn.Module]] = {
    "light": LightDepthNet,
    "lite0": partial(LiteDepthNet, pretrained=None, size="lite0"),
    "lite1": partial(LiteDepthNet, pretrained=None, size="lite1"),
    "lite2": partial(LiteDepthNet, pretrained=None, size="lite2"),
}
TRAINED = {"light": "light", "lite0": "lite"}  # the names of `depthmix bench recipes --net`


def main() -> None:
    """Measure every network at every size, print a table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, action="append", default=[], help="a run folder, repeatable")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--bench", type=Path, default=ROOT / ".cache" / "bench")
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "networks.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    nets = {name: make().eval() for name, make in NETS.items()} | dict(map(trained, options.folder))
    rows = list(measured(nets, options.rounds))
    for row in rows:
        row["abs_rel"] = bench(options.bench, str(row["net"]))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    facts = {"torch": torch.__version__, "threads": 1, "batch": 1, "rounds": options.rounds}
    options.out.write_text(json.dumps(facts | {"rows": rows}, indent=1))
    show(rows)


def trained(folder: Path) -> tuple[str, nn.Module]:
    """Load the network of a run folder, named after it."""
    checkpoint = newest_checkpoint(folder)
    if checkpoint is None:
        raise SystemExit(f"{folder}: no checkpoint")
    return folder.name, load_trained(checkpoint).net


@torch.no_grad()
def measured(nets: dict[str, nn.Module], rounds: int) -> Iterator[dict[str, Any]]:
    """Time the networks in turns, at each size."""
    seconds: dict[tuple[str, tuple[int, int]], list[float]] = {}
    for turn in range(rounds + 2):  # two to warm up
        for size in SIZES:
            for name, net in nets.items():
                image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(turn))
                begun = time.process_time()
                net(image)
                seconds.setdefault((name, size), []).append(time.process_time() - begun)
    first = next(iter(nets))
    for name, net in nets.items():
        row: dict[str, Any] = {"net": name, "parameters": sum(p.numel() for p in net.parameters())}
        for size in SIZES:
            found, compared = (seconds[which, size][2:] for which in (name, first))
            ratios = [ours / theirs for ours, theirs in zip(found, compared, strict=True)]
            row[f"ms_{size[0]}x{size[1]}"] = 1e3 * statistics.median(found)
            row[f"ratio_{size[0]}x{size[1]}"] = statistics.median(ratios)
        yield row


def bench(folder: Path, name: str) -> dict[str, float]:
    """Return AbsRel of quality_aware on each test set, un-aligned, from the table of `make bench`."""
    file = folder / f"recipes-core-48x64-{TRAINED.get(name)}-test.json"
    if not file.is_file():
        return {}
    rows = json.loads(file.read_text())["rows"]
    wanted = [row for row in rows if row["recipe"] == "quality_aware" and row["alignment"] == "none"]
    return {row["set"]: row["abs_rel"] for row in wanted if row["abs_rel"] is not None}


def show(rows: list[dict[str, Any]]) -> None:
    """Print the table as Markdown."""
    sets = sorted({name for row in rows for name in row["abs_rel"]})
    sizes = [f"{height}x{width}" for height, width in SIZES]
    heads = ["network", "parameters", *(f"{size}: ms (ratio)" for size in sizes)]
    heads += [f"AbsRel, {name}" for name in sets]
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for row in rows:
        times = [f"{row[f'ms_{size}']:.1f} ({row[f'ratio_{size}']:.2f})" for size in sizes]
        errors = [f"{row['abs_rel'][name]:.3f}" if name in row["abs_rel"] else "-" for name in sets]
        print("| " + " | ".join([row["net"], f"{row['parameters'] / 1e6:.2f} M", *times, *errors]) + " |")


if __name__ == "__main__":
    main()
