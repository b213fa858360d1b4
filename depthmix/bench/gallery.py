"""The same scenes as every recipe sees them, in one scale of colours for each scene."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

from depthmix.augment import resize
from depthmix.batch import collate
from depthmix.bench.settings import Settings
from depthmix.plot.colour import mark_unknown
from depthmix.plot.panels import Panel, label_scale, strip_panels
from depthmix.plot.words import sample_title
from depthmix.prediction import Prediction
from depthmix.report.strips import Strip
from depthmix.sample import Sample
from depthmix.store import ShardSet
from depthmix.trained import neutral_camera

__all__ = ["gallery"]

SCENES: Final = 2  # of each set


@torch.no_grad()
def gallery(
    nets: Mapping[str, nn.Module], prepared: Path, sets: Sequence[str], settings: Settings
) -> Iterator[Strip]:
    """Draw image, label and the un-aligned depth of every recipe, for scenes spread over each set.

    Args:
        nets: networks by recipe; relative ones calibrated.
        prepared: folder of the prepared sets.
        sets: names of exact sets.
        settings: size and canonical camera.
    """
    for name in sets:
        shards = ShardSet(prepared / name)
        for index in sorted({round(i) for i in np.linspace(0, len(shards) - 1, SCENES)}):
            sample = resize(shards[index], settings.height, settings.width)
            image, label = strip_panels(sample)[:2]
            panels = [image, replace(label, title="label")]
            panels += [_prediction(recipe, net, sample, settings) for recipe, net in nets.items()]
            yield Strip(sample_title(sample), "un-aligned depth, the colours those of the label", panels)


def _prediction(recipe: str, net: nn.Module, sample: Sample, settings: Settings) -> Panel:
    batch = collate([sample], [0])
    cameras = batch.camera_or(neutral_camera(settings.height, settings.width, settings.focal))
    depth = Prediction(net(batch.image_float)[:, :1], cameras, settings.focal).depth[0, 0].double().numpy()
    scale = label_scale(sample)
    rgb = mark_unknown(scale.rgb(depth), np.ones_like(sample.valid), sample.sky)
    return Panel(rgb, recipe, scale)
