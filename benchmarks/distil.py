"""Does a student of 0.3 M parameters gain from a teacher's labels on photos without labels?

Everything is rendered here: a small labelled corpus (web stereo, LiDAR, calibrated stereo, planes), photos of
many other scenes whose labels are never read, and exact test scenes, which no choice was made on (`--on val`
is what choices are made on).

Runs:
    teacher      LiteDepthNet on an ImageNet encoder, the recipe quality_aware on the labelled corpus; once.
    student      the network of the recipe distill and its terms on the labelled corpus alone.
    distilled    the recipe distill whole: the same and the teacher's labels on the photos, equal steps.
    unperturbed  the same without the perturbation of the photos.

The table shows AbsRel, mean and standard deviation over seeds, and in how many seeds it is below `student`.

Usage:
    python benchmarks/distil.py                 # about thirty CPU minutes on one core; finished runs are kept
    python benchmarks/distil.py --on val        # the same runs on the validation sets, or the training ones
    python benchmarks/distil.py --labelled 100 --steps 400   # more labels, fewer steps
    python benchmarks/distil.py --steps 20 --seeds 0 --small --folder /tmp/distil   # a smoke test
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
import yaml
from small_runs import batches, train
from torch import nn

from depthmix.augment import AugmentOptions
from depthmix.cli.prepare import prepare_with_bar
from depthmix.cli.progress import bar
from depthmix.configured import recipe, term_from
from depthmix.data import MixData, SourceSpec
from depthmix.device_augment import DeviceAugmentOptions
from depthmix.metrics import DepthMetrics, EvaluationSet
from depthmix.models import LightDepthNet, LiteDepthNet
from depthmix.predict import predict_image, write_prediction
from depthmix.prediction import Prediction
from depthmix.sample import Sample
from depthmix.scenes import Preset, make_demo_data
from depthmix.scenes.plan import FAMILIES
from depthmix.scenes.sets import demo_sources
from depthmix.sources import KittiLidar, MiddleburyStereo, PlaneInstances, PseudoLabelSource
from depthmix.sources.base import Source
from depthmix.task import DepthTask
from depthmix.trained import Trained, neutral_camera

ROOT = Path(__file__).parents[1]
PHOTOS = Preset("distil_photos", train=240, val=0, evaluation=0, height=96, width=128)
SIZE, STORED, FOCAL = (48, 64), (60, 80), 60.0
BATCH, RATE = 16, 3e-3
SETS = {"test": FAMILIES, "val": ("kitti_val", "middlebury_val"), "train": ("kitti", "middlebury")}
RUNS = ("student", "distilled", "unperturbed")


def main() -> None:
    """Make what is missing, print the table and write it as JSON."""
    options = _options()
    torch.set_num_threads(1)
    if options.one:
        _student(options, options.one[0], int(options.one[1]), _place(options) / "prepared")
        return
    prepared = _labelled(options)
    teacher = _teacher(options, prepared)
    _photos(options, teacher, prepared)
    wanted = [(run, seed) for seed in options.seeds for run in RUNS]
    with ThreadPoolExecutor(options.jobs) as pool:
        missing = [run for run in wanted if not _weights(options, *run).exists()]
        list(pool.map(lambda run: _spawn(options, *run), missing))
    found: dict[str, list[dict[str, Any]]] = {
        "teacher": [_measured(options, "teacher", 0, teacher, prepared)]
    }
    for run, seed in wanted:  # trained by now
        net = _student(options, run, seed, prepared)
        found.setdefault(run, []).append(_measured(options, run, seed, net, prepared))
    rows = list(_table(found))
    counted = {run: _size(net) for run, net in (("teacher", LiteDepthNet(None)), ("student", _network()))}
    record = {"steps": options.steps, "teacher_steps": options.teacher_steps, "seeds": options.seeds}
    record |= {"labelled": options.labelled, "on": options.on, "parameters": counted}
    record |= {"rows": rows, "runs": found}
    (_place(options) / f"distil_{options.on}_{options.steps}.json").write_text(json.dumps(record, indent=1))
    _print(rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache" / "distil")
    parser.add_argument("--labelled", type=int, default=25, help="training images of each labelled set")
    parser.add_argument("--steps", type=int, default=1200, help="of each student")
    parser.add_argument("--teacher-steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--on", choices=list(SETS), default="test")
    parser.add_argument("--jobs", type=int, default=1, help="students side by side, one thread each")
    parser.add_argument("--small", action="store_true", help="few images")
    parser.add_argument("--one", nargs=2, metavar=("RUN", "SEED"), help=argparse.SUPPRESS)
    return parser.parse_args()


# --- data ---------------------------------------------------------------------------------------------------


def _place(options: argparse.Namespace) -> Path:
    """Return the folder of what depends on the labelled sets."""
    return Path(options.folder / f"labelled-{options.labelled}")


def _preset(options: argparse.Namespace) -> Preset:
    return Preset("distil", train=options.labelled, val=24, evaluation=40, height=96, width=128)


def _labelled(options: argparse.Namespace) -> Path:
    raw, prepared = _place(options) / "raw", _place(options) / "prepared"
    _render(raw, _preset(options), 7, options.small)
    for source in demo_sources(raw, None):
        prepare_with_bar(source, prepared / source.name, size=STORED, workers=0, overwrite=True)
    return prepared


def _render(raw: Path, preset: Preset, seed: int, small: bool) -> None:
    if small:
        preset = Preset(f"{preset.name}_small", 2, min(preset.val, 2), min(preset.evaluation, 2), 96, 128)
    with bar("render") as update:
        make_demo_data(raw, preset=preset, seed=seed, workers=0, progress=update)


def _photos(options: argparse.Namespace, teacher: nn.Module, prepared: Path) -> None:
    """Write photos of other scenes, their cameras and the teacher's predictions, and prepare them."""
    raw, folder = options.folder / "raw_photos", _place(options) / "photos"
    _render(raw, PHOTOS, 8, options.small)
    trained = Trained(teacher, FOCAL, metric=True, height=SIZE[0], width=SIZE[1], sources={})
    if not (folder / "done").exists():
        for source in _with_cameras(raw):
            for sample in source:
                _photo(folder, f"{source.name}_{sample.key.replace('/', '_')}", sample, trained)
        (folder / "done").touch()
    source = PseudoLabelSource(folder, teacher="LiteDepthNet", images="images/*.png", camera="cameras/*.json")
    prepare_with_bar(source, prepared / source.name, size=STORED, workers=0, overwrite=True)


