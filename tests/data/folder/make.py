"""Write folders of images and labels in forms that people have, with depth that is known."""

import json
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

from depthmix.testing import Known, Truth, known_view
from depthmix.testing.known import code16, write_image, write_pfm

BASELINE_M = 0.2
PLACES = ("hall/left", "hall/right", "yard")


def views() -> dict[str, Known]:
    """Return the view of each key."""
    return {f"{place}/{number:04d}": known_view(number) for number, place in enumerate(PLACES)}


def write_photos(root: Path) -> dict[str, Known]:
    """Write the images as PNG."""
    found = views()
    for key, view in found.items():
        write_image(root / "rgb" / f"{key}_rgb.png", view.image)
    return found


def write(root: Path, form: str) -> dict[str, Truth]:
    """Write images and labels in one form; the sky has no label."""
    truths = {}
    for key, view in write_photos(root).items():
        file = root / "label" / f"{key}.{SUFFIXES[form]}"
        file.parent.mkdir(parents=True, exist_ok=True)
        tolerances = WRITERS[form](file, view)
        target = np.where(view.sky, np.nan, view.depth)
        truths[key] = Truth(target, view.intrinsics, *tolerances)
    (root / "camera.json").write_text(json.dumps(vars_of(view)))
    return truths


def vars_of(view: Known) -> dict[str, float]:
    """Return the camera as the JSON of depthmix states it."""
    camera = view.intrinsics
    return {"fx": camera.fx, "fy": camera.fy, "cx": camera.cx, "cy": camera.cy}


def _png16(file: Path, view: Known) -> tuple[float, float]:
    write_image(file, code16(view.depth, 1000))
    return 0.0, 0.5e-3 + 1e-6


def _npy(file: Path, view: Known) -> tuple[float, float]:
    np.save(file, view.depth.astype(np.float32)[..., None])
    return 1e-6, 0.0


def _npz(file: Path, view: Known) -> tuple[float, float]:
    np.savez_compressed(file, depth=view.depth.astype(np.float32), more=np.zeros(3))
    return 1e-6, 0.0


def _hdf5(file: Path, view: Known) -> tuple[float, float]:
    with h5py.File(file, "w") as content:
        content["a/depth"] = view.depth.astype(np.float16)
    return 1e-3, 0.0


def _exr(file: Path, view: Known) -> tuple[float, float]:
    import OpenEXR

    channels = {"Z": view.depth.astype(np.float32), "A": np.ones(view.size, np.float32)}
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, channels) as content:
        content.write(str(file))
    return 1e-6, 0.0


def _pfm(file: Path, view: Known) -> tuple[float, float]:
    write_pfm(file, view.depth)
    return 1e-6, 0.0


def _tiff(file: Path, view: Known) -> tuple[float, float]:
    Image.fromarray(view.depth.astype(np.float32)).save(file, compression="tiff_adobe_deflate")
    return 1e-6, 0.0


def _distance(file: Path, view: Known) -> tuple[float, float]:
    np.save(file, view.ray_length.astype(np.float32))
    return 1e-5, 0.0


def _disparity(file: Path, view: Known) -> tuple[float, float]:
    write_image(file, code16(np.where(view.sky, np.nan, view.disparity(BASELINE_M)), 256))
    return 2e-2, 0.0  # 1/512 px of a disparity of a few pixels


SUFFIXES = {
    **{"png16": "png", "npy": "npy", "npz": "npz", "hdf5": "h5", "exr": "exr", "pfm": "pfm", "tiff": "tif"},
    **{"distance": "npy", "disparity": "png"},
}
WRITERS = {
    **{"png16": _png16, "npy": _npy, "npz": _npz, "hdf5": _hdf5, "exr": _exr, "pfm": _pfm, "tiff": _tiff},
    **{"distance": _distance, "disparity": _disparity},
}
OPTIONS: dict[str, dict[str, object]] = {
    "png16": {"encoding": "png16", "per_unit": 1000},
    "npy": {"encoding": "npy"},
    "npz": {"encoding": "npz", "field": "depth"},
    "hdf5": {"encoding": "hdf5", "field": "a/depth"},
    "exr": {"encoding": "exr", "field": "Z"},
    "pfm": {"encoding": "pfm"},
    "tiff": {"encoding": "tiff"},
    "distance": {"encoding": "npy", "means": "distance"},
    "disparity": {"encoding": "png16", "means": "disparity", "per_unit": 256, "baseline_m": BASELINE_M},
}
