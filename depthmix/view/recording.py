"""The same samples as a recording for rerun, which turns, zooms and steps through them."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from depthmix.errors import ConfigError
from depthmix.plot.cloud import points_of
from depthmix.sample import DEPTH_KINDS
from depthmix.store.record import storage_errors
from depthmix.view.gather import Item, Items

__all__ = ["write_recording"]


def write_recording(items: Items, out: Path) -> Path:
    """Write a recording with one step of the timeline "sample" for each sample, and return its path.

    Every source has image, depth or inverse depth, validity, planes, camera and points where it bears them,
    and with a network the prediction and its points.

    Raises:
        ConfigError: rerun is not installed.
        StorageError: the file system refuses.
    """
    rerun = _rerun()
    with storage_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        rerun.init("depthmix")
        rerun.save(str(out))
    for number, item in enumerate(items.chosen):
        rerun.set_time("sample", sequence=number)
        if number:  # else what other sources showed last would stay in view
            rerun.log([items.chosen[number - 1].source], rerun.Clear(recursive=True))
        _log(rerun, item)
    return out


def _rerun() -> Any:
    try:
        return import_module("rerun")
    except ImportError as error:
        hint = "pip install 'depthmix[rerun]'"
        raise ConfigError("needs the package rerun-sdk", field="--rrd", hint=hint) from error


def _log(rerun: Any, item: Item) -> None:
    sample = item.sample

    def put(name: str, value: Any) -> None:
        rerun.log([item.source, *name.split("/")], value)  # a list of parts is escaped, a text is not

    put("name", rerun.TextDocument(sample.name))
    camera, (height, width) = sample.intrinsics, sample.size
    if camera is not None:
        pinhole = rerun.Pinhole(
            focal_length=[camera.fx, camera.fy],
            principal_point=[camera.cx + 0.5, camera.cy + 0.5],  # theirs has pixel centres at halves
            width=width,
            height=height,
            camera_xyz=rerun.ViewCoordinates.RDF,
        )
        put("camera", pinhole)
    put("camera/image", rerun.Image(sample.image))
    put("camera/valid", rerun.SegmentationImage(sample.valid.astype(np.uint8)))
    if (sample.planes > 0).any():
        put("camera/planes", rerun.SegmentationImage((sample.planes % 65536).astype(np.uint16)))
    maps = {"label": np.where(sample.valid, sample.target, 0)} if sample.valid.any() else {}
    fitted = item.fitted
    if fitted is not None:
        maps["prediction"] = np.where(np.isfinite(fitted), fitted, 0)
    for name, values in maps.items():
        if sample.kind not in DEPTH_KINDS:
            put(f"camera/{name}", rerun.Tensor(values.astype(np.float32)))  # inverse depth is no depth
            continue
        put(f"camera/{name}", rerun.DepthImage(values.astype(np.float32), meter=1.0))
        if camera is not None:
            seen = (values > 0) & ~sample.sky
            places = points_of(values, camera)[seen]
            put(f"points/{name}", rerun.Points3D(places, colors=sample.image[seen]))
