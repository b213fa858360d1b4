"""Does `model.disagreement` find labels that are wrong altogether?

A small corpus is rendered, and in each source with depth one picture in ten is given the label of another
picture of that source. A small network is trained with the terms of the recipe quality_aware, told nothing.

Prints for each source: how many of the planted samples stand among the worst of it (as many as were planted),
and the mean of the last weights of planted and of other samples.

Usage:
    python benchmarks/worst.py                  # about two CPU minutes on one core, half of it rendering
    python benchmarks/worst.py --steps 8 --images 20 --folder /tmp/worst   # a smoke test
"""

import argparse
import json
from pathlib import Path
from statistics import mean

import torch
import yaml
from small_runs import train

from depthmix.augment import AugmentOptions
from depthmix.bench.corpus import ChangedSource
from depthmix.cli.prepare import prepare_with_bar
from depthmix.cli.progress import bar
from depthmix.configured import recipe, term_from
from depthmix.data import MixData, SourceSpec
from depthmix.doubt import Disagreement
from depthmix.models import LightDepthNet
from depthmix.sample import Sample
from depthmix.scenes import Preset, make_demo_data
from depthmix.scenes.plan import TRAINING
from depthmix.scenes.sets import demo_sources
from depthmix.task import DepthTask
from depthmix.worst import WORST

ROOT = Path(__file__).parents[1]
SIZE, STORED, FOCAL, EVERY = (48, 64), (60, 80), 60.0, 10
WITH_DEPTH = ("web", "kitti", "middlebury")


class Swapped(ChangedSource):
    """Give one picture in ten of a source the label of the one behind it.

    Args:
        source: whose labels are swapped.
    """

    def read(self, key: str) -> Sample:
        """Read a sample, with the label that it is to have."""
        own = self.source.read(key)
        if not self.planted(key):
            return own
        keys = list(self.keys())
        other = self.source.read(keys[keys.index(key) + 1])
        return own.replaced(target=other.target, valid=other.valid, sky=other.sky, sigma=other.sigma)

    def planted(self, key: str) -> bool:
        """Tell whether a key has the label of another."""
        return list(self.keys()).index(key) % EVERY == EVERY // 2


def main() -> None:
    """Make the data, train, compare the list with what was planted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache" / "worst")
    parser.add_argument("--images", type=int, default=60, help="training images of each source")
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    torch.set_num_threads(1)
    planted = _make(options.folder, options.images)
    _train(options.folder, options.steps)
    listed = json.loads((options.folder / "run" / WORST).read_text())["samples"]
    print(f"{'source':10} planted  among the worst  mean weight of planted, of others")
    for name in WITH_DEPTH:
        own = [sample for sample in listed if sample["source"] == name]
        hits = [sample["sample"] in planted[name] for sample in own]
        count = len(planted[name])
        weights = [
            mean(s["weight"] for s, hit in zip(own, hits, strict=True) if hit == wanted)
            for wanted in (True, False)
        ]
        print(f"{name:10} {count:7}  {sum(hits[:count]):15}  {weights[0]:.2f}, {weights[1]:.2f}")


def _make(folder: Path, images: int) -> dict[str, set[str]]:
    """Render and prepare; return the names of the planted samples of each source."""
    preset = Preset(f"worst_{images}", train=images, val=1, evaluation=1, height=96, width=128)
    with bar("render") as update:
        make_demo_data(folder / "raw", preset=preset, seed=11, workers=0, progress=update)
    planted = {}
    for source in demo_sources(folder / "raw", None):
        if source.name not in TRAINING:
            continue
        one = Swapped(source) if source.name in WITH_DEPTH else source
        prepare_with_bar(one, folder / "prepared" / source.name, size=STORED, workers=0, overwrite=True)
        if isinstance(one, Swapped):
            keys = one.keys()
            planted[source.name] = {f"{source.name}/{key}" for key in keys if one.planted(key)}
    return planted


def _train(folder: Path, steps: int) -> None:
    torch.manual_seed(0)
    values = yaml.safe_load(recipe("quality_aware").read_text(encoding="utf-8"))["model"]
    terms = {name: term_from(term) for name, term in values["terms"].items()}
    task = DepthTask(
        LightDepthNet(widths=(16, 32, 48, 64)),
        terms,
        focal_canonical=FOCAL,
        learning_rate=values["learning_rate"],
        disagreement=Disagreement(listed=10_000),  # all of them: to compare
    )
    data = MixData(
        str(folder / "prepared"),
        {name: SourceSpec() for name in TRAINING},
        steps_per_epoch=steps,
        augment=AugmentOptions(height=SIZE[0], width=SIZE[1]),
        workers=0,
    )
    print(f"trained in {train(task, data, folder / 'run'):.0f} CPU s", flush=True)


if __name__ == "__main__":
    main()
