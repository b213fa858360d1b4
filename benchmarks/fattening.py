"""How much of what stereo matching gets wrong lies near steps of its own label, and what does a mask cost?

Pairs are rendered and matched by a real matcher, as in the demo corpus; the exact depth of the same view says
which labels are wrong (by more than a tenth).

Columns:
    band       labels that `EdgeMask` leaves out, of all labels.
    caught     wrong labels among them, of all wrong ones.
    wrong      wrong labels among those that are left, which without a mask is the first line.

Usage:
    python benchmarks/fattening.py                  # about twenty CPU seconds
    python benchmarks/fattening.py --images 2       # a smoke test
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from depthmix.batch import collate
from depthmix.losses import EdgeMask
from depthmix.sample import Sample
from depthmix.scenes import Preset
from depthmix.scenes.layouts import make_files
from depthmix.scenes.plan import jobs_of
from depthmix.scenes.shot import take
from depthmix.sources import MiddleburyStereo

SEED, WRONG = 5, 0.1


def main() -> None:
    """Render, match, mask, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--size", type=int, nargs=2, default=(192, 256), metavar=("HEIGHT", "WIDTH"))
    options = parser.parse_args()
    preset = Preset("fattening", options.images, 0, 0, *options.size)
    with tempfile.TemporaryDirectory() as folder:
        samples, exact = _made(Path(folder), preset)
    batch = collate(samples, [0] * len(samples))
    error = (batch.target / torch.from_numpy(exact)[:, None] - 1).abs()
    wrong = batch.valid & (error > WRONG)
    print(f"{len(batch)} pairs of {options.size[0]} x {options.size[1]} pixels")
    print(f"{'edges':10} {'pixels':>6} {'band':>7} {'caught':>7} {'wrong':>7}")
    print(f"{'no mask':10} {'':6} {0:7.1%} {0:7.1%} {_part(wrong, batch.valid):7.1%}")
    for edges in ("all", "unmatched"):
        for pixels in (0, 1, 2, 3, 5):
            band = batch.valid & EdgeMask(pixels=pixels, edges=edges).mark(batch)  # type: ignore[arg-type]
            left = batch.valid & ~band
            figures = (_part(band, batch.valid), _part(wrong & band, wrong), _part(wrong & left, left))
            print(f"{edges:10} {pixels:6} " + " ".join(f"{figure:7.1%}" for figure in figures))


def _made(folder: Path, preset: Preset) -> tuple[list[Sample], np.ndarray]:
    """Return what the source reads of each pair, and the exact depth of its left view."""
    exact = {}
    for job in jobs_of(preset):
        if job.source != "middlebury":
            continue
        for name, content in make_files(job, preset, SEED).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        shot = take(job, preset, SEED)
        view = shot.renderer.view(shot.renderer.scene.pose, shot.intrinsics, preset.size)
        exact[f"scene{job.key}"] = view.depth
    source = MiddleburyStereo(folder / "middlebury" / "train", name="middlebury")
    keys = source.keys()
    samples = [source.read(key) for key in keys]
    found = [next(depth for name, depth in exact.items() if name in sample.key) for sample in samples]
    return samples, np.stack(found)


def _part(some: torch.Tensor, of: torch.Tensor) -> float:
    return float(some.sum()) / max(1, int(of.sum()))


if __name__ == "__main__":
    main()
