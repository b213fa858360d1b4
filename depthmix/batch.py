"""Samples of mixed quality side by side as tensors, and the views of their labels that losses ask for."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from depthmix.errors import BadSample
from depthmix.sample import DEPTH_KINDS, LabelKind, Sample

__all__ = ["OWN", "Batch", "Memory", "collate", "rank_planes"]


@dataclass(frozen=True)
class Batch:
    """Hold `b` samples of one size; every tensor lives on one device.

    Args:
        image: RGB, uint8 0..255 until `image_float` is asked for on the device.
        target: z in metres (or up to scale), or inverse depth for AFFINE_DISPARITY; 0 outside `valid`.
        valid: where `target` may be read.
        sky: pixels known to be sky.
        planes: 0 = none, else ranks 1, 2, ... by falling area inside the row.
        sigma: standard deviation of `target` in its unit; 0 where the source has no noise model.
        intrinsics: fx, fy, cx, cy in pixels; meaningless where `camera_known` is False.
        camera_known: whether the row has a camera.
        quality: `Quality` as integers.
        kind: `LabelKind` as integers.
        source: index of the row's source in the mix.
        pairs: ordinal relations as in `Sample`, u1, v1, u2, v2, relation; rows with fewer pairs than the
            widest are filled up with -1 throughout.
        names: `source/key` of each row, for messages.
        draws: number that decides how the row is varied on the device; empty where it is not.
    """

    image: Int[Tensor, "b 3 h w"]
    target: Float[Tensor, "b 1 h w"]
    valid: Bool[Tensor, "b 1 h w"]
    sky: Bool[Tensor, "b 1 h w"]
    planes: Int[Tensor, "b 1 h w"]
    sigma: Float[Tensor, "b 1 h w"]
    intrinsics: Float[Tensor, "b 4"]
    camera_known: Bool[Tensor, " b"]
    quality: Int[Tensor, " b"]
    kind: Int[Tensor, " b"]
    source: Int[Tensor, " b"]
    pairs: Int[Tensor, "b p 5"]
    names: tuple[str, ...] = ()
    draws: tuple[int, ...] = ()

    def __len__(self) -> int:
        return self.image.shape[0]

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Move every tensor to `device`."""
        return self._mapped(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self, device: torch.device | str | None = None) -> Self:
        """Copy every tensor to page-locked memory; the DataLoader calls this."""
        return self._mapped(lambda tensor: tensor.pin_memory(device))

    def select(self, rows: Int[Tensor, " n"]) -> Self:
        """Keep the given rows, in the given order."""
        chosen = self._mapped(lambda tensor: tensor.index_select(0, rows))
        if not (self.names or self.draws):
            return chosen
        listed = rows.tolist()
        names, draws = (tuple(given[i] for i in listed if given) for given in (self.names, self.draws))
        return replace(chosen, names=names, draws=draws)

    def tensors(self) -> dict[str, Tensor]:
        """Return every field that is a tensor, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)[:-2]}

    @property
    def image_float(self) -> Float[Tensor, "b 3 h w"]:
        """RGB in [0, 1]."""
        return self.image.float() / 255 if self.image.dtype == torch.uint8 else self.image

    @property
    def is_depth(self) -> Bool[Tensor, " b"]:
        """Rows whose target is depth (metric or up to scale), not inverse depth."""
        return self.is_kind(DEPTH_KINDS)

    def camera_or(self, other: Float[Tensor, "*b 4"]) -> Float[Tensor, "b 4"]:
        """Return the camera of each row, and `other` where it is not known."""
        return torch.where(self.camera_known[:, None], self.intrinsics, other)

    def is_kind(self, kinds: Collection[LabelKind]) -> Bool[Tensor, " b"]:
        """Tell which rows have a label of one of the given kinds."""
        # One bit for each kind: three operations, however many kinds, and nothing to copy to the device.
        chosen = sum(1 << kind for kind in kinds)
        return (torch.bitwise_right_shift(chosen, self.kind) & 1).bool()

    @property
    def inverse_depth(self) -> Float[Tensor, "b 1 h w"]:
        """The label as inverse depth: as it is for AFFINE_DISPARITY, 1/z for depth kinds; 0 if not valid."""
        # Labels carry no gradient, so 1/0 outside `valid` may come and go.
        chosen = torch.where(self.is_depth[:, None, None, None], self.target.reciprocal(), self.target)
        return torch.where(self.valid, chosen, 0)

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> Self:
        changed: dict[str, Any] = {name: change(tensor) for name, tensor in self.tensors().items()}
        return replace(self, **changed)


class Memory:
    """Give `collate` the memory that a batch is built in; this one is the process's own."""

    def empty(self, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """Return an array whose content does not matter."""
        return np.empty(shape, dtype)

    def zeros(self, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """Return an array of zeros, which costs nothing until it is touched."""
        return np.zeros(shape, dtype)


OWN = Memory()


def collate(
    samples: Sequence[Sample], sources: Sequence[int], draws: Sequence[int] = (), memory: Memory = OWN
) -> Batch:
    """Stack samples of one size into a batch; `sources` gives each sample's index in the mix.

    Args:
        samples: the rows.
        sources: index of each row's source in the mix.
        draws: what decides how each row is varied on the device.
        memory: where the maps are built.

    Raises:
        BadSample: the samples differ in size.
    """
    for sample in samples:
        if sample.size != samples[0].size:
            reason = f"size {sample.size} differs from {samples[0].size} of {samples[0].name} in one batch"
            raise BadSample(
                reason, sample=sample.name, field="image", hint="crop or resize to one size first"
            )
    stack = partial(_stack, memory, (len(samples), 1, *samples[0].size))
    cameras = [sample.intrinsics for sample in samples]
    return Batch(
        image=_stack_images(memory, [sample.image for sample in samples]),
        target=stack(np.float32, [sample.target for sample in samples]),
        valid=stack(np.bool_, [sample.valid for sample in samples]),
        sky=stack(np.bool_, [sample.sky if sample.sky.any() else None for sample in samples]),
        planes=_stack_planes(memory, [sample.planes for sample in samples]),
        sigma=stack(np.float32, [sample.sigma for sample in samples]),
        intrinsics=torch.tensor(
            [(c.fx, c.fy, c.cx, c.cy) if c else (1.0, 1.0, 0.0, 0.0) for c in cameras], dtype=torch.float32
        ),
        camera_known=torch.tensor([camera is not None for camera in cameras]),
        quality=torch.tensor([int(sample.quality) for sample in samples]),
        kind=torch.tensor([int(sample.kind) for sample in samples]),
        source=torch.tensor(list(sources)),
        pairs=_stack_pairs([sample.pairs for sample in samples]),
        names=tuple(sample.name for sample in samples),
        draws=tuple(draws),
    )


def rank_planes(planes: Int[np.ndarray, "h w"]) -> Int[np.ndarray, "h w"]:
    """Rename plane ids to 1, 2, ... by falling area; 0 stays 0. Ties keep the order of the ids."""
    ranked = np.empty(planes.shape, np.int32)
    _rank_into(ranked, planes, int(planes.max()))
    return ranked


def _rank_into(ranked: Int[np.ndarray, "h w"], planes: Int[np.ndarray, "h w"], top: int) -> None:
    import cv2

    if top < 1 << 8 and planes.size < 1 << 24:  # what this counter can count
        narrow = planes.astype(np.uint8)
        counted = cv2.calcHist([narrow], [0], None, [256], [0, 256])
        cv2.LUT(narrow, _ranks(np.arange(256), counted.ravel()), ranked)
        return
    if top < 1 << 16 and planes.size < 1 << 24:
        # Forty times faster than sorting the pixels.
        counted = cv2.calcHist([planes.astype(np.uint16)], [0], None, [top + 1], [0, top + 1])
        ids, inverse, counts = np.arange(top + 1), planes, counted.ravel()
    else:
        ids, inverse, counts = np.unique(planes, return_inverse=True, return_counts=True)
    np.take(_ranks(ids, counts), inverse.reshape(planes.shape), out=ranked, mode="clip")


def _ranks(ids: Int[np.ndarray, " n"], counts: np.ndarray) -> Int[np.ndarray, " n"]:
    """Return the rank of each id by falling count; 0 for 0 and for ids that do not occur."""
    present = np.flatnonzero((ids > 0) & (counts > 0))
    order = present[np.argsort(-counts[present], kind="stable")]
    rank = np.zeros(len(counts), dtype=np.int32)
    rank[order] = np.arange(1, len(order) + 1, dtype=np.int32)
    return rank


def _stack_planes(memory: Memory, maps: Sequence[np.ndarray]) -> Tensor:
    shape: tuple[int, ...] = (len(maps), 1, *maps[0].shape)
    stacked: np.ndarray | None = None
    for number, planes in enumerate(maps):
        # Each map is ranked as soon as it was looked at, while it is in the processor's cache.
        top = int(planes.max())
        if top and stacked is None:
            stacked = memory.empty(shape, np.int32)
            stacked[:number] = 0
        if stacked is not None:
            _rank_into(stacked[number, 0], planes, top)
    return torch.from_numpy(memory.zeros(shape, np.int32) if stacked is None else stacked)


def _stack_images(memory: Memory, images: list[np.ndarray]) -> Tensor:
    import cv2

    stacked = memory.empty((len(images), 3, *images[0].shape[:2]), np.uint8)
    for row, image in zip(stacked, images, strict=True):
        # Ten times faster than a transposed copy.
        cv2.split(image, list(row))
    return torch.from_numpy(stacked)


def _stack(memory: Memory, shape: tuple[int, ...], dtype: type, maps: Sequence[np.ndarray | None]) -> Tensor:
    """Stack maps of which None is zero everywhere."""
    if all(given is None for given in maps):
        return torch.from_numpy(memory.zeros(shape, dtype))
    stacked = memory.empty(shape, dtype)
    for row, given in zip(stacked, maps, strict=True):
        row[0] = 0 if given is None else given
    return torch.from_numpy(stacked)


def _stack_pairs(pairs: Sequence[np.ndarray | None]) -> Int[Tensor, "b p 5"]:
    longest = max(0 if rows is None else len(rows) for rows in pairs)
    # To a power of two, so that compiled losses meet few different shapes.
    padded = np.full((len(pairs), 2 ** (longest - 1).bit_length() if longest else 0, 5), -1, dtype=np.int32)
    for row, given in zip(padded, pairs, strict=True):
        if given is not None:
            row[: len(given)] = given
    return torch.from_numpy(padded)
