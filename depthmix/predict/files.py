"""Predict photo files and write what was asked for."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from jaxtyping import UInt8

from depthmix.errors import ConfigError
from depthmix.predict.encode import (
    encode_colour,
    encode_facts,
    encode_npy,
    encode_ply,
    encode_png16,
    must_be_metric,
)
from depthmix.predict.infer import PredictedDepth, predict_image
from depthmix.predict.photo import Focal, camera_of, find_focal
from depthmix.sample import Intrinsics
from depthmix.sources.decode import read_image
from depthmix.store.record import commit, storage_errors

if TYPE_CHECKING:
    from depthmix.trained import Trained

__all__ = ["FORMATS", "predict_files", "write_prediction"]

ENDINGS: Final = {
    "colour": ("colour.png",),
    "png16": ("depth16.png",),
    "npy": ("depth.npy", "depth.json"),
    "ply": ("points.ply",),
}
FORMATS: Final = tuple(ENDINGS)


def predict_files(
    trained: "Trained",
    photos: Sequence[Path],
    out: Path,
    *,
    formats: Sequence[str] = ("colour", "png16", "npy"),
    focal_px: float | None = None,
    fov_degrees: float | None = None,
) -> list[str]:
    """Predict each photo, write it in each format, and say in one line what its numbers mean.

    Args:
        trained: network and what its checkpoint says about it.
        photos: image files.
        out: folder to write to; made where it is missing.
        formats: some of `FORMATS`.
        focal_px: focal length in pixels of the photos.
        fov_degrees: horizontal field of view of the photos, used if `focal_px` is None.

    Returns:
        one line per photo.

    Raises:
        ConfigError: no photo, an unknown format, photos that would be overwritten, or points asked for where
            they can not be had.
        BadSource: a photo can not be read.
        StorageError: a file can not be written.
    """
    _check(photos, out, formats)
    if "ply" in formats:
        # Before any work: nothing is written for the first photo if the second can not be done.
        for photo in photos:
            focal = find_focal(photo, (1, 1), focal_px=focal_px, fov_degrees=fov_degrees)
            must_be_metric(trained.metric, focal is not None)
    lines = []
    for photo in photos:
        image = read_image(photo)
        size = (image.shape[0], image.shape[1])
        focal = find_focal(photo, size, focal_px=focal_px, fov_degrees=fov_degrees)
        camera = None if focal is None else camera_of(focal, size)
        predicted = predict_image(trained, image, camera)
        written = write_prediction(predicted, image, camera, out, photo.stem, formats)
        lines.append(_line(photo, predicted, focal, written))
    return lines


def write_prediction(
    predicted: PredictedDepth,
    image: UInt8[np.ndarray, "h w 3"],
    camera: Intrinsics | None,
    out: Path,
    stem: str,
    formats: Sequence[str],
) -> list[Path]:
    """Write a predicted map in each format; every file is complete or not there.

    Args:
        predicted: the map.
        image: colours of the points of a PLY file.
        camera: the camera of the image, needed for PLY.
        out: folder to write to; made where it is missing.
        stem: begin of the file names.
        formats: some of `FORMATS`.

    Returns:
        the files written.

    Raises:
        ConfigError: PLY was asked for and the map is not metric.
        StorageError: a file can not be written.
    """
    contents: dict[str, bytes] = {}
    if "colour" in formats:
        contents["colour.png"] = encode_colour(predicted)
    if "png16" in formats:
        contents["depth16.png"] = encode_png16(predicted)
    if "npy" in formats:
        contents |= {"depth.npy": encode_npy(predicted), "depth.json": encode_facts(predicted)}
    if "ply" in formats:
        contents["points.ply"] = encode_ply(predicted, image, camera)
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    for ending, content in contents.items():
        commit(out / f"{stem}_{ending}", content)
    return [out / f"{stem}_{ending}" for ending in contents]


def _check(photos: Sequence[Path], out: Path, formats: Sequence[str]) -> None:
    if not photos:
        raise ConfigError("there is no photo to predict", field="photo", hint="give at least one image file")
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise ConfigError(f"unknown format {unknown[0]!r}", field="format", hint=f"use {', '.join(FORMATS)}")
    stem, count = Counter(photo.stem for photo in photos).most_common(1)[0]
    if count > 1:
        hint = "predict them into different folders"
        raise ConfigError(f"{count} photos are called {stem!r} and would overwrite each other", hint=hint)
    endings = [ending for name in formats for ending in ENDINGS[name]]
    written = {(out / f"{photo.stem}_{ending}").resolve() for photo in photos for ending in endings}
    for photo in photos:
        if photo.resolve() in written:
            hint = "predict into another folder"
            raise ConfigError("would be overwritten by a prediction", file=photo, hint=hint)


def _line(photo: Path, predicted: PredictedDepth, focal: Focal | None, written: Sequence[Path]) -> str:
    unit = f", {predicted.unit}" if predicted.metric else ""
    if focal is None:
        why = "focal length not known: --focal-px or --fov-degrees"
    elif predicted.metric:
        why = f"focal length {focal.pixels:.1f} px {focal.origin}"
    else:
        why = "this checkpoint has not learned metres, so the focal length was not used"
    files = ", ".join(str(path) for path in written)
    return f"{photo}: {predicted.kind}{unit} ({why}); wrote {files}"
