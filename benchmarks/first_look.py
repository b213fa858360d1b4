"""A first look at the claim: equal data, network, initial weights and steps, three ways of using the labels.

Recipes:
    quality_aware    the shipped terms: every label is used for what it is worth.
    ssi_everywhere   scale-shift-invariant terms on every depth label; its un-aligned depth uses one global
                     scale and shift of inverse depth, fitted on the metric validation sets.
    naive            everything taken as metric: web inverse depth v becomes depth c / max(v, 0.02), with one
                     factor c that gives it the median depth of the metric sources, and an invented camera.
    ramp             no training: inverse depth is a linear function of the image row, fitted on the metric
                     training labels.

Usage:
    python benchmarks/first_look.py                  # about an hour on two idle cores; finished runs are kept
    python benchmarks/first_look.py --net lite       # a pretrained encoder, frozen; longer
    python benchmarks/first_look.py --steps 60 --seeds 0 --preset tiny --folder /tmp/look   # a smoke test
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from small_runs import batches, train
from torch import Tensor, nn

from depthmix.augment import AugmentOptions
from depthmix.batch import Batch
from depthmix.cli.check import recipe as recipe_file
from depthmix.cli.check import term_from
from depthmix.cli.prepare import prepare_with_bar
from depthmix.cli.progress import bar
from depthmix.data import MixData, SourceSpec
from depthmix.metrics import DepthMetrics, EvaluationSet
from depthmix.models import LightDepthNet, LiteDepthNet
from depthmix.objective import Term
from depthmix.prediction import Prediction
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.scenes import PRESETS, make_demo_data
from depthmix.scenes.sets import EVALUATION, demo_sources
from depthmix.sources.base import Source
from depthmix.store import ShardSet
from depthmix.task import DepthTask
from depthmix.trained import neutral_camera

ROOT = Path(__file__).parents[1]
RECIPES = ("quality_aware", "ssi_everywhere", "naive")
NETS: dict[str, Callable[[], nn.Module]] = {
    "light": LightDepthNet,
    "lite": LiteDepthNet,  # EfficientNet-lite0 as ImageNet left it, frozen
    "lite_scratch": partial(LiteDepthNet, pretrained=None, frozen=False),
}
HEIGHT, WIDTH = 48, 64
STORED = (60, 80)
FOCAL = 60.0
BATCH, RATE = 16, 3e-3
SHOWN = ("abs_rel", "delta1", "silog", "planarity_rms", "planarity_angle", "normal_angle", "boundary_f1")


def main() -> None:
    """Make the data, train what is missing, print the table."""
    options = _options()
    prepared = options.folder / "prepared"
    if options.one:
        _run_one(options, prepared)
        return
    _make(options, prepared)
    wanted = [(recipe, seed) for seed in options.seeds for recipe in options.recipes]
    missing = [run for run in wanted if not _result(options, *run).exists()]
    print(f"{len(wanted)} runs, {len(missing)} to do", flush=True)
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda run: _spawn(options, *run), missing))
    _result(options, "ramp", 0).write_text(json.dumps(_ramp(prepared)))
    rows = list(_summary(options))
    (options.folder / f"first_look_{options.net}.json").write_text(
        json.dumps({"net": options.net, "steps": options.steps, "rows": rows}, indent=1)
    )
    with (options.folder / f"first_look_{options.net}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    _print(rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache" / "first_look")
    parser.add_argument("--preset", default="core")
    parser.add_argument("--steps", type=int, default=3200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, one thread each")
    parser.add_argument("--net", choices=list(NETS), default="light")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--one", nargs=2, metavar=("RECIPE", "SEED"), help=argparse.SUPPRESS)
    return parser.parse_args()


# --- data ---------------------------------------------------------------------------------------------------


def _make(options: argparse.Namespace, prepared: Path) -> None:
    raw = options.folder / "raw"
    with bar("render") as update:
        make_demo_data(raw, preset=PRESETS[options.preset], seed=7, workers=options.jobs, progress=update)
    oak = next((ROOT / ".cache").glob("stereodemo-*.whl"), None)
    sources = demo_sources(raw, oak)
    for source in sources:
        prepare_with_bar(source, prepared / source.name, size=STORED, workers=0, overwrite=True)
    factor = _web_factor(prepared)
    web = next(source for source in sources if source.name == "web")
    prepare_with_bar(
        TakenAsMetric(web, factor), prepared / "web_as_metric", size=STORED, workers=0, overwrite=True
    )


class TakenAsMetric(Source):
    """Read web stereo as if it were metric depth: what a careless mix does.

    Args:
        source: the relative source.
        factor: depth is `factor / v`.
    """

    def __init__(self, source: Source, factor: float) -> None:
        super().__init__(source.root, name="web_as_metric")
        self.source, self.factor = source, factor
        self.card = replace(
            source.card, kind=LabelKind.METRIC_DEPTH, quality=Quality.HIGH, unit="m (not true)"
        )

    def keys(self) -> Sequence[str]:
        """List the keys of the relative source."""
        return self.source.keys()

    def files(self, key: str) -> Sequence[Path]:
        """List the files of the relative source."""
        return self.source.files(key)

    def read(self, key: str) -> Sample:
        """Invert the label and invent a camera of 63 degrees, the middle of the rendered ones."""
        relative = self.source.read(key)
        height, width = relative.size
        focal = width / 2 / np.tan(np.radians(63) / 2)
        return relative.replaced(
            target=np.float32(self.factor) / np.maximum(relative.target, np.float32(0.02)),
            intrinsics=Intrinsics(focal, focal, (width - 1) / 2, (height - 1) / 2),
            quality=self.card.quality,
            kind=self.card.kind,
            source=self.name,
        )


def _web_factor(prepared: Path) -> float:
    depth = np.concatenate([_values(prepared / name) for name in ("kitti", "middlebury")])
    inverse = _values(prepared / "web")
    return float(np.median(depth) * np.median(inverse))


def _values(folder: Path) -> Float[np.ndarray, " n"]:
    # One median per image: a dense image must not outvote a sparse one.
    return np.array([np.median(sample.target[sample.valid]) for sample in ShardSet(folder)])


# --- one run ------------------------------------------------------------------------------------------------


def _result(options: argparse.Namespace, recipe: str, seed: int) -> Path:
    return options.folder / f"{recipe}-{seed}-{options.steps}-{_digest(options.net)}.json"


@cache
def _digest(net: str) -> str:
    """Tell runs of other settings apart, so that none of them passes for a finished one."""
    recipe = recipe_file("quality_aware").read_text()
    settings = (recipe, net, repr(NETS[net]()), (HEIGHT, WIDTH, BATCH, RATE))
    return sha256(repr(settings).encode()).hexdigest()[:8]


def _spawn(options: argparse.Namespace, recipe: str, seed: int) -> None:
    started = time.monotonic()
    command = [sys.executable, __file__, "--one", recipe, str(seed)]
    command += ["--folder", str(options.folder), "--steps", str(options.steps), "--preset", options.preset]
    command += ["--net", options.net]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{recipe} {seed} failed:\n{done.stderr[-3000:]}")
    print(f"{recipe} seed {seed}: {time.monotonic() - started:.0f} s", flush=True)


def _run_one(options: argparse.Namespace, prepared: Path) -> None:
    from lightning.pytorch import seed_everything

    recipe, seed = options.one[0], int(options.one[1])
    torch.set_num_threads(1)
    seed_everything(seed, verbose=False)
    terms, sources = _recipe(recipe)
    data = MixData(
        root=str(prepared),
        sources=sources,
        batch_size=BATCH,
        steps_per_epoch=options.steps,
        augment=AugmentOptions(height=HEIGHT, width=WIDTH),
        workers=0,
        seed=seed,
    )
    task = DepthTask(NETS[options.net](), terms, focal_canonical=FOCAL, learning_rate=RATE)
    seconds = train(task, data, options.folder)
    net = task.net.eval()
    rows = _evaluate(net, prepared, _calibration(net, prepared) if recipe == "ssi_everywhere" else None)
    result = _result(options, recipe, seed)
    torch.save(net.state_dict(), result.with_suffix(".pt"))
    result.write_text(json.dumps({"cpu_seconds": seconds, "rows": rows}))


def _recipe(name: str) -> tuple[dict[str, Term], dict[str, SourceSpec]]:
    import yaml

    shipped = yaml.safe_load(recipe_file("quality_aware").read_text())["model"]["terms"]
    wanted = {
        "quality_aware": list(shipped),
        "ssi_everywhere": ["ssi", "gradient"],
        "naive": ["metric"],
    }[name]
    terms = {term: term_from(shipped[term]) for term in wanted}
    depth = {"kitti": 1.0, "middlebury": 1.0, "web_as_metric" if name == "naive" else "web": 1.0}
    weights = depth | ({"planes": 0.25} if name == "quality_aware" else {})
    return terms, {source: SourceSpec(weight) for source, weight in weights.items()}


# --- evaluation ---------------------------------------------------------------------------------------------


def _batches(prepared: Path, name: str) -> Iterator[Batch]:
    return batches(prepared / name, (HEIGHT, WIDTH), rows=12)


def _camera(batch: Batch) -> Float[Tensor, "b 4"]:
    neutral = neutral_camera(*batch.image.shape[-2:], FOCAL)
    return batch.camera_or(neutral)


@torch.no_grad()
def _evaluate(
    net: nn.Module, prepared: Path, calibration: tuple[float, float] | None
) -> list[dict[str, object]]:
    metrics = DepthMetrics([EvaluationSet(name, "exact", "high", "METRIC_DEPTH") for name in EVALUATION])
    for group, name in enumerate(EVALUATION):
        for batch in _batches(prepared, name):
            y = net(batch.image_float)
            if calibration is not None:
                scale, shift = calibration
                y = -(scale * (-y).exp() + shift).clamp_min(1e-3).log()
            metrics.update(Prediction(y, _camera(batch), FOCAL), batch, group)
    return metrics.rows()


def _calibration(net: nn.Module, prepared: Path) -> tuple[float, float]:
    """Fit one scale and shift of inverse canonical depth over the metric validation sets."""
    return _fit_line(prepared, ("kitti_val", "middlebury_val"), lambda batch: (-net(batch.image_float)).exp())


@torch.no_grad()
def _fit_line(
    prepared: Path, names: Sequence[str], explain: Callable[[Batch], Float[Tensor, "b 1 h w"]]
) -> tuple[float, float]:
    """Fit inverse canonical depth as a scale and shift of `explain`, each image with the same weight."""
    pairs = []
    for name in names:
        for batch in _batches(prepared, name):
            canonical = batch.inverse_depth * (batch.intrinsics[:, 0] / FOCAL)[:, None, None, None]
            weight = batch.valid / batch.valid.flatten(1).sum(1)[:, None, None, None]
            pairs.append((explain(batch).flatten(), canonical.flatten(), weight.flatten()))
    x, target, weight = (torch.cat(column).double() for column in zip(*pairs, strict=True))
    return _weighted_line(x, target, weight)


def _weighted_line(x: Tensor, y: Tensor, weight: Tensor) -> tuple[float, float]:
    weight = weight / weight.sum()
    mean_x, mean_y = (weight * x).sum(), (weight * y).sum()
    scale = (weight * (x - mean_x) * (y - mean_y)).sum() / (weight * (x - mean_x).square()).sum()
    return scale.item(), (mean_y - scale * mean_x).item()


def _row_places(image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
    """Number the rows from 0 at the top to 1 at the bottom."""
    rows = torch.linspace(0, 1, image.shape[-2])[None, None, :, None]
    return rows.expand(len(image), 1, -1, image.shape[-1])


class Ramp(nn.Module):
    """Predict inverse canonical depth as a linear function of the image row, whatever the image.

    Args:
        scale: change from the top row (0) to the bottom row (1).
        shift: value at the top row.
    """

    def __init__(self, scale: float, shift: float) -> None:
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
        """Return log canonical depth."""
        return -(self.scale * _row_places(image) + self.shift).clamp_min(1e-3).log()


def _ramp(prepared: Path) -> dict[str, object]:
    line = _fit_line(prepared, ("kitti", "middlebury"), lambda batch: _row_places(batch.image))
    return {"cpu_seconds": 0.0, "rows": _evaluate(Ramp(*line), prepared, None)}


# --- table --------------------------------------------------------------------------------------------------


def _summary(options: argparse.Namespace) -> Iterator[dict[str, object]]:
    for recipe in (*options.recipes, "ramp"):
        seeds = [0] if recipe == "ramp" else options.seeds
        runs = [json.loads(_result(options, recipe, seed).read_text())["rows"] for seed in seeds]
        for rows in zip(*runs, strict=True):
            first = rows[0]
            line = {
                "recipe": recipe,
                "set": first["set"],
                "alignment": first["alignment"],
                "seeds": len(rows),
            }
            for name in SHOWN:
                values = [row[name] for row in rows if row[name] is not None]
                line[name] = statistics.mean(values) if values else None
                line[f"{name}_sd"] = statistics.stdev(values) if len(values) > 1 else None
            yield line


def _print(rows: Sequence[dict[str, object]]) -> None:
    print("| set | alignment | recipe | " + " | ".join(SHOWN) + " |")
    print("|" + "---|" * (3 + len(SHOWN)))
    order = sorted(rows, key=lambda row: (EVALUATION.index(str(row["set"])), str(row["alignment"]) != "none"))
    for row in order:
        cells = [_cell(row[name], row[f"{name}_sd"]) for name in SHOWN]
        print(f"| {row['set']} | {row['alignment']} | {row['recipe']} | " + " | ".join(cells) + " |")


def _cell(mean: object, deviation: object) -> str:
    if not isinstance(mean, float):
        return "-"
    return f"{mean:.3f}" + (f" ± {deviation:.3f}" if isinstance(deviation, float) else "")


if __name__ == "__main__":
    main()
