"""Spring: frames of a rendered film with disparities at twice the resolution."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from depthmix.errors import BadSample, BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.arrays import read_hdf5
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_image, read_mask
from depthmix.sources.layout import files_below
from depthmix.sources.stereo import StereoCalibration, check_sigma, depth_of_disparity
from depthmix.sources.tables import read_lines, read_numbers

__all__ = ["Spring"]


class Spring(Source):
    """Read left frames with the metric depth of their disparities.

    Layout: `<root>/<split>/<scene>/{frame_left/frame_left_*.png, disp1_left/disp1_left_*.dsp5,
    cam_data/intrinsics.txt[, maps/skymap_left/skymap_left_*.png]}`.

    Convention: a dsp5 file is HDF5 with the dataset `disparity` of 2160 x 3840 for pictures of 1080 x 1920;
    every second row and column belongs to a pixel, and values are in pixels of the picture. NaN = none. A
    line of the intrinsics is fx fy cx cy of one frame. Where the maps were unpacked, their sky (also at twice
    the size) is the sky.

    Args:
        root: folder of the data set.
        name: name of the source in the mix.
        split: "train"; the test labels are kept by the publisher.
        baseline_m: baseline of the film's cameras, as public readers take it.
        sigma_disparity_px: one standard deviation of a disparity, for the sigma that goes with metres;
            rendered disparities are exact, so it is small.
    """

    card = SourceCard(
        family="synthetic",
        quality=Quality.HIGH,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="dense",
        noise="",
        licence="CC BY 4.0, as commonly stated; not confirmed at its publisher",
        citation="Mehl, Schmalfuss, Jahedi, Nalivayko, Bruhn: Spring: A High-Resolution High-Detail "
        "Dataset and "
        "Benchmark for Scene Flow, Optical Flow and Stereo, CVPR 2023",
        size="37 scenes, 5 000 train + 1 000 test stereo frames",
    )
    layout = "<split>/<scene>/{frame_left,disp1_left,cam_data}"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "spring",
        split: str = "train",
        baseline_m: float = 0.065,
        sigma_disparity_px: float = 0.05,
    ) -> None:
        super().__init__(root, name=name)
        if not 0 < baseline_m < 100:
            raise ValueError(f"`baseline_m` must lie in (0, 100), got {baseline_m}")
        self.split, self.baseline_m = split, baseline_m
        self.sigma_disparity_px = check_sigma(sigma_disparity_px)

    def keys(self) -> Sequence[str]:
        """List `<scene>/<frame>` of all disparities."""
        found = files_below(self.root, f"{self.split}/*/disp1_left/disp1_left_*.dsp5", expected=self.layout)
        return sorted(f"{Path(file).parts[-3]}/{Path(file).stem.rsplit('_', 1)[1]}" for file in found)

    def files(self, key: str) -> Sequence[Path]:
        """List frame, camera, sky where it is there, and disparity."""
        if key.count("/") != 1:
            raise self.unknown(key)
        scene, frame = key.split("/")
        folder = self.root / self.split / scene
        sky = folder / "maps" / "skymap_left" / f"skymap_left_{frame}.png"
        return [
            folder / "frame_left" / f"frame_left_{frame}.png",
            folder / "cam_data" / "intrinsics.txt",
            *([sky] if sky.exists() else []),
            folder / "disp1_left" / f"disp1_left_{frame}.dsp5",
        ]

    def read(self, key: str) -> Sample:
        """Read one frame."""
        image_file, camera_file, *sky_files, label_file = self.files(key)
        image = read_image(image_file)
        height, width = image.shape[:2]
        values = read_hdf5(label_file, "disparity")
        _check_double(values, label_file, image)
        camera = _camera(camera_file, int(key.split("/")[1]))
        pair = StereoCalibration(camera, self.baseline_m, 0.0, width, height)
        disparity = values[::2, ::2].astype(np.float32)
        depth, _, valid = depth_of_disparity(disparity, pair, self.sigma_disparity_px)
        sky = np.zeros(valid.shape, np.bool_)
        for file in sky_files:
            mask = read_mask(file)
            _check_double(mask, file, image)
            sky = mask[::2, ::2]
        return self.sample(key, image=image, target=depth, valid=valid & ~sky, sky=sky, intrinsics=camera)


def _check_double(values: np.ndarray, file: Path, image: np.ndarray) -> None:
    wanted = (2 * image.shape[0], 2 * image.shape[1])
    if values.shape != wanted:
        raise BadSource(f"must be {wanted}, twice the picture, got {values.shape}", file=file)


def _camera(file: Path, frame: int) -> Intrinsics:
    lines = read_lines(file)
    if not 1 <= frame <= len(lines):
        raise BadSource(f"has {len(lines)} lines, none for frame {frame}", file=file)
    # All lines are read, since a file that was cut shows it in its last line only.
    cameras = read_numbers(file, (len(lines), 4))
    fx, fy, cx, cy = cameras[frame - 1].tolist()
    try:
        return Intrinsics(fx, fy, cx, cy)
    except BadSample as error:
        raise BadSource(error.reason, file=file, field=f"line {frame}") from error