def _with_cameras(raw: Path) -> list[Source]:
    """Open the sets whose images serve as photos; what they know besides image and camera is not read."""
    return [
        KittiLidar(raw / "kitti", name="kitti"),
        MiddleburyStereo(raw / "middlebury" / "train", name="middlebury"),
        PlaneInstances(raw / "planes" / "train", name="planes"),
    ]


def _photo(folder: Path, name: str, sample: Sample, trained: Trained) -> None:
    import cv2

    for part in ("images", "cameras"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "images" / f"{name}.png"), sample.image[..., ::-1])
    camera = sample.intrinsics
    stated = {axis: getattr(camera, axis) for axis in ("fx", "fy", "cx", "cy")}
    (folder / "cameras" / f"{name}.json").write_text(json.dumps(stated))
    predicted = predict_image(trained, sample.image, camera, flip=True)
    write_prediction(predicted, sample.image, camera, folder / "predictions", name, ["npy"])


# --- trainings ----------------------------------------------------------------------------------------------


def _network() -> LightDepthNet:
    return LightDepthNet(**_read("distill")["model"]["net"]["init_args"])


def _read(name: str) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(recipe(name).read_text())
    return values


def _recipe(run: str) -> dict[str, Any]:
    """Return the configuration of a run: a shipped recipe, less the sources that are not there."""
    values = _read("quality_aware" if run == "teacher" else "distill")
    if run == "teacher":
        del values["data"]["sources"]["oak"]
    if run == "student":
        del values["data"]["sources"]["pseudo"], values["model"]["terms"]["teacher"]
    if run == "unperturbed":
        del values["data"]["sources"]["pseudo"]["device_augment"]
    return values


def _weights(options: argparse.Namespace, run: str, seed: int) -> Path:
    """Name the file of a trained network by everything that it depends on."""
    net, steps = (
        (LiteDepthNet(None), options.teacher_steps) if run == "teacher" else (_network(), options.steps)
    )
    data = (SIZE, STORED, _preset(options), PHOTOS, options.small)
    settings = (_recipe(run), repr(net), steps, BATCH, RATE, *data)
    return _place(options) / f"{run}-{seed}-{sha256(repr(settings).encode()).hexdigest()[:8]}.pt"


def _teacher(options: argparse.Namespace, prepared: Path) -> nn.Module:
    return _trained(options, "teacher", 0, LiteDepthNet(), options.teacher_steps, prepared)


