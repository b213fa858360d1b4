"""Does varying images (colour, blur, noise, compression, focal length) make their source harder to read?

A small corpus is rendered (web stereo, LiDAR, calibrated stereo, planes). Its sources look alike on purpose,
so there is a second form of it in which they do not: web pictures are compressed hard, LiDAR pictures half
grey, those of calibrated stereo warm. A small network is trained with the terms of the recipe quality_aware,
on the second form once as it is and once with strong variation on the device. Then a linear probe asks for
the source of each image, as the command does, of plain images and of varied ones.

Usage:
    python benchmarks/probe.py                  # about five CPU minutes on one core
    python benchmarks/probe.py --steps 5 --seeds 0 --images 6 --folder /tmp/probe   # a smoke test
"""

import argparse
import json
import statistics
from pathlib import Path

import cv2
import numpy as np
import torch
import yaml
from small_runs import train
from torch import nn

from depthmix.augment import AugmentOptions, resize
from depthmix.batch import collate
from depthmix.bench.corpus import ChangedSource
from depthmix.cli.prepare import prepare_with_bar
from depthmix.cli.progress import bar
from depthmix.configured import recipe, term_from
from depthmix.data import MixData, SourceSpec
from depthmix.device_augment import OFF, DeviceAugment, DeviceAugmentOptions
from depthmix.models import LightDepthNet
from depthmix.probe import probe_sources
from depthmix.sample import Sample
from depthmix.scenes import Preset, make_demo_data
from depthmix.scenes.plan import TRAINING
from depthmix.scenes.sets import demo_sources
from depthmix.store import ShardSet
from depthmix.task import DepthTask
from depthmix.trained import Trained

ROOT = Path(__file__).parents[1]
SIZE, STORED, FOCAL = (48, 64), (60, 80), 60.0
VARIED = DeviceAugmentOptions(
    brightness=0.4,
    contrast=0.4,
    saturation=0.5,
    hue=0.1,
    gamma=0.4,
    blur=1.0,
    noise=0.03,
    jpeg=0.7,
    scale=1.5,
)
VARIATIONS = {"plain": OFF, "varied": VARIED}
RUNS = (("alike", "plain"), ("marked", "plain"), ("marked", "varied"))  # form of the corpus, training


def main() -> None:
    """Make the data, train, probe, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache" / "probe")
    parser.add_argument("--images", type=int, default=60, help="training images of each source")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    torch.set_num_threads(1)
    _make(options.folder, options.images)
    rows = []
    for form, trained_on in RUNS:
        prepared = options.folder / form
        for seed in options.seeds:
            trained, seconds = _train(prepared, VARIATIONS[trained_on], options.steps, seed)
            print(f"{form}, trained on {trained_on} images, seed {seed}: {seconds:.0f} CPU s", flush=True)
            for shown in VARIATIONS:
                probes = probe_sources(trained, _images(prepared, VARIATIONS[shown]), seed=seed)["probes"]
                row = {"form": form, "trained_on": trained_on, "shown": shown, "seed": seed}
                rows.append(row | {"probes": probes})
    (options.folder / "probe.json").write_text(json.dumps({"steps": options.steps, "rows": rows}, indent=1))
    _print(rows)


def _make(folder: Path, images: int) -> None:
    preset = Preset(f"probe_{images}", train=images, val=1, evaluation=1, height=96, width=128)
    with bar("render") as update:
        make_demo_data(folder / "raw", preset=preset, seed=3, workers=0, progress=update)
    for source in demo_sources(folder / "raw", None):
        for form, one in (("alike", source), ("marked", Marked(source))):
            if source.name in TRAINING:
                prepare_with_bar(one, folder / form / source.name, size=STORED, workers=0, overwrite=True)


class Marked(ChangedSource):
    """Give the pictures of a source a look of their own.

    Args:
        source: whose pictures are changed.
    """

    def read(self, key: str) -> Sample:
        """Read a sample and change its picture."""
        sample = self.source.read(key)
        return sample.replaced(image=_marked(sample.image, self.name))


def _marked(image: np.ndarray, name: str) -> np.ndarray:
    if name == "web":
        coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 25])[1]
        return cv2.imdecode(coded, cv2.IMREAD_COLOR)
    x = image.astype(np.float32)
    if name == "kitti":
        x = (x + x.mean(2, keepdims=True)) / 2
    if name == "middlebury":
        x = x * np.float32([1.08, 1.0, 0.92])
    return x.clip(0, 255).round().astype(np.uint8)


def _train(prepared: Path, variation: DeviceAugmentOptions, steps: int, seed: int) -> tuple[Trained, float]:
    torch.manual_seed(seed)
    net: nn.Module = LightDepthNet(widths=(16, 32, 48, 64))
    values = yaml.safe_load(recipe("quality_aware").read_text(encoding="utf-8"))["model"]
    terms = {name: term_from(term) for name, term in values["terms"].items()}
    task = DepthTask(net, terms, focal_canonical=FOCAL, learning_rate=values["learning_rate"])
    sources = {name: SourceSpec() for name in TRAINING}
    data = MixData(
        str(prepared),
        sources,
        steps_per_epoch=steps,
        augment=AugmentOptions(height=SIZE[0], width=SIZE[1]),
        device_augment=variation,
        workers=0,
        seed=seed,
    )
    seconds = train(task, data, prepared.parent / "runs")
    return Trained(net.eval(), FOCAL, True, *SIZE, {}, spec=net.spec), seconds  # type: ignore[arg-type]


def _images(prepared: Path, variation: DeviceAugmentOptions) -> dict[str, list[np.ndarray]]:
    """Give the images of each source at the size of training, each varied by a draw of its own."""
    vary, found = DeviceAugment([variation]), {}
    for number, name in enumerate(TRAINING):
        shards = ShardSet(prepared / name)
        samples = [resize(shards[index], *SIZE) for index in range(len(shards))]
        draws = [1000 * number + index for index in range(len(samples))]
        image = vary(collate(samples, [0] * len(samples), draws)).image_float
        found[name] = list((image * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy())
    return found


def _print(rows: list[dict]) -> None:
    """Print mean and standard deviation over seeds; the two baselines do not depend on the training."""
    print(f"{'corpus':8} {'shown':8} {'what is looked at':34} told (chance {1 / len(TRAINING):.0%})")
    for form in ("alike", "marked"):
        runs = [trained_on for other, trained_on in RUNS if other == form]
        for shown in VARIATIONS:
            for what in ("statistics", "random", "encoder"):
                for trained_on in runs if what == "encoder" else ["plain"]:
                    wanted = (form, shown, trained_on)
                    chosen = [r for r in rows if (r["form"], r["shown"], r["trained_on"]) == wanted]
                    told = [row["probes"][what]["accuracy"] for row in chosen]
                    spread = statistics.stdev(told) if len(told) > 1 else 0.0
                    label = f"{what}, trained on {trained_on} images" if what == "encoder" else what
                    print(f"{form:8} {shown:8} {label:34} {statistics.mean(told):6.1%} +- {spread:.1%}")


if __name__ == "__main__":
    main()
