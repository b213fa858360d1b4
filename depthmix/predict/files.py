"""Predict photo files and write what was asked for."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from jaxtyping import UInt8

from depthmix.errors import BadSource, ConfigError
from depthmix.predict.encode import encode_colour, encode_exr, encode_facts, encode_npy, encode_png16
from depthmix.predict.infer import PredictedDepth, predict_images
from depthmix.predict.inputs import Input, find_inputs
from depthmix.predict.photo import ESTIMATED, Focal, camera_of
from depthmix.predict.pictures import OnBad, Picture, focal_of, picture_windows
from depthmix.predict.points import encode_glb, encode_ply, must_be_metric
from depthmix.sample import Intrinsics
from depthmix.store.record import commit, storage_errors

if TYPE_CHECKING:
    from depthmix.trained import Trained

__all__ = ["FORMATS", "predict_files", "write_prediction"]

ENDINGS: Final = {
    "colour": ("colour.png",),
    "png16": ("depth16.png",),
    "npy": ("depth.npy", "depth.json"),
    "exr": ("depth.exr",),
    "ply": ("points.ply",),
    "glb": ("mesh.glb",),
}
FORMATS: Final = tuple(ENDINGS)
POINTS: Final = frozenset({"ply", "glb"})  # formats that need metres


def predict_files(
    trained: "Trained",
    photos: Sequence[Path],
    out: Path,
    *,
    formats: Sequence[str] = ("colour", "png16", "npy"),
    focal_px: float | None = None,
    fov_degrees: float | None = None,
    flip: bool = False,
    tiles: int = 1,
    every: int = 1,
    batch: int = 1,
    on_bad: OnBad = "error",
    say: Callable[[str], None] = lambda line: None,
) -> list[str]:
    """Predict photos, folders of them and videos, write each in each format, and say what its numbers mean.

    Args:
        trained: network and what its checkpoint says about it.
        photos: image files, folders, videos; see `find_inputs`.
        out: folder to write to; made where it is missing. Files of a folder keep their subfolders.
        formats: some of `FORMATS`.
        focal_px: focal length in pixels of the photos.
        fov_degrees: horizontal field of view of the photos, used if `focal_px` is None.
        flip: see `predict_image`.
        tiles: see `predict_image`.
        every: take every n-th frame of a video.
        batch: pictures that are held at a time; those of equal size to the network go through it together.
        on_bad: "error" stops at a file that can not be read, "skip" goes on with the next one.
        say: is told each line at once.

    Returns:
        one line per picture, and one per file that was skipped.

    Raises:
        ConfigError: no photo, an unknown format, photos that would be overwritten, or points asked for where
            they can not be had.
        BadSource: a photo can not be read.
        StorageError: a file can not be written.
    """
    inputs = find_inputs(photos)
    _check(inputs, out, formats)
    for option, number in {"every": every, "batch": batch, "tiles": tiles}.items():
        if number < 1:
            raise ConfigError(f"must be at least 1, got {number}", field=option)
    given = {"focal_px": focal_px, "fov_degrees": fov_degrees}
    if not POINTS.isdisjoint(formats):
        # Before any work: nothing is written for the first photo if the second can not be done.
        for one in inputs:
            known = "focal" in trained.heads or focal_of(one, (1, 1), given) is not None
            must_be_metric(trained.metric, known)
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        say(line)

    for found in picture_windows(inputs, batch, every, given, on_bad):
        if isinstance(found, BadSource):
            tell(f"skipped: {found}")
            continue
        images, cameras = [one.image for one in found], [one.camera for one in found]
        predictions = predict_images(trained, images, cameras, flip=flip, tiles=tiles, batch=batch)
        for picture, predicted in zip(found, map(_named, predictions, found), strict=True):
            name, image, camera = picture.name, picture.image, picture.camera
            written = write_prediction(predicted, image, camera, out, name, formats)
            tell(_line(picture, predicted, written))
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
        camera: the camera of the image, for PLY and GLB; where it is not known, that of an uncropped image
            with the focal length that the map used.
        out: folder to write to; made where it is missing.
        stem: begin of the file names, with subfolders of `out` before it.
        formats: some of `FORMATS`.

    Returns:
        the files written.

    Raises:
        ConfigError: points were asked for and the map is not metric, or OpenEXR is not installed.
        StorageError: a file can not be written.
    """
    contents: dict[str, bytes] = {}
    if camera is None and predicted.focal_used is not None:
        camera = camera_of(Focal(predicted.focal_used, ESTIMATED), (image.shape[0], image.shape[1]))
    if "colour" in formats:
        contents["colour.png"] = encode_colour(predicted)
    if "png16" in formats:
        contents["depth16.png"] = encode_png16(predicted)
    if "npy" in formats:
        contents |= {"depth.npy": encode_npy(predicted), "depth.json": encode_facts(predicted)}
    if "exr" in formats:
        contents["depth.exr"] = encode_exr(predicted)
    if "ply" in formats:
        contents["points.ply"] = encode_ply(predicted, image, camera)
    if "glb" in formats:
        contents["mesh.glb"] = encode_glb(predicted, image, camera)
    folder = (out / stem).parent
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for ending, content in contents.items():
        commit(out / f"{stem}_{ending}", content)
    return [out / f"{stem}_{ending}" for ending in contents]


def _check(inputs: Sequence[Input], out: Path, formats: Sequence[str]) -> None:
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise ConfigError(f"unknown format {unknown[0]!r}", field="format", hint=f"use {', '.join(FORMATS)}")
    stem, count = Counter(one.name for one in inputs).most_common(1)[0]
    if count > 1:
        hint = "predict them into different folders"
        raise ConfigError(f"{count} photos are called {stem!r} and would overwrite each other", hint=hint)
    endings = [ending for name in formats for ending in ENDINGS[name]]
    written = {(out / f"{one.name}_{ending}").resolve() for one in inputs for ending in endings}
    for one in inputs:
        if one.path.resolve() in written:
            hint = "predict into another folder"
            raise ConfigError("would be overwritten by a prediction", file=one.path, hint=hint)


def _named(predicted: PredictedDepth, picture: Picture) -> PredictedDepth:
    """Say where a focal length comes from that was not estimated."""
    if picture.focal is None or not predicted.metric:
        return predicted
    return replace(predicted, focal_origin=picture.focal.origin)


def _line(picture: Picture, predicted: PredictedDepth, written: Sequence[Path]) -> str:
    unit = f", {predicted.unit}" if predicted.metric else ""
    if predicted.metric:
        why = f"focal length {predicted.focal_used:.1f} px {predicted.focal_origin}"
    elif picture.focal is None:
        why = "focal length not known: --focal-px or --fov-degrees"
    else:
        why = "this checkpoint has not learned metres, so the focal length was not used"
    files = ", ".join(str(path) for path in written)
    return f"{picture.path}: {predicted.kind}{unit} ({why}); wrote {files}"
