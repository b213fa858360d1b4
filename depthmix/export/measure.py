"""What a smaller network costs: numbers, labels and time, side by side with the network that it came from."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from time import process_time
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from depthmix.datasets import WholeDataset
from depthmix.errors import ConfigError
from depthmix.loader import SampleLoader
from depthmix.metrics import DepthMetrics, EvaluationSet
from depthmix.prediction import Prediction
from depthmix.store import ShardSet
from depthmix.trained import Trained, neutral_camera

__all__ = ["Change", "Run", "abs_rel_between", "labels_of", "median_ms"]

ROUNDS: Final = 30
WARM_UP: Final = 3
SAME: Final = 0.05  # a smaller difference of two times is none
MOST_SAMPLES: Final = 200

Run = Callable[[Float[Tensor, "b 3 h w"]], Float[Tensor, "b 1 h w"]]


@dataclass(frozen=True)
class Change:
    """Say what became of a network that was made smaller: first of each pair is before, second after.

    Args:
        megabytes: of the file or of the weights.
        milliseconds: CPU time of one image, the median of runs in turn, on one thread.
        abs_rel: mean of |after - before| / before over all pixels of the photos, no alignment.
        photos: how many there were; none of them calibrated or chose anything.
        labels: AbsRel on a labelled set, where one was given.
        alignment: of those, "none" or "affine_inverse_depth".
    """

    megabytes: tuple[float, float]
    milliseconds: tuple[float, float]
    abs_rel: float
    photos: int
    labels: tuple[float, float] | None = None
    alignment: str = "none"

    def lines(self) -> list[str]:
        """Return it in words; "smaller" and "faster" stand only where they were measured."""
        found = [
            f"{_words(self.megabytes, 'smaller', 'larger')}: {_pair(self.megabytes, 'MB')}",
            f"{_words(self.milliseconds, 'faster', 'slower')}: {_pair(self.milliseconds, 'ms an image')}",
            f"AbsRel {self.abs_rel:.4f} to the network before, on {self.photos} photos, no alignment",
        ]
        if self.labels:
            before, after = self.labels
            change = f"AbsRel on labels {before:.4f} before, {after:.4f} after ({after - before:+.4f})"
            found.append(f"{change}, alignment {self.alignment}")
        return found


def abs_rel_between(before: Run, after: Run, photos: Float[Tensor, "b 3 h w"]) -> float:
    """Return the mean of |after - before| / before over all pixels, photo by photo."""
    rows = [photos[i : i + 1] for i in range(len(photos))]
    return sum(float((after(row) / before(row) - 1).abs().mean()) for row in rows) / len(rows)


def median_ms(runs: Sequence[Run], image: Float[Tensor, "1 3 h w"], rounds: int = ROUNDS) -> list[float]:
    """Return the median CPU milliseconds of each on one thread, run in turn: all see the same machine."""
    times: list[list[float]] = [[] for _ in runs]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for number in range(WARM_UP + rounds):
            for run, own in zip(runs, times, strict=True):
                start = process_time()
                run(image)
                if number >= WARM_UP:
                    own.append(1e3 * (process_time() - start))
    finally:
        torch.set_num_threads(threads)
    return [median(own) for own in times]


def labels_of(
    trained: Trained, runs: Sequence[Run], shards: ShardSet, size: tuple[int, int]
) -> tuple[list[float], str]:
    """Return the AbsRel of each on a prepared set, seen at one size, and the alignment.

    Convention: none where the network learned metres and the labels are metric with known cameras; else
    scale and shift are fitted in inverse depth.

    Args:
        trained: says what the numbers mean.
        runs: give canonical depth at `size`.
        shards: at most 200 samples of it are read, evenly spread.
        size: rows and columns that they take.

    Raises:
        ConfigError: the labels bear no AbsRel.
    """
    card = shards.card
    entry = EvaluationSet(shards.name, card["family"], card["quality"].name.lower(), card["kind"].name)
    metrics = DepthMetrics([entry] * len(runs))
    loader = SampleLoader(WholeDataset(shards, 0, MOST_SAMPLES), workers=0, rows=1, batch_size=1)
    for batch in loader:
        rows, columns = batch.image.shape[-2:]
        cameras = batch.camera_or(neutral_camera(rows, columns, trained.focal_canonical))
        for number, run in enumerate(runs):
            y = _at_size(run, batch.image_float, size)
            metrics.update(Prediction.from_maps(y, cameras, trained.focal_canonical), batch, number)
    figures = [(row["alignment"], row["abs_rel"]) for row in metrics.rows()]
    for alignment in ("none", "affine_inverse_depth")[0 if trained.metric else 1 :]:
        found = [value for aligned, value in figures if aligned == alignment and value is not None]
        if len(found) == len(runs):
            return found, alignment
    hint = "give a set whose labels are depth"
    raise ConfigError("its labels bear no AbsRel", file=str(shards.root), field="set", hint=hint)


def _at_size(run: Run, image: Float[Tensor, "1 3 h w"], size: tuple[int, int]) -> Float[Tensor, "1 1 h w"]:
    """Return log canonical depth at the size of the image by a network that takes one size."""
    rows, columns = image.shape[-2:]
    shrinks = size[0] <= rows and size[1] <= columns
    options = {"mode": "area"} if shrinks else {"mode": "bilinear", "align_corners": False}
    depth = run(interpolate(image, size=size, **options))
    y = interpolate(depth.log(), size=(rows, columns), mode="bilinear", align_corners=False)
    # The focal length shrinks with the image, and canonical depth grows as it does.
    return y + math.log(size[0] / rows * size[1] / columns) / 2


def _words(pair: tuple[float, float], better: str, worse: str) -> str:
    before, after = pair
    if after < before / (1 + SAME):
        return f"{before / after:.2f} times {better}"
    return f"{after / before:.2f} times {worse}" if after > before * (1 + SAME) else f"not {better}"


def _pair(pair: tuple[float, float], unit: str) -> str:
    return f"{pair[0]:.2f} before, {pair[1]:.2f} {unit} after"
