"""Ask whether the source of an image can be read from it: a linear probe on features, beside plain baselines.

What a network can tell about the source, it can learn instead of depth: "grey means street scale".
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Num, UInt8
from torch import nn

from depthmix.augment import resize_image
from depthmix.errors import ConfigError
from depthmix.features import features_of, layer_of
from depthmix.store import ShardSet
from depthmix.trained import Trained, facts_of, from_facts

__all__ = [
    "STATISTICS",
    "Probed",
    "group_of",
    "image_statistics",
    "linear_probe",
    "pooled_features",
    "probe_sources",
    "source_images",
]

STATISTICS = (
    *(f"{what} of {colour}" for what in ("mean", "contrast") for colour in ("red", "green", "blue")),
    "saturation",
    "sharpness",
    "blocks across",
    "blocks down",
)
PENALTIES = 10.0 ** np.arange(-4, 5)  # of the ridge, in mean squared singular values
RESAMPLED = 2000  # for an interval
TIE = 1e-6  # values that are as near to each other as this differ by rounding alone: the first source is told


@dataclass(frozen=True)
class Probed:
    """Hold how well a linear probe tells sources apart.

    Args:
        accuracy: part of the images whose source was told, the mean over sources: 1 / sources by chance.
        low: lower end of its 95 % interval, from resampling the images of each source.
        high: upper end.
        hits: whether the source of each image was told, in the order given.
        confusion: of the images of each source (rows), the part that was taken for each (columns).
        width: numbers that each image was described by.
    """

    accuracy: float
    low: float
    high: float
    hits: np.ndarray
    confusion: np.ndarray
    width: int


def linear_probe(
    features: Num[np.ndarray, "n d"],
    sources: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"],
    folds: int = 5,
    seed: int = 0,
) -> Probed:
    """Tell the source of each image from its features, with a ridge fitted to the other folds alone.

    Args:
        features: one row for each image.
        sources: 0, 1, ... for each image.
        groups: images with one number go into one fold, such as copies of one picture.
        folds: parts of the groups.
        seed: of their assignment, and of the interval.

    Convention: features are standardised by the images of the other folds; each source has the same weight
    there, however many images it has. The penalty is chosen inside them by generalised cross-validation.

    Raises:
        ConfigError: fewer than two sources, or fewer groups than folds.

    Reference: Alain and Bengio (arXiv 1610.01644) for linear probes; Golub, Heath and Wahba, 1979, for the
    penalty.
    """
    names, numbers = np.unique(groups, return_inverse=True)
    count = int(sources.max()) + 1 if len(sources) else 0
    if count < 2 or not 2 <= folds <= len(names):
        reason = f"needs two sources and {folds} folds of images, got {count} and {len(names)} images"
        raise ConfigError(reason, field="--images")
    random = np.random.default_rng(seed)
    fold = (random.permutation(len(names)) % folds)[numbers]
    told = np.empty_like(sources)
    for k in range(folds):
        known = fold != k
        told[~known] = _ridge(features[known], sources[known], features[~known], count)
    confusion = np.zeros((count, count))
    np.add.at(confusion, (sources, told), 1)
    confusion /= np.maximum(confusion.sum(1, keepdims=True), 1)
    hits = told == sources
    low, high = _interval(hits, sources, count, random)
    return Probed(float(np.trace(confusion)) / count, low, high, hits, confusion, features.shape[1])


def image_statistics(image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, " s"]:
    """Describe an image by `STATISTICS`, which say nothing about what it shows.

    Convention: contrast is a standard deviation, saturation the mean of largest less smallest colour,
    sharpness the mean difference of neighbours, all in [0, 1]. Blocks are those of JPEG: of the eight places
    modulo 8, the largest mean difference of neighbours over the mean of all places; near 1 without blocks.
    """
    x = image.astype(np.float64) / 255
    grey = x.mean(2)
    across, down = np.abs(np.diff(grey, axis=1)).mean(0), np.abs(np.diff(grey, axis=0)).mean(1)
    saturation = (x.max(2) - x.min(2)).mean()
    sharpness = (across.mean() + down.mean()) / 2
    return np.array([*x.mean((0, 1)), *x.std((0, 1)), saturation, sharpness, _blocks(across), _blocks(down)])


@torch.no_grad()
def pooled_features(
    net: nn.Module, images: Sequence[UInt8[np.ndarray, "h w 3"]], layer: str = "", rows: int = 16
) -> Float[np.ndarray, "n d"]:
    """Average the features of a layer over each image: mean and standard deviation of each channel.

    Args:
        net: maps RGB in [0, 1] to depth; it is put into eval mode and stays there.
        images: of one size.
        layer: name of a module; "" is the last stage of the encoder.
        rows: images that go through the network together.

    Raises:
        ConfigError: there is no such layer, or it gives no map of features.
    """
    module = layer_of(net.eval(), layer, "--layer")
    first = next(net.parameters(), torch.empty(0))
    found = []
    for start in range(0, len(images), rows):
        batch = torch.from_numpy(np.stack(images[start : start + rows])).to(first.device)
        batch = batch.permute(0, 3, 1, 2).float() / 255
        _, features = features_of(module, partial(net, batch), "--layer")
        flat = features.double().flatten(2)
        found.append(torch.cat([flat.mean(2), flat.std(2, correction=0)], 1).cpu().numpy())
    return np.concatenate(found)


def probe_sources(
    trained: Trained,
    images: Mapping[str, Sequence[UInt8[np.ndarray, "h w 3"]]],
    *,
    layer: str = "",
    folds: int = 5,
    seed: int = 0,
    trust: bool = False,
) -> dict[str, Any]:
    """Probe a trained encoder, the same one with random weights, and plain statistics of the images.

    Args:
        trained: the network.
        images: of each source, of one size.
        layer: see `pooled_features`.
        folds: see `linear_probe`.
        seed: of folds, intervals and random weights.
        trust: let the network be built from code outside depthmix.

    Returns:
        Plain values: `sources` (images of each), `chance`, `folds`, `layer`, and under `probes` for each of
        "encoder", "random" and "statistics" the accuracy, its interval, the confusion, and in `gain` by how
        much the encoder tells more, with its interval over the same images.
    """
    listed = [image for of_one in images.values() for image in of_one]
    sources = np.repeat(np.arange(len(images)), [len(of_one) for of_one in images.values()])
    groups = np.array([group_of(image) for image in listed])
    described = {
        "encoder": pooled_features(trained.net, listed, layer),
        "random": pooled_features(_untrained(trained, seed, trust), listed, layer),
        "statistics": np.stack([image_statistics(image) for image in listed]),
    }
    probes = {name: linear_probe(one, sources, groups, folds, seed) for name, one in described.items()}
    return {
        "sources": {name: len(of_one) for name, of_one in images.items()},
        "chance": 1 / len(images),
        "folds": folds,
        "layer": layer,
        "probes": {name: _plain(probe, probes["encoder"], sources, seed) for name, probe in probes.items()},
    }


def source_images(
    folder: Path | str, count: int, height: int, width: int
) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Read images of a prepared set, spread evenly over it, at the size of training.

    Raises:
        StorageError: no prepared set lies there.
    """
    shards = ShardSet(folder)
    taken = min(count, len(shards))
    chosen = [shards[i * len(shards) // taken].image for i in range(taken)]
    return [resize_image(image, height, width) for image in chosen]


def group_of(image: UInt8[np.ndarray, "h w 3"]) -> int:
    """Return a number that copies of one picture share: else one copy would tell where the other is from."""
    return int.from_bytes(hashlib.sha256(image.tobytes()).digest()[:7], "big")


def _untrained(trained: Trained, seed: int, trust: bool) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = from_facts(facts_of(trained), Path("random weights"), trust=trust).net
    first = next(trained.net.parameters(), torch.empty(0))
    return net.to(first.device)


def _ridge(known: np.ndarray, sources: np.ndarray, unknown: np.ndarray, count: int) -> Int[np.ndarray, " m"]:
    """Return the source that a ridge on one-hot labels gives the highest value."""
    present = np.bincount(sources, minlength=count)
    weight = np.sqrt(1 / np.maximum(present, 1))[sources][:, None]
    weight = weight / np.sqrt((weight**2).mean())
    centre = np.average(known, axis=0, weights=weight[:, 0] ** 2)
    spread = known.std(0)
    spread = np.where(spread > 1e-12 * np.abs(centre), spread, 1.0)
    x, wanted = (known - centre) / spread * weight, np.eye(count)[sources]
    middle = np.average(wanted, axis=0, weights=weight[:, 0] ** 2)
    u, s, v = np.linalg.svd(x, full_matrices=False)
    y = (wanted - middle) * weight
    inside = u.T @ y
    best, lowest = np.zeros((count, known.shape[1])), np.inf
    for penalty in PENALTIES * max(float((s**2).mean()), 1e-30):
        kept = s**2 / (s**2 + penalty)
        left = len(y) - kept.sum() - 1
        if left <= 0:
            continue
        score = ((y - u @ (kept[:, None] * inside)) ** 2).sum() / left**2
        if score < lowest:
            best, lowest = (v.T @ ((s / (s**2 + penalty))[:, None] * inside)).T, score
    values = (unknown - centre) / spread @ best.T + middle
    told: np.ndarray = (values >= values.max(1, keepdims=True) - TIE).argmax(1)
    return told


def _interval(
    values: np.ndarray, sources: np.ndarray, count: int, random: np.random.Generator
) -> tuple[float, float]:
    """Return the middle 95 % of the mean over sources, each resampled."""
    means = np.zeros(RESAMPLED)
    for source in range(count):
        own = values[sources == source].astype(np.float64)
        means += own[random.integers(0, len(own), (RESAMPLED, len(own)))].mean(1) / count if len(own) else 0
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _plain(probe: Probed, encoder: Probed, sources: np.ndarray, seed: int) -> dict[str, Any]:
    more = encoder.hits.astype(np.float64) - probe.hits
    low, high = _interval(more, sources, len(probe.confusion), np.random.default_rng(seed))
    return {
        "accuracy": probe.accuracy,
        "low": probe.low,
        "high": probe.high,
        "width": probe.width,
        "confusion": probe.confusion.tolist(),
        "gain": {"accuracy": encoder.accuracy - probe.accuracy, "low": low, "high": high},
    }


def _blocks(differences: Float[np.ndarray, " n"]) -> float:
    places = [differences[k::8].mean() for k in range(8) if len(differences[k::8])]
    mean = float(np.mean(places)) if places else 0.0
    return float(max(places)) / mean if mean > 0 else 1.0
