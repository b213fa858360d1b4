"""Measure a network on a block of exact scenes, image by image, in the three alignments of the table."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from depthmix.batch import Batch
from depthmix.bench.settings import Settings
from depthmix.bench.training import batches
from depthmix.metrics import METRICS, Alignment, measure
from depthmix.prediction import Prediction
from depthmix.trained import neutral_camera

__all__ = ["ALIGNMENTS", "image_rows", "mean_of"]

ALIGNMENTS: Final[tuple[Alignment, ...]] = ("none", "median", "affine_inverse_depth")


@torch.no_grad()
def image_rows(
    net: nn.Module, prepared: Path, sets: Sequence[str], settings: Settings
) -> list[dict[str, Any]]:
    """Measure every image of every set.

    Args:
        net: gives log canonical depth; relative networks are calibrated beforehand.
        prepared: folder of the prepared sets.
        sets: names of metric sets.
        settings: size and canonical camera.

    Returns:
        One row per image and alignment: set, alignment, image, and every metric, None where the label
        cannot bear it.
    """
    net.eval()
    rows: list[dict[str, Any]] = []
    for name in sets:
        for batch in batches(prepared / name, (settings.height, settings.width), 12):
            neutral = neutral_camera(settings.height, settings.width, settings.focal)
            seen = Prediction(net(batch.image_float)[:, :1], batch.camera_or(neutral), settings.focal)
            values = measure(seen, batch, ALIGNMENTS).values
            for alignment, table in zip(ALIGNMENTS, values, strict=True):
                rows += _rows(table, batch, name, alignment)
    return rows


def _rows(values: Float[Tensor, "m b"], batch: Batch, name: str, alignment: str) -> Iterable[dict[str, Any]]:
    for image, column in zip(batch.names, values.T.tolist(), strict=True):
        row = {metric: _known(value) for metric, value in zip(METRICS, column, strict=True)}
        yield {"set": name, "alignment": alignment, "image": image, **row}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def mean_of(
    rows: Iterable[Mapping[str, Any]], metric: str, alignment: str, name: str | None = None
) -> float | None:
    """Average a metric over the images of one set, or over the sets, each with the same weight."""
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["alignment"] == alignment and name in (None, row["set"]) and row[metric] is not None:
            found.setdefault(row["set"], []).append(row[metric])
    return statistics.mean(statistics.mean(values) for values in found.values()) if found else None
