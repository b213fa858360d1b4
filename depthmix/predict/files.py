"""Predict photo files and write what was asked for."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from jaxtyping import UInt8

from depthmix.errors import BadSource, ConfigError
from depthmix.predict.encode import encode_colour, encode_exr, encode_facts, encode_npy, encode_png16
from depthmix.predict.infer import PredictedDepth, predict_image
from depthmix.predict.inputs import Input, find_inputs, pictures_of
from depthmix.predict.photo import Focal, camera_of, find_focal
from depthmix.predict.points import encode_glb, encode_ply, must_be_metric
from depthmix.sample import Intrinsics
from depthmix.store.record import commit, storage_errors

if TYPE_CHECKING:
    from depthmix.trained import Trained

__all__ = ["FORMATS", "predict_files", "write_prediction"]

OnBad = Literal["error", "skip"]

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
    if every < 1:
        raise ConfigError(f"must be at least 1, got {every}", field="every")
    given = {"focal_px": focal_px, "fov_degrees": fov_degrees}
    if not POINTS.isdisjoint(formats):
        # Before any work: nothing is written for the first photo if the second can not be done.
        for one in inputs:
            must_be_metric(trained.metric, _focal(one, (1, 1), given) is not None)
    lines = []
    for one in inputs:
        try:
            for name, image in pictures_of(one, every):
                size = (image.shape[0], image.shape[1])
                focal = _focal(one, size, given)
                camera = None if focal is None else camera_of(focal, size)
                predicted = predict_image(trained, image, camera, flip=flip, tiles=tiles)
                written = write_prediction(predicted, image, camera, out, name, formats)
                lines.append(_line(one.path, predicted, focal, written))
                say(lines[-1])
        except BadSource as error:
            if on_bad == "error":
                raise
            lines.append(f"skipped: {error}")
            say(lines[-1])
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
        stem: begin of the file names, with subfolders of `out` before it.
        formats: some of `FORMATS`.

    Returns:
        the files written.

    Raises:
        ConfigError: points were asked for and the map is not metric, or OpenEXR is not installed.
        StorageError: a file can not be written.
    """
    contents: dict[str, bytes] = {}
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


def _focal(one: Input, size: tuple[int, int], given: Mapping[str, float | None]) -> Focal | None:
    # The data of a video file say nothing about its lens.
    if one.is_video and not any(given.values()):
        return None
    return find_focal(one.path, size, **given)


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
