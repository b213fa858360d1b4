"""Encode a predicted map as files that say themselves what their numbers are."""

import json
import logging
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import numpy as np
from jaxtyping import Float, UInt16

from depthmix.errors import ConfigError
from depthmix.plot.colour import Scale, fair_range
from depthmix.predict.infer import PredictedDepth

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

__all__ = ["encode_colour", "encode_exr", "encode_facts", "encode_npy", "encode_png16"]

log = logging.getLogger(__name__)

FULL: Final = 65535


def encode_npy(predicted: PredictedDepth) -> bytes:
    """Encode the numbers as they are, float32; `encode_facts` belongs beside them."""
    target = BytesIO()
    np.save(target, predicted.values, allow_pickle=False)
    return target.getvalue()


def encode_facts(predicted: PredictedDepth) -> bytes:
    """Encode kind, unit, focal length and where that comes from as JSON."""
    return (json.dumps({"schema": 1, **predicted.facts}, indent=2) + "\n").encode()


def encode_png16(predicted: PredictedDepth) -> bytes:
    """Encode as 16-bit grey PNG, with the facts of the map, scale and offset in its text fields.

    Convention: `value = scale * pixel + offset` in the unit of the text. Metric depth: pixels are
    millimetres, 0 marks what lies beyond 65.535 m. Relative: 0 is the farthest, 65535 the nearest pixel.
    """
    from PIL import Image

    pixels, scale, offset = _millimetres(predicted) if predicted.metric else _normalised(predicted)
    text = _text(predicted.texts | {"scale": repr(scale), "offset": repr(offset)})
    target = BytesIO()
    Image.fromarray(pixels).save(target, format="PNG", pnginfo=text)
    return target.getvalue()


def encode_colour(predicted: PredictedDepth) -> bytes:
    """Encode as a coloured PNG to look at: near is bright, whatever the numbers mean.

    Its text fields hold the facts of the map, and the numbers at both ends of the colours.
    """
    from PIL import Image

    low, high = fair_range(predicted.values, np.ones(predicted.values.shape, np.bool_))
    colours = "magma_r" if predicted.metric else "magma"
    rgb = Scale(low, high, log=predicted.metric, colours=colours).rgb(predicted.values)
    target = BytesIO()
    text = _text(predicted.texts | {"lowest": repr(float(low)), "highest": repr(float(high))})
    Image.fromarray(rgb).save(target, format="PNG", optimize=True, pnginfo=text)
    return target.getvalue()


def encode_exr(predicted: PredictedDepth) -> bytes:
    """Encode the numbers as they are, float32, as channel Z of OpenEXR; the header says what they are.

    Raises:
        ConfigError: OpenEXR is not installed.
    """
    try:
        import OpenEXR
    except ImportError as error:
        hint = "pip install depthmix[formats]"
        raise ConfigError("OpenEXR is needed to write it", field="format exr", hint=hint) from error
    facts = {f"depthmix:{name}": text for name, text in predicted.texts.items()}
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **facts}
    with TemporaryDirectory() as folder:  # the library writes files only
        file = Path(folder) / "depth.exr"
        OpenEXR.File(header, {"Z": np.ascontiguousarray(predicted.values)}).write(str(file))
        return file.read_bytes()


def _text(facts: Mapping[str, str]) -> "PngInfo":
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    for name, fact in facts.items():
        text.add_text(f"depthmix:{name}", fact)
    return text


def _millimetres(predicted: PredictedDepth) -> tuple[UInt16[np.ndarray, "h w"], float, float]:
    pixels = np.rint(predicted.values.astype(np.float64) * 1000)
    beyond = int((pixels > FULL).sum())
    if beyond:
        share = beyond / pixels.size
        log.warning(
            "%.1f %% of the pixels lie beyond 65.535 m: 0 in the 16-bit PNG, kept in NPY", 100 * share
        )
    kept = np.where(pixels > FULL, 0, np.maximum(pixels, 1))
    return kept.astype(np.uint16), 0.001, 0.0


def _normalised(predicted: PredictedDepth) -> tuple[UInt16[np.ndarray, "h w"], float, float]:
    values: Float[np.ndarray, "h w"] = predicted.values.astype(np.float64)
    offset = float(values.min())
    scale = (float(values.max()) - offset) / FULL or 1.0
    return np.rint((values - offset) / scale).astype(np.uint16), scale, offset
