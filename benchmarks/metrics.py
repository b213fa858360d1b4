"""What alignment and eight measures cost, beside the plain NumPy way of the field.

Both sides fit scale and shift of inverse depth to the label, turn it into depth, and take abs_rel, sq_rel,
rmse, rmse_log, silog, delta1, delta2 and delta3 for every image of one generated batch with holes in the
label. The plain way is image by image: pixels picked by a boolean mask, `np.linalg.lstsq`, one expression for
each measure. It is timed in float64, which is what ours computes in, and in float32, which many scripts use.
CPU time of one thread, all sides in turn, medians over rounds; ratios are medians of the ratios of one round.

Also timed: everything that `depthmix test` measures by default, for an image of that size.

Usage:
    python benchmarks/metrics.py                          # a minute or two on an idle core
    python benchmarks/metrics.py --size 48 64 --rounds 2  # a smoke test
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from depthmix.batch import Batch
from depthmix.metrics import align, measure
from depthmix.metrics.pixels import measures_of_moments, pixel_moments
from depthmix.prediction import Prediction
from depthmix.sample import LabelKind, Quality

ROOT = Path(__file__).resolve().parent.parent
EIGHT = ("abs_rel", "sq_rel", "rmse", "rmse_log", "silog", "delta1", "delta2", "delta3")
GOAL = 3.0


def main() -> None:
    """Compare the values, measure the times, print them and write them as JSON."""
    options = _options()
    torch.set_num_threads(1)
    depth, target, valid = make_maps(options.rows, *options.size)
    batch, prediction = as_batch(depth, target, valid)
    double, mask = (depth.double().numpy(), target.double().numpy()), valid.numpy()
    sides: dict[str, Callable[[], object]] = {
        "ours": lambda: ours(depth, target, valid),
        "plain, float64": lambda: plain(*double, mask),
        "plain, float32": lambda: plain(depth.numpy(), target.numpy(), mask),
        "all of depthmix test": lambda: measure(prediction, batch),
    }
    apart = np.abs(np.asarray(sides["ours"]()) / np.asarray(sides["plain, float64"]()) - 1).max()
    times = _times(sides, options.rounds)
    ratios = {
        name: statistics.median(t / ours for t, ours in zip(times[name], times["ours"], strict=True))
        for name in list(sides)[1:3]
    }
    facts = {
        "rows": options.rows,
        "size": options.size,
        "rounds": options.rounds,
        "milliseconds": {name: 1e3 * statistics.median(found) for name, found in times.items()},
        "spread": {name: [1e3 * min(found), 1e3 * max(found)] for name, found in times.items()},
        "times_faster_than": ratios,
        "goal": GOAL,
        "largest_relative_difference": float(apart),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(facts, indent=1))
    for name, found in times.items():
        ratio = f"  ours is {ratios[name]:.2f} times faster (goal {GOAL:g})" if name in ratios else ""
        middle = 1e3 * statistics.median(found)
        print(f"{name:22s}{middle:8.1f} ms, {1e3 * min(found):.1f} to {1e3 * max(found):.1f}{ratio}")
    print(f"largest relative difference to the plain way in float64: {apart:.1e}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--size", type=int, nargs=2, default=[480, 640])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "metrics.json")
    return parser.parse_args()


def make_maps(rows: int, h: int, w: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return a prediction, its label and where it is valid: noise about noise, off by scale and shift."""
    draw = torch.Generator().manual_seed(0)
    target = torch.rand(rows, 1, h, w, generator=draw) * 9 + 1
    inverse = (1.3 / target + 0.1) * (1 + 0.1 * torch.rand(rows, 1, h, w, generator=draw))
    valid = torch.rand(rows, 1, h, w, generator=draw) < 0.9
    return 1 / inverse, torch.where(valid, target, 0), valid


def as_batch(depth: Tensor, target: Tensor, valid: Tensor) -> tuple[Batch, Prediction]:
    """Return the same as a batch of metric labels with cameras and four planes."""
    rows, _, h, w = depth.shape
    none = torch.zeros_like(valid)
    planes = (1 + torch.arange(w) * 4 // w).expand(rows, 1, h, w).int().contiguous()
    batch = Batch(
        image=torch.zeros(rows, 3, h, w, dtype=torch.uint8),
        target=target,
        valid=valid,
        sky=none,
        planes=planes,
        sigma=torch.zeros_like(target),
        intrinsics=torch.tensor([[float(w), float(w), w / 2, h / 2]]).repeat(rows, 1),
        camera_known=torch.ones(rows, dtype=torch.bool),
        quality=torch.full((rows,), int(Quality.HIGH)),
        kind=torch.full((rows,), int(LabelKind.METRIC_DEPTH)),
        source=torch.zeros(rows, dtype=torch.long),
        pairs=torch.zeros(rows, 0, 5, dtype=torch.int32),
    )
    return batch, Prediction(depth.log(), batch.intrinsics, float(w))


def ours(depth: Tensor, target: Tensor, valid: Tensor) -> np.ndarray:
    """Align and measure all images at once."""
    aligned, _ = align(depth, target, valid, "affine_inverse_depth")
    found = measures_of_moments(*pixel_moments(aligned, target, valid))
    return torch.stack([found[name] for name in EIGHT], 1).numpy()


def plain(depth: np.ndarray, target: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Align and measure image by image, as evaluation scripts do."""
    return np.array([plain_image(*image) for image in zip(depth, target, valid, strict=True)])


def plain_image(depth: np.ndarray, target: np.ndarray, valid: np.ndarray) -> list[float]:
    """Align and measure one image."""
    gt, inverse = target[valid], 1 / depth[valid]
    system = np.stack([inverse, np.ones_like(inverse)], axis=1)
    scale, shift = np.linalg.lstsq(system, 1 / gt, rcond=None)[0]
    pred = 1 / np.maximum(scale * inverse + shift, 1 / gt.max())
    ratio = np.maximum(gt / pred, pred / gt)
    error = np.log(pred) - np.log(gt)
    return [
        np.mean(np.abs(gt - pred) / gt),
        np.mean((gt - pred) ** 2 / gt),
        np.sqrt(np.mean((gt - pred) ** 2)),
        np.sqrt(np.mean((np.log(gt) - np.log(pred)) ** 2)),
        np.sqrt(np.mean(error**2) - np.mean(error) ** 2),
        *(np.mean(ratio < 1.25**k) for k in (1, 2, 3)),
    ]


def _times(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    for run in sides.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            started = time.process_time()
            run()
            times[name].append(time.process_time() - started)
    return times


if __name__ == "__main__":
    main()
