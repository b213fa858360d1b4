"""Render the corpus of a benchmark once, prepare it, and say which bytes it is."""

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float

from depthmix.bench.settings import Settings
from depthmix.prepare import prepare
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.scenes import PRESETS, make_demo_data
from depthmix.scenes.corpus import RECORD
from depthmix.scenes.plan import FAMILIES
from depthmix.scenes.sets import demo_sources, exact_sources
from depthmix.sources.base import Source, SourceCard
from depthmix.store import ShardSet

__all__ = ["BLOCKS", "METRIC", "METRIC_VAL", "ChangedSource", "Corpus", "TakenAsMetric", "make_corpus"]

SEED: Final = 7  # another seed is another benchmark
REAL: Final = "motorcycle"
# What is measured: the test block is for the table, choices are made on the validation block.
BLOCKS: Final = {"test": (*FAMILIES, REAL), "val": tuple(f"{family}_val" for family in FAMILIES)}
METRIC: Final = ("kitti", "middlebury")
METRIC_VAL: Final = ("kitti_val", "middlebury_val")

Bar = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Name the prepared corpus of a benchmark.

    Args:
        prepared: folder of the prepared sets.
        sha256: hash over all raw files.
        images: number of raw images.
    """

    prepared: Path
    sha256: str
    images: int

    def card(self, name: str) -> SourceCard:
        """Read what a prepared set states about its labels."""
        return SourceCard(**ShardSet(self.prepared / name).card)

    def names(self) -> list[str]:
        """List the prepared sets."""
        return sorted(folder.name for folder in self.prepared.iterdir() if folder.is_dir())


def make_corpus(folder: Path, settings: Settings, workers: int, bar: Bar) -> Corpus:
    """Render and prepare what is missing of the corpus.

    Args:
        folder: where corpora of all presets and sizes are kept.
        settings: preset and size.
        workers: processes that render.
        bar: makes a progress bar for a text.
    """
    raw = folder / f"corpus-{settings.preset}" / "raw"
    prepared = folder / f"corpus-{settings.preset}" / settings.size
    with bar("render") as update:
        preset = PRESETS[settings.preset]
        make_demo_data(raw, preset=preset, seed=SEED, workers=workers, progress=update)
    for source in [*demo_sources(raw, None), *exact_sources(raw)]:
        _prepare(source, prepared, settings, bar)
        if source.name == "web":
            web = source
    _prepare(TakenAsMetric(web, _web_factor(prepared)), prepared, settings, bar)
    record = json.loads((raw / RECORD).read_text(encoding="utf-8"))
    return Corpus(prepared, record["sha256"], record["images"])


def _prepare(source: Source, prepared: Path, settings: Settings, bar: Bar) -> None:
    with bar(f"prepare {source.name}") as update:
        prepare(
            source,
            prepared / source.name,
            size=settings.stored,
            workers=0,
            overwrite=True,
            progress=lambda now: update(now.done, now.total),
        )


class ChangedSource(Source):
    """Base of sources that change the samples of another one, and nothing else about it.

    Args:
        source: whose samples are changed in `read`.
        name: by default that of the other.
    """

    def __init__(self, source: Source, name: str | None = None) -> None:
        super().__init__(source.root, name=name or source.name)
        self.source, self.card = source, source.card

    def keys(self) -> Sequence[str]:
        """List the keys of the other source."""
        return self.source.keys()

    def files(self, key: str) -> Sequence[Path]:
        """List the files of the other source."""
        return self.source.files(key)


class TakenAsMetric(ChangedSource):
    """Read web stereo as if it were metric depth: what a careless mix does.

    Args:
        source: the relative source.
        factor: depth is `factor / v`.
    """

    def __init__(self, source: Source, factor: float) -> None:
        super().__init__(source, name="web_as_metric")
        self.factor = factor
        self.card = replace(
            source.card, kind=LabelKind.METRIC_DEPTH, quality=Quality.HIGH, unit="m (not true)"
        )

    def read(self, key: str) -> Sample:
        """Invert the label and invent a camera of 63 degrees, the middle of the rendered ones."""
        relative = self.source.read(key)
        height, width = relative.size
        focal = width / 2 / np.tan(np.radians(63) / 2)
        return relative.replaced(
            target=np.float32(self.factor) / np.maximum(relative.target, np.float32(0.02)),
            intrinsics=Intrinsics(focal, focal, (width - 1) / 2, (height - 1) / 2),
            quality=self.card.quality,
            kind=self.card.kind,
            source=self.name,
        )


def _web_factor(prepared: Path) -> float:
    """Choose the factor that gives web stereo the median depth of the metric sources."""
    depth = np.concatenate([_medians(prepared / name) for name in METRIC])
    return float(np.median(depth) * np.median(_medians(prepared / "web")))


def _medians(folder: Path) -> Float[np.ndarray, " n"]:
    # One median per image: a dense image must not outvote a sparse one.
    shards = ShardSet(folder)
    samples = (shards[index] for index in range(len(shards)))
    return np.array([np.median(sample.target[sample.valid]) for sample in samples])
