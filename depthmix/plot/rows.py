"""A row of a batch as a sample again, so that whatever draws samples draws what a network saw."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from depthmix.sample import Intrinsics, LabelKind, Quality, Sample

if TYPE_CHECKING:
    from torch import Tensor

    from depthmix.batch import Batch

__all__ = ["sample_of"]


def sample_of(batch: "Batch", row: int, sources: Sequence[str] = ()) -> Sample:
    """Return one row of a batch as a sample; it may lie on any device.

    Args:
        batch: the batch.
        row: which of its rows.
        sources: names of the sources that `batch.source` counts, for rows whose name is not known.

    Convention: ids of planes are those of the batch, 1, 2, ... by falling area, and not those of the source.
    """
    number = int(batch.source[row])
    name = batch.names[row] if batch.names else f"{_name(sources, number)}/{row}"
    source, _, key = name.partition("/")
    image = batch.image[row] if not batch.image.is_floating_point() else batch.image[row].mul(255).round()
    kind, sigma, pairs = LabelKind(int(batch.kind[row])), _map(batch.sigma[row]), _array(batch.pairs[row])
    pairs = pairs[pairs[:, 0] >= 0]
    return Sample(
        image=np.ascontiguousarray(_array(image).transpose(1, 2, 0).clip(0, 255).astype(np.uint8)),
        target=_map(batch.target[row]).astype(np.float32),
        valid=_map(batch.valid[row]),
        sky=_map(batch.sky[row]),
        planes=_map(batch.planes[row]).astype(np.int32),
        sigma=sigma.astype(np.float32) if sigma.any() else None,
        intrinsics=Intrinsics(*batch.intrinsics[row].tolist()) if bool(batch.camera_known[row]) else None,
        quality=Quality(int(batch.quality[row])),
        kind=kind,
        source=source,
        key=key or str(row),
        pairs=pairs.astype(np.int32) if len(pairs) else None,
    )


def _name(sources: Sequence[str], number: int) -> str:
    return sources[number] if number < len(sources) else f"source {number}"


def _map(values: "Tensor") -> np.ndarray:
    return _array(values[0])


def _array(values: "Tensor") -> np.ndarray:
    return np.asarray(values.detach().cpu().numpy())
