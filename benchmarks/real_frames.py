"""Measure the networks of finished benchmark runs on real frames: a small cross-check of direction, no table.

    depthmix prepare NyuSync nyu real --name nyu_frames --size 60x80
    python benchmarks/real_frames.py .cache/bench/runs real/nyu_frames

Every metric set that `depthmix prepare` wrote is measured by every run with the wanted network and steps, at
the size of its training. The frames take no part in training, calibration or any choice. A few frames say
whether rendered scenes point into the same direction as photographs, not how far.
"""

import argparse
import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch

from depthmix.bench.measuring import ALIGNMENTS, image_rows, mean_of
from depthmix.bench.one import Run, load_network
from depthmix.bench.results import cell
from depthmix.bench.settings import Settings

METRIC = "abs_rel"


def main() -> None:
    """Measure all runs on all sets, print a table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", type=Path, help="folder of the runs of `depthmix bench recipes`")
    parser.add_argument("sets", type=Path, nargs="+", help="prepared metric sets")
    parser.add_argument("--preset", default="core", help="corpus that the networks were trained on")
    parser.add_argument("--net", default="lite")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--recipes", nargs="+", help="names of recipes (default: all)")
    parser.add_argument("--out", type=Path, default=Path(".cache/real-frames.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    wanted = {name: getattr(options, name) for name in ("preset", "net", "steps")}
    runs = find_runs(options.runs, wanted, options.recipes)
    if not runs:
        sys.exit(f"{options.runs}: no finished run of {', '.join(f'{k} {v}' for k, v in wanted.items())}")
    rows = [row for run in runs for row in measure_run(run, options.sets)]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print_table(rows)


def find_runs(folder: Path, wanted: dict[str, Any], recipes: list[str] | None) -> list[Run]:
    """Return the finished runs whose settings are the wanted ones, sorted by recipe and seed."""
    found = []
    for file in folder.glob("*/run.json"):
        facts = json.loads(file.read_text(encoding="utf-8"))
        settings = Settings(**facts["settings"])
        fits = all(getattr(settings, name) == value for name, value in wanted.items())
        if fits and (recipes is None or facts["recipe"] in recipes):
            values, seed = facts.get("values", {}), facts["seed"]
            found.append(Run(facts["recipe"], values, seed, settings, folder, file.parent, "", "test"))
    return sorted(found, key=lambda run: (run.recipe, run.seed))


def measure_run(run: Run, sets: list[Path]) -> list[dict[str, Any]]:
    """Return one row per set and alignment: the mean of a metric over the frames."""
    net, rows = load_network(run), []
    for folder in sets:
        images = image_rows(net, folder.parent, [folder.name], run.settings)
        for alignment in ALIGNMENTS:
            facts = {"recipe": run.recipe, "seed": run.seed, "set": folder.name, "alignment": alignment}
            rows.append(
                {
                    **facts,
                    "frames": len(images) // len(ALIGNMENTS),
                    METRIC: mean_of(images, METRIC, alignment),
                }
            )
    return rows


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print the mean and deviation over seeds of every set and alignment, a line for each recipe."""
    frames = {row["set"]: row["frames"] for row in rows}
    for name, count in frames.items():
        print(f"\n{name}, {count} frames: {METRIC}\n\n| recipe | seeds | {' | '.join(ALIGNMENTS)} |")
        print("|---|---|" + "---|" * len(ALIGNMENTS))
        by_recipe: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for row in rows:
            if row["set"] == name and row[METRIC] is not None:
                by_recipe[row["recipe"]][row["alignment"]].append(row[METRIC])
        for recipe, values in by_recipe.items():
            cells = [spread(values[alignment]) for alignment in ALIGNMENTS]
            print(f"| {recipe} | {len(values[ALIGNMENTS[0]])} | {' | '.join(cells)} |")


def spread(values: list[float]) -> str:
    """Write a mean with its standard deviation over seeds."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return cell(statistics.mean(values) if values else None, deviation)


if __name__ == "__main__":
    main()
