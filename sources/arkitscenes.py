"""ARKitScenes: rooms scanned with a tablet's LiDAR, and the same rooms from a laser scanner."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import ClassVar, Final, Literal, get_args

import numpy as np
from jaxtyping import Float64

from depthmix.errors import BadSample, BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_grey8, read_image
from depthmix.sources.encoding import read_depth_png16
from depthmix.sources.layout import check_size, files_below
from depthmix.sources.listing import matching
from depthmix.sources.tables import MISFIT, read_csv, read_lines, read_numbers

__all__ = ["ArkitScenes", "quarter_turns"]

Label = Literal["lowres", "highres"]
Upright = Literal["trajectory", "metadata", "none"]
Split = Literal["both", "Training", "Validation"]

_IMAGES: Final = {"lowres": "lowres_wide", "highres": "wide"}
# Quarter turns against the clock that bring the side where the sky is to the top.
_TURNS: Final = {"up": 0, "right": 1, "down": 2, "left": 3}
_SIDES: Final = {"up": (0, -1, 0), "right": (1, 0, 0), "down": (0, 1, 0), "left": (-1, 0, 0)}
_MAX_GAP_S: Final = 1.0


class ArkitScenes(Source):
    """Read `<root>/<split>/<video>/{lowres_wide, lowres_depth, confidence, lowres_wide_intrinsics}`.

    Layout: the folder `raw` that the publisher's download_data.py writes: `<root>/metadata.csv` and, below
    Training or Validation, `<video>/<asset>/<video>_<seconds>.png`, `<video>/<asset>_intrinsics/*.pincam` and
    `<video>/lowres_wide.traj`. Published is what there is: an image without depth, or the other way round,
    is no sample. Times of intrinsics may differ by 1 ms. The folder `upsampling` has the images of "highres"
    in `color`, neither cameras nor trajectories: its samples have no camera. Keys are
    `<split>/<video>/<video>_<seconds>`.

    Convention: 16-bit depth in millimetres, 0 = none. The tablet was held in any way: an image is turned in
    steps of 90 degrees until the sky is at the top, and its camera with it. A line of the trajectory is
    time, axis times angle, and shift of the motion from world (z up) to camera; the line nearest in time
    tells which side of the image is the highest. The principal point is taken to count from the image's
    corner, as in Apple's interface, so half a pixel is subtracted.

    The data set 3dod, a part of raw whose videos have one more folder `<video>_frames`, is read as well.

    Args:
        root: folder of the splits.
        name: name of the source in the mix.
        split: "Training", "Validation" or "both".
        label: "lowres" is the tablet's LiDAR, filled in by Apple's software (256 x 192); "highres" the mesh
            of a laser scanner drawn into images of 1920 x 1440, with holes, only there for some videos.
        min_confidence: of "lowres", 0 to 2; the publisher calls 2 high. At 0 no confidence is read; the
            data set 3dod has none.
        upright: "trajectory" turns each image by its own pose; "metadata" by the sky_direction of its
            video in metadata.csv, which public readers found not always right, and not where it is NA;
            "none" leaves images as they are stored.

    Raises:
        BadSource: no such folder.
        ValueError: an option is none of its names, or out of range.
    """

    card = SourceCard(
        family="rgb-d",
        quality=Quality.MIDDLE,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="dense",
        noise="",
        licence="CC BY-NC-SA 4.0",
        citation="Baruch, Chen, Dehghan, Dimry, Feigin, Fu, Gebauer, Joffe, Kurz, Schwartz, Shulman: "
        "ARKitScenes: A Diverse Real-World Dataset For 3D Indoor Scene Understanding Using Mobile RGB-D "
        "Data, NeurIPS 2021 Datasets and Benchmarks",
        size="5047 videos of 1661 rooms; laser depth for 2257 of 841 rooms",
    )
    layout: ClassVar[str] = "<Training|Validation>/<video>/{lowres_wide, lowres_depth, confidence, ...}"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "arkitscenes",
        split: Split = "both",
        label: Label = "lowres",
        min_confidence: int = 2,
        upright: Upright = "trajectory",
    ) -> None:
        super().__init__(root, name=name)
        options = (("split", split, Split), ("label", label, Label), ("upright", upright, Upright))
        for option, value, allowed in options:
            if value not in get_args(allowed):
                raise ValueError(f"`{option}` must be one of {', '.join(get_args(allowed))}, got {value!r}")
        if min_confidence not in (0, 1, 2):
            raise ValueError(f"`min_confidence` must be 0, 1 or 2, got {min_confidence}")
        self.split, self.label, self.upright = split, label, upright
        self.min_confidence = min_confidence if label == "lowres" else 0
        if label == "highres":
            self.card = replace(type(self).card, quality=Quality.HIGH)
        self._poses: dict[Path, Float64[np.ndarray, "n 7"]] = {}

    def keys(self) -> Sequence[str]:
        """List the frames that have image and depth as `<split>/<video>/<video>_<seconds>`.

        Raises:
            BadSource: there is none.
        """
        split = "*" if self.split == "both" else self.split
        found = files_below(self.root, f"{split}/**/{self.label}_depth/*.png", expected=self.layout)
        keys = []
        for folder, names in groupby(map(Path, found), lambda name: name.parents[1]):
            images = {Path(file).stem for file in matching(self._images(self.root / folder), "*.png")}
            keys += [f"{folder.as_posix()}/{name.stem}" for name in names if name.stem in images]
        if not keys:
            raise BadSource("no depth map has an image", file=self.root, hint=f"expected {self.layout}")
        return sorted(keys)

    def files(self, key: str) -> Sequence[Path]:
        """List image, confidence, camera and facts on the pose where they are read, and depth.

        Raises:
            BadSource: there are cameras, but none of this frame.
        """
        video, _, stem = key.rpartition("/")
        folder = self.root / video
        images = self._images(folder)
        files = [images / f"{stem}.png"]
        if self.min_confidence:
            files.append(folder / "confidence" / f"{stem}.png")
        cameras = images.with_name(f"{images.name}_intrinsics")
        if cameras.is_dir():
            files.append(_camera_file(cameras, stem))
        if self.upright != "none":
            table = self.root / "metadata.csv"
            files.append(table if self.upright == "metadata" else folder / "lowres_wide.traj")
        return [*files, folder / f"{self.label}_depth" / f"{stem}.png"]

    def read(self, key: str) -> Sample:
        """Read one frame, turned upright.

        Raises:
            BadSource: a file is missing, damaged, or of another size, or no pose is near in time.
            BadSample: no pixel has a depth.
        """
        image_file, *others, depth_file = self.files(key)
        image = read_image(image_file)
        depth, valid = read_depth_png16(depth_file, per_metre=1000)
        check_size(depth, depth_file, image, image_file)
        camera, turns = None, 0
        for file in others:
            if file.suffix == ".png":
                confidence = read_grey8(file)
                check_size(confidence, file, image, image_file)
                if confidence.max() > 2:
                    raise BadSource(f"must hold 0, 1 and 2, got {confidence.max()}", file=file)
                valid = valid & (confidence >= self.min_confidence)
            elif file.suffix == ".pincam":
                camera = _camera(file, depth.shape)
            elif file.suffix == ".csv":
                turns = _turns_of_video(file, image_file.stem.split("_")[0])
            else:
                turns = quarter_turns(self._pose(file, _seconds(image_file)))
        for _ in range(turns):
            camera = _turned(camera, image.shape[1]) if camera else None
            image, depth, valid = np.rot90(image), np.rot90(depth), np.rot90(valid)
        image, depth, valid = (np.ascontiguousarray(array) for array in (image, depth, valid))
        return self.sample(key, image=image, target=depth, valid=valid, intrinsics=camera)

    def _images(self, folder: Path) -> Path:
        if self.label == "lowres":
            return folder / "lowres_wide"
        # The data set of depth upsampling names the same images by another word.
        return folder / ("wide" if (folder / "wide").is_dir() or not (folder / "color").is_dir() else "color")

    def _pose(self, file: Path, seconds: float) -> Float64[np.ndarray, "3 3"]:
        """Read the turn from world to camera that is nearest in time."""
        import cv2

        if file not in self._poses:
            self._poses[file] = _trajectory(file)
        lines = self._poses[file]
        nearest = lines[np.abs(lines[:, 0] - seconds).argmin()]
        if abs(nearest[0] - seconds) > _MAX_GAP_S:
            reason = f"has no pose within {_MAX_GAP_S:g} s of {seconds:.3f}"
            raise BadSource(reason, file=file, hint='set `upright` to "metadata" or "none"')
        return np.asarray(cv2.Rodrigues(nearest[1:4])[0])


def quarter_turns(to_camera: Float64[np.ndarray, "3 3"]) -> int:
    """Return how often an image has to be turned by 90 degrees, against the clock, to stand upright.

    Args:
        to_camera: rotation from the world, z up, to the camera.
    """
    up = to_camera[:, 2]
    return _TURNS[max(_SIDES, key=lambda side: float(up @ _SIDES[side]))]


def _turned(camera: Intrinsics, width: int) -> Intrinsics:
    """Turn the camera of an image of so many columns by 90 degrees against the clock."""
    return Intrinsics(camera.fy, camera.fx, camera.cy, width - 1 - camera.cx)


def _seconds(file: Path) -> float:
    try:
        return float(file.stem.split("_")[1])
    except MISFIT as error:
        raise BadSource("the name must be <video>_<seconds>", file=file) from error


def _trajectory(file: Path) -> Float64[np.ndarray, "n 7"]:
    try:
        lines = np.array([[float(word) for word in line.split()] for line in read_lines(file)])
    except ValueError as error:
        raise BadSource(f"must hold lines of 7 numbers: {error}", file=file) from error
    if lines.ndim != 2 or lines.shape[1] != 7 or not np.isfinite(lines).all():
        raise BadSource("must hold lines of 7 finite numbers", file=file)
    return lines


def _turns_of_video(table: Path, video: str) -> int:
    sides = [row.get("sky_direction") for row in read_csv(table) if row.get("video_id") == video]
    if len(sides) != 1 or sides[0] is None:
        raise BadSource(f"has {len(sides)} rows with a sky_direction of video {video}", file=table)
    return _TURNS.get(sides[0].lower(), 0)


def _camera_file(folder: Path, stem: str) -> Path:
    video, _, seconds = stem.partition("_")
    names = [stem]
    if seconds.replace(".", "", 1).isdecimal():
        names += [f"{video}_{float(seconds) + step:.3f}" for step in (-0.001, 0.001)]
    files = [folder / f"{name}.pincam" for name in names]
    return next((file for file in files if file.exists()), files[0])


def _camera(file: Path, size: tuple[int, ...]) -> Intrinsics:
    width, height, fx, fy, cx, cy = read_numbers(file, (6,)).tolist()
    if (height, width) != size:
        reason = f"is of {width:g} x {height:g} pixels, the image has {size[1]} x {size[0]}"
        raise BadSource(reason, file=file)
    try:
        return Intrinsics(fx, fy, cx - 0.5, cy - 0.5)
    except BadSample as error:
        raise BadSource(error.reason, file=file, field=error.field) from error
