"""An ONNX file with 8-bit convolutions, and what that costs."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from jaxtyping import Float
from torch import Tensor

from depthmix.errors import ConfigError, DepthmixError
from depthmix.export.files import export_network
from depthmix.export.measure import Change, abs_rel_between, labels_of, median_ms
from depthmix.export.runner import EXTRA, onnx_runner
from depthmix.store import ShardSet
from depthmix.store.record import commit
from depthmix.trained import Trained

__all__ = ["INT8_LIMIT", "Quantised", "export_int8"]

INT8_LIMIT: Final = 0.05  # mean relative difference to the float file on photos that a file may have
FEWEST: Final = 2


@dataclass(frozen=True)
class Quantised:
    """Say where the file lies and what it costs, compared with the float file on one thread."""

    file: Path
    change: Change


def export_int8(
    trained: Trained,
    out: Path,
    photos: Float[Tensor, "b 3 h w"],
    *,
    stem: str = "model",
    shards: ShardSet | None = None,
) -> Quantised:
    """Write `<stem>.int8.onnx`: convolutions with 8-bit weights, a scale a channel, and 8-bit values.

    Every second photo tells the ranges of values, the others measure. The first and the last convolution
    stay in float, where errors are seen at once. The file holds its own figures.

    Args:
        trained: the network.
        out: folder to write to.
        photos: RGB in [0, 1] at the size of the file.
        stem: name of the file without ending.
        shards: a labelled set to measure on as well.

    Raises:
        ConfigError: fewer than two photos, or a package is not installed.
        DepthmixError: the file differs by more than 0.05 from the float one; it is not kept.
    """
    if len(photos) < FEWEST:
        hint = "some dozens that look like those of the later use"
        raise ConfigError(f"needs at least {FEWEST} photos, got {len(photos)}", field="calibrate", hint=hint)
    size = (photos.shape[-2], photos.shape[-1])
    with TemporaryDirectory() as folder:
        (whole,) = export_network(trained, Path(folder), formats=["onnx"], size=size)
        data = _quantised(whole.file, Path(folder) / "int8.onnx", photos[::2])
        before, after = onnx_runner(whole.file.read_bytes()), onnx_runner(data)
        megabytes = (whole.file.stat().st_size / 1e6, len(data) / 1e6)
    others = photos[1::2]
    file, far = out / f"{stem}.int8.onnx", abs_rel_between(before, after, others)
    if not far <= INT8_LIMIT:
        reason = f"differs from the float network by {far:.3f} on photos, at most {INT8_LIMIT} is allowed"
        hint = "it was not kept; give more photos, or export float ONNX"
        raise DepthmixError(reason, file=file, hint=hint)
    times = median_ms([before, after], others[:1])
    labels, alignment = labels_of(trained, [before, after], shards, size) if shards else (None, "none")
    change = Change(
        megabytes,
        (times[0], times[1]),
        far,
        len(others),
        (labels[0], labels[1]) if labels else None,
        alignment,
    )
    out.mkdir(parents=True, exist_ok=True)
    commit(file, _with_figures(data, change))
    return Quantised(file, change)


def _quantised(whole: Path, file: Path, photos: Float[Tensor, "b 3 h w"]) -> bytes:
    try:
        import onnx
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    except ImportError as error:
        reason = f"{error.name} is not installed"
        raise ConfigError(reason, field="format onnx-int8", hint=EXTRA) from error

    class Photos(CalibrationDataReader):  # type: ignore[misc]
        """Hands one photo after the other to the calibration."""

        def __init__(self) -> None:
            self.rows = iter([photos[i : i + 1] for i in range(len(photos))])

        def get_next(self) -> dict[str, Any] | None:
            row = next(self.rows, None)
            return None if row is None else {"image": row.numpy()}

    convolutions = [node.name for node in onnx.load(whole).graph.node if node.op_type == "Conv"]
    with _quiet():
        quantize_static(
            str(whole),
            str(file),
            Photos(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            op_types_to_quantize=["Conv"],
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[convolutions[0], convolutions[-1]],
        )
    return file.read_bytes()


def _with_figures(data: bytes, change: Change) -> bytes:
    import onnx

    model = onnx.load_from_string(data)
    stated = {one.key: one for one in model.metadata_props}["depthmix"]
    stated.value = json.dumps({**json.loads(stated.value), "int8": change.lines()}, indent=1)
    whole: bytes = model.SerializeToString()
    return whole


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep advice of onnxruntime on its own options away."""
    old = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(old)
