"""Samples of mixed quality side by side as tensors, and the views of their labels that losses ask for."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Final, Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int, Num, UInt, UInt8
from torch import Tensor

from depthmix.errors import BadSample
from depthmix.sample import DEPTH_KINDS, LabelKind, Sample

__all__ = ["OWN", "Batch", "Memory", "collate", "rank_planes"]


@dataclass(frozen=True)
class Batch:
    """Hold `b` samples of one size; every tensor lives on one device.

    Args:
        image: RGB, uint8 0..255 until `image_float` is asked for on the device; lies in memory as b h w 3, as
            decoders write it, so take `reshape`, not `view`.
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
        """RGB in [0, 1], contiguous: colours are sorted here, on the device, where it costs least."""
        if self.image.dtype != torch.uint8:
            return self.image
        # On channels_last, depthwise convolutions have gradients of strides that DDP complains about.
        return self.image.to(torch.float32, memory_format=torch.contiguous_format).div_(255)

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
COUNTABLE: Final = 1 << 24  # pixels that OpenCV counts exactly: it does so in float32


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
    # Colours stay together, as decoders write them: to sort them costs a worker several copies.
    images = _stack(memory, (len(samples), 1, *samples[0].size, 3), np.uint8, [one.image for one in samples])
    cameras = [sample.intrinsics for sample in samples]
    return Batch(
        image=images[:, 0].permute(0, 3, 1, 2),
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
    ranked: np.ndarray = _stack_planes(OWN, [planes]).numpy()[0, 0]
    return ranked


def _stack_planes(memory: Memory, maps: Sequence[Int[np.ndarray, "h w"]]) -> Int[Tensor, "b 1 h w"]:
    shape, tops = (len(maps), 1, *maps[0].shape), [int(planes.max()) for planes in maps]
    if not any(tops):
        return torch.from_numpy(memory.zeros(shape, np.int32))
    stacked = memory.empty(shape, np.int32)
    if max(tops) < 1 << 8 and maps[0].size < COUNTABLE:
        _rank_bytes(stacked, [planes.astype(np.uint8, copy=False) for planes in maps])
    else:
        for ranked, planes, top in zip(stacked, maps, tops, strict=True):
            _rank_into(ranked[0], planes, top)
    return torch.from_numpy(stacked)


def _rank_bytes(stacked: Int[np.ndarray, "b 1 h w"], maps: Sequence[UInt8[np.ndarray, "h w"]]) -> None:
    import cv2

    counts = np.stack([_count(planes, 256) for planes in maps])
    for ranked, planes, ranks in zip(stacked, maps, _ranks(counts), strict=True):
        cv2.LUT(planes, ranks, ranked[0])


def _rank_into(ranked: Int[np.ndarray, "h w"], planes: Int[np.ndarray, "h w"], top: int) -> None:
    if top < 1 << 16 and planes.size < COUNTABLE:
        # Forty times faster than sorting the pixels.
        counts, places = _count(planes.astype(np.uint16), top + 1), planes
    else:
        ids, places, counts = np.unique(planes, return_inverse=True, return_counts=True)
        places = places.reshape(planes.shape)
        if ids[0] != 0:  # the first count is that of 0
            counts, places = np.concatenate([[0], counts]), places + 1
    np.take(_ranks(counts[None])[0], places, out=ranked, mode="clip")


def _count(planes: UInt[np.ndarray, "h w"], ids: int) -> Float32[np.ndarray, " n"]:
    import cv2

    counts: np.ndarray = cv2.calcHist([planes], [0], None, [ids], [0, ids]).ravel()
    return counts


def _ranks(counts: Num[np.ndarray, "b n"]) -> Int[np.ndarray, "b n"]:
    """Return the rank of each id by falling count in its row; 0 for 0 and for ids that do not occur."""
    areas = np.where(np.arange(counts.shape[1]) > 0, counts, 0)
    order = np.argsort(-areas, axis=1, kind="stable")
    ranks = np.empty(counts.shape, np.int32)
    np.put_along_axis(ranks, order, np.arange(1, counts.shape[1] + 1, dtype=np.int32)[None], axis=1)
    ranks[areas == 0] = 0
    return ranks


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
