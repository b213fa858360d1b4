"""Draw what each loss sees: python docs/make_loss_images.py.

One rendered room and a prediction with known faults: all of it 25 % too far, the left wall bent, the edges in
the right half blurred. For each loss the picture shows its gradient at the prediction: orange where a step
against the gradient would bring the surface nearer, purple where it would push it away.
"""

import math
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional

from depthmix import losses
from depthmix.batch import Batch, collate
from depthmix.losses import DepthLoss
from depthmix.plot.colour import colour_planes
from depthmix.prediction import Prediction
from depthmix.sample import LabelKind, Sample
from depthmix.scenes import Preset, make_demo_data
from depthmix.sources import ExactScenes

COLUMNS = 5
ROOM = 3  # of the rendered rooms: walls, furniture and much floor
ORDINAL_PAIRS = 400
SMOOTHED = 5  # pixels: single sampled pixels would not be seen


def main() -> None:
    """Render the room, spoil its depth and draw one panel per loss."""
    sample = _room()
    batch = collate([sample], [0])
    y = spoilt(batch)
    names = [name for name in losses.__all__ if _is_loss(name) and "Sky" not in name]  # a room has no sky
    lines = 1 + math.ceil(len(names) / COLUMNS)
    figure = Figure(figsize=(2.3 * COLUMNS, 1.95 * lines), layout="constrained", dpi=80)
    axes = figure.subplots(lines, COLUMNS).flatten()
    for axis in axes:
        axis.set(xticks=[], yticks=[], frame_on=False)
    _draw_inputs(axes[:COLUMNS], sample, batch, y)
    for axis, name in zip(axes[COLUMNS:], names, strict=False):
        loss = getattr(losses, name)()
        value, pull = gradient_at(loss, batch if loss.bears(batch).all() else _without_depth(batch), y)
        axis.imshow(_signed(pull), cmap="PuOr", vmin=-1, vmax=1)
        axis.set_title(f"{name.removesuffix('Loss')}  {value:.3f}", fontsize=9)
    out = Path(__file__).parent / "images" / "losses.jpg"
    figure.savefig(out, pil_kwargs={"quality": 85})


def _without_depth(batch: Batch) -> Batch:
    """Keep what a prior may see: planes and the camera."""
    return replace(
        batch, kind=torch.full_like(batch.kind, int(LabelKind.NONE)), valid=torch.zeros_like(batch.valid)
    )


def _is_loss(name: str) -> bool:
    found = getattr(losses, name)
    return isinstance(found, type) and issubclass(found, DepthLoss) and found is not DepthLoss


def _room() -> Sample:
    preset = Preset("loss_images", train=0, val=0, evaluation=ROOM + 1, height=192, width=256)
    with tempfile.TemporaryDirectory() as folder:
        make_demo_data(Path(folder), preset=preset, seed=7, workers=0)
        source = ExactScenes(Path(folder) / "eval" / "rooms", name="rooms")
        sample = source.read(source.keys()[ROOM])
    return sample.replaced(pairs=_pairs(sample))


def _pairs(sample: Sample) -> np.ndarray:
    """Order random pairs of labelled points by their true depth."""
    draw = np.random.default_rng(0)
    v, u = np.nonzero(sample.valid)
    first, second = draw.integers(0, len(v), (2, ORDINAL_PAIRS))
    nearer = np.sign(sample.target[v[first], u[first]] - sample.target[v[second], u[second]])
    return np.stack([u[first], v[first], u[second], v[second], nearer], axis=1).astype(np.int32)


def spoilt(batch: Batch) -> Float[Tensor, "1 1 h w"]:
    """Return log depth with the three faults."""
    truth = torch.where(batch.valid, batch.target, batch.target.max()).log()
    height, width = truth.shape[-2:]
    u, v = torch.meshgrid(torch.linspace(0, 1, width), torch.linspace(0, 1, height), indexing="xy")
    bump = 0.35 * torch.exp(-((u - 0.15) ** 2 + (v - 0.4) ** 2) / 0.015)
    blurred = functional.avg_pool2d(functional.pad(truth, (7, 7, 7, 7), mode="replicate"), 15, stride=1)
    return torch.where(u > 0.5, blurred, truth) + math.log(1.25) + bump


def gradient_at(
    loss: DepthLoss, batch: Batch, y: Float[Tensor, "1 1 h w"]
) -> tuple[float, Float[Tensor, "h w"]]:
    """Return the value of a loss and its gradient with respect to log depth (or to its head's map)."""
    leaf = y.clone().requires_grad_()
    heads = [(0 * y + start).requires_grad_() for start in (-2.0, 0.0)]
    focal = float(batch.intrinsics[0, :2].prod().sqrt())
    prediction = Prediction(leaf, batch.intrinsics, focal, *heads)
    value = loss(prediction, batch, step=0).sum()
    pulls = torch.autograd.grad(value, [leaf, *heads], materialize_grads=True)
    shown = next((pull for pull in pulls if bool(pull.any())), pulls[0])
    return value.item(), shown[0, 0]


def _draw_inputs(axes: list[Axes], sample: Sample, batch: Batch, y: Float[Tensor, "1 1 h w"]) -> None:
    truth, spoiled = (1 / sample.target.clip(0.1)), (-y[0, 0]).exp().numpy()
    low, high = np.quantile(truth[sample.valid], [0.02, 0.98])
    panels = {
        "image": sample.image,
        "label, inverse depth": (truth, low, high),
        "prediction with faults": (spoiled, low, high),
        "planes": colour_planes(sample.planes),
    }
    for axis, (title, panel) in zip(axes, panels.items(), strict=False):
        if isinstance(panel, tuple):
            axis.imshow(panel[0], cmap="magma", vmin=panel[1], vmax=panel[2])
        else:
            axis.imshow(panel)
        axis.set_title(title, fontsize=9)
    axes[4].text(0.02, 0.5, "gradients below:\norange: too far\npurple: too near", fontsize=9, va="center")


def _signed(pull: Float[Tensor, "h w"]) -> np.ndarray:
    """Scale a gradient to [-1, 1] by its own robust size; sampled pixels are spread over their neighbours."""
    smooth = functional.avg_pool2d(pull[None], SMOOTHED, stride=1, padding=SMOOTHED // 2)[0]
    size = smooth.abs().flatten().quantile(0.99).clamp_min(1e-12)
    return (-(smooth / size)).clamp(-1, 1).numpy()


if __name__ == "__main__":
    main()