def _student(options: argparse.Namespace, run: str, seed: int, prepared: Path) -> nn.Module:
    from lightning.pytorch import seed_everything

    seed_everything(seed, verbose=False)
    return _trained(options, run, seed, _network(), options.steps, prepared)


def _spawn(options: argparse.Namespace, run: str, seed: int) -> None:
    """Train one student in a process of its own."""
    command = [sys.executable, __file__, "--one", run, str(seed), "--folder", str(options.folder)]
    command += ["--labelled", str(options.labelled), "--steps", str(options.steps)]
    command += ["--small"] * options.small
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{run} {seed} failed:\n{done.stderr[-3000:]}")
    print(done.stdout, end="", flush=True)


def _trained(
    options: argparse.Namespace, run: str, seed: int, net: nn.Module, steps: int, prepared: Path
) -> nn.Module:
    """Train a network, or load what an earlier call with the same settings trained."""
    from lightning.pytorch import seed_everything

    file, values = _weights(options, run, seed), _recipe(run)
    if file.exists():
        net.load_state_dict(torch.load(file, weights_only=True))
        return net.eval()
    seed_everything(seed, verbose=False)
    data = MixData(
        root=str(prepared),
        sources={name: _spec(**spec) for name, spec in values["data"]["sources"].items()},
        batch_size=BATCH,
        steps_per_epoch=steps,
        augment=AugmentOptions(height=SIZE[0], width=SIZE[1]),
        workers=0,
        seed=seed,
    )
    terms = {name: term_from(term) for name, term in values["model"]["terms"].items()}
    task = DepthTask(net, terms, focal_canonical=FOCAL, learning_rate=RATE)
    seconds = train(task, data, options.folder)
    torch.save(net.state_dict(), file)
    print(f"{run} seed {seed}: {seconds:.0f} CPU seconds", flush=True)
    return net.eval()


def _spec(weight: float, device_augment: Mapping[str, float] | None = None) -> SourceSpec:
    varied = None if device_augment is None else DeviceAugmentOptions(**device_augment)
    return SourceSpec(weight, device_augment=varied)


def _size(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


# --- evaluation ---------------------------------------------------------------------------------------------


@torch.no_grad()
def _measured(
    options: argparse.Namespace, run: str, seed: int, net: nn.Module, prepared: Path
) -> dict[str, Any]:
    """Return AbsRel and delta1 of every set, as predicted and after affine alignment of inverse depth."""
    names = SETS[options.on]
    metrics = DepthMetrics([EvaluationSet(name, "rendered", "high", "METRIC_DEPTH") for name in names])
    for group, name in enumerate(names):
        for batch in batches(prepared / name, SIZE, BATCH):
            cameras = batch.camera_or(neutral_camera(*SIZE, FOCAL))
            metrics.update(Prediction(net(batch.image_float), cameras, FOCAL), batch, group)
    kept = ("set", "alignment", "abs_rel", "delta1")
    return {"run": run, "seed": seed, "rows": [{k: row[k] for k in kept} for row in metrics.rows()]}


def _table(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Give each set and alignment, and the mean of the sets, with the figures of all seeds."""
    first = found["teacher"][0]["rows"]
    sets = list(dict.fromkeys(row["set"] for row in first))
    for alignment in dict.fromkeys(row["alignment"] for row in first):
        for name in [*sets, "mean"]:
            members = sets if name == "mean" else [name]
            line: dict[str, Any] = {"set": name, "alignment": alignment}
            for run, results in found.items():
                line[run] = [
                    statistics.mean(
                        row["abs_rel"]
                        for row in result["rows"]
                        if row["set"] in members and row["alignment"] == alignment
                    )
                    for result in results
                ]
            line["better"] = {
                run: sum(own < alone for alone, own in zip(line["student"], line[run], strict=True))
                for run in RUNS[1:]
            }
            yield line


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    print("| set | alignment | student | distilled | unperturbed | teacher |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        cells = [_cell(row["student"])]
        cells += [f"{_cell(row[run])} ({row['better'][run]} of {len(row[run])})" for run in RUNS[1:]]
        name = "**mean**" if row["set"] == "mean" else row["set"]
        print(f"| {name} | {row['alignment']} | {' | '.join(cells)} | {_cell(row['teacher'])} |")


def _cell(values: Sequence[float]) -> str:
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


if __name__ == "__main__":
    main()
