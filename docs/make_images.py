"""Make the picture of README from a finished demo: python docs/make_images.py depthmix-demo."""

import argparse
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32
from matplotlib.figure import Figure

from depthmix.batch import collate
from depthmix.plot import strip_panels
from depthmix.sample import Sample
from depthmix.store import ShardSet
from depthmix.trained import Trained, load_trained, predict_batch

ROWS = {
    "web_val": "web stereo\nLOW: inverse depth\nup to scale and shift",
    "kitti_val": "LiDAR\nHIGH: metres, sparse",
    "middlebury_val": "calibrated stereo\nMIDDLE: metres,\nnoise grows with z²",
    "planes_val": "planar instances\nWEAK: no depth",
    "streets": "exact evaluation\nscene",
}
COLUMNS = ("image", "label", "one network, scale and shift fitted")


def main() -> None:
    """Draw one held-out sample of each quality with its label and the network's prediction."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path, help="folder of `depthmix demo`")
    parser.add_argument("--index", type=int, default=1, help="which sample of each set")
    options = parser.parse_args()
    trained = load_trained(options.demo / "run" / "last.ckpt")
    figure = Figure(figsize=(8.6, 1.95 * len(ROWS)), layout="constrained", dpi=100)
    axes = figure.subplots(len(ROWS), len(COLUMNS))
    for line, (name, words) in zip(axes, ROWS.items(), strict=True):
        sample = ShardSet(options.demo / "prepared" / name)[options.index]
        depth = _predict(trained, sample)
        for axis, panel in zip(line, strip_panels(sample, depth, metric=False), strict=False):
            axis.imshow(panel.rgb, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(words, fontsize=9)
    for axis, title in zip(axes[0], COLUMNS, strict=True):
        axis.set_title(title, fontsize=10)
    out = Path(__file__).parent / "images" / "demo.png"
    figure.savefig(out, pil_kwargs={"optimize": True})


@torch.no_grad()
def _predict(trained: Trained, sample: Sample) -> Float32[np.ndarray, "h w"]:
    batch = collate([sample], [0])
    camera = batch.intrinsics if batch.camera_known.all() else None
    return predict_batch(trained, batch.image_float, camera).depth[0, 0].numpy()


if __name__ == "__main__":
    main()
