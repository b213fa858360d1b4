"""TUM RGB-D: hand-held Kinect recordings whose images and depth maps are paired by their times."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final, Literal, get_args

import numpy as np
from jaxtyping import Float32, UInt8

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.camera import camera_of_size
from depthmix.sources.decode import read_image
from depthmix.sources.encoding import read_depth_png16
from depthmix.sources.layout import check_size, files_below, visible
from depthmix.sources.times import paired_in_time

__all__ = ["Tum"]

Camera = Literal["factory", "calibrated"]

_SIZE: Final = (480, 640)
_FACTORY: Final = Intrinsics(525.0, 525.0, 319.5, 239.5)
# The publisher's calibration of the three colour cameras and their distortion k1, k2, p1, p2, k3. The
# images of freiburg3 were rectified before they were published.
_CALIBRATED: Final = {
    "freiburg1": (
        Intrinsics(517.306408, 516.469215, 318.643040, 255.313989),
        (0.262383, -0.953104, -0.005358, 0.002628, 1.163314),
    ),
    "freiburg2": (
        Intrinsics(520.908620, 521.007327, 325.141442, 249.701764),
        (0.231222, -0.784899, -0.003257, -0.000105, 0.917205),
    ),
    "freiburg3": (Intrinsics(535.4, 539.2, 320.1, 247.6), ()),
}


class Tum(Source):
    """Read `<root>/<sequence>/{rgb/<seconds>.png, depth/<seconds>.png}`: 16-bit depth, 5000 = 1 m.

    Layout: one folder a sequence, such as rgbd_dataset_freiburg1_xyz, as the archives unpack. The names are
    the times, so rgb.txt, depth.txt and the trajectory are not needed. Each depth map goes with one image,
    the closest pairs first, as the publisher's associate.py has it; maps and images without a partner are
    no samples. Keys are `<sequence>/<name of the depth map>`.

    Convention: 0 was not measured. The driver drew depth into the image. Pixel centres lie at integers.

    Args:
        root: folder of the sequences.
        name: name of the source in the mix.
        max_gap_s: how far apart in time a depth map and its image may be.
        camera: "factory" is the pinhole of 525 px that the publisher's page uses for all sequences;
            "calibrated" takes the numbers calibrated for freiburg1, 2 and 3 and straightens images and depth
            of the first two, depth not interpolated. Then the name of a sequence must hold one of them.
        sigma_at_1m: one standard deviation of a depth of 1 m, in metres; it grows with the square of the
            depth, as measured for this sensor.

    Raises:
        BadSource: no such folder.
        ValueError: an option is none of its names, or not positive.
    """

    card = SourceCard(
        family="rgb-d",
        quality=Quality.MIDDLE,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="dense",
        noise="sigma_z = sigma_at_1m * z^2",
        licence="CC BY 4.0, as commonly stated; not confirmed at its publisher",
        citation="Sturm, Engelhard, Endres, Burgard, Cremers: A Benchmark for the Evaluation of RGB-D SLAM "
        "Systems, IROS 2012",
        size="39 sequences, as stated in the paper",
        read_on_real_files=True,
    )
    layout: ClassVar[str] = "<sequence>/{rgb/<seconds>.png, depth/<seconds>.png}"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "tum",
        max_gap_s: float = 0.02,
        camera: Camera = "factory",
        sigma_at_1m: float = 0.0014,
    ) -> None:
        super().__init__(root, name=name)
        if camera not in get_args(Camera):
            raise ValueError(f"`camera` must be one of {', '.join(get_args(Camera))}, got {camera!r}")
        for option, value in (("max_gap_s", max_gap_s), ("sigma_at_1m", sigma_at_1m)):
            if not 0 < value < np.inf:
                raise ValueError(f"`{option}` must be positive and finite, got {value}")
        self.max_gap_s, self.camera, self.sigma_at_1m = max_gap_s, camera, sigma_at_1m
        self._images: dict[str, dict[str, str]] = {}

    def keys(self) -> Sequence[str]:
        """List the depth maps that have an image.

        Raises:
            BadSource: there is none.
        """
        found = files_below(self.root, "*/depth/*.png", expected=self.layout)
        sequences = sorted({name.split("/")[0] for name in found})
        keys = [f"{sequence}/{depth}" for sequence in sequences for depth in self._paired(sequence)]
        if not keys:
            reason = f"no depth map has an image within {self.max_gap_s:g} s"
            raise BadSource(reason, file=self.root, hint=f"expected {self.layout}")
        return sorted(keys)

    def files(self, key: str) -> Sequence[Path]:
        """List image and depth.

        Raises:
            BadSource: there is no such key.
        """
        sequence, _, depth = key.rpartition("/")
        folder = self.root / sequence
        file = folder / "depth" / f"{depth}.png"
        image = self._paired(sequence).get(depth)
        if image is None:
            reason = f"has no image within {self.max_gap_s:g} s, or is not there"
            raise BadSource(reason, file=file, sample=f"{self.name}/{key}", hint="see keys()")
        return [folder / "rgb" / f"{image}.png", file]

    def read(self, key: str) -> Sample:
        """Read one depth map with its image.

        Raises:
            BadSource: a file is missing, damaged, or of another size.
            BadSample: no pixel has a depth.
        """
        image_file, depth_file = self.files(key)
        image = read_image(image_file)
        depth, valid = read_depth_png16(depth_file, per_metre=5000)
        check_size(depth, depth_file, image, image_file)
        camera, distortion = self._calibration(key.split("/")[0])
        camera = camera_of_size(camera, _SIZE, depth.shape, image_file)
        if distortion:
            image, depth = _straight(image, depth, camera, distortion)
            valid = depth > 0
        sigma = depth**2 * np.float32(self.sigma_at_1m)
        return self.sample(key, image=image, target=depth, valid=valid, sigma=sigma, intrinsics=camera)

    def _calibration(self, sequence: str) -> tuple[Intrinsics, tuple[float, ...]]:
        if self.camera == "factory":
            return _FACTORY, ()
        for name, calibrated in _CALIBRATED.items():
            if name in sequence:
                return calibrated
        raise BadSource(
            f"the name holds none of {', '.join(_CALIBRATED)}, so its camera is not known",
            file=self.root / sequence,
            hint='keep the published names, or set `camera` to "factory"',
        )

    def _paired(self, sequence: str) -> dict[str, str]:
        if sequence not in self._images:
            depth, image = (_times(self.root / sequence / folder) for folder in ("depth", "rgb"))
            self._images[sequence] = paired_in_time(depth, image, max_gap_s=self.max_gap_s)
        return self._images[sequence]


def _times(folder: Path) -> dict[str, float]:
    if not folder.is_dir():
        raise BadSource("no such folder", file=folder, hint="check that the data set was unpacked completely")
    times = {}
    for path in visible(folder):
        if path.suffix == ".png":
            try:
                times[path.stem] = float(path.stem)
            except ValueError as error:
                raise BadSource("the name must be <seconds>.png", file=path) from error
    return times


def _straight(
    image: UInt8[np.ndarray, "h w 3"],
    depth: Float32[np.ndarray, "h w"],
    camera: Intrinsics,
    distortion: tuple[float, ...],
) -> tuple[UInt8[np.ndarray, "h w 3"], Float32[np.ndarray, "h w"]]:
    """Take the distortion out of both; what lies outside is black and has depth 0."""
    import cv2

    matrix = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    size = (depth.shape[1], depth.shape[0])
    x, y = cv2.initUndistortRectifyMap(matrix, np.array(distortion), None, matrix, size, cv2.CV_32FC1)
    straight = cv2.remap(image, x, y, cv2.INTER_LINEAR)
    return np.asarray(straight), np.asarray(cv2.remap(depth, x, y, cv2.INTER_NEAREST))
