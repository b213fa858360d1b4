"""7-Scenes: Kinect recordings of seven rooms, whose depth was never registered to the images."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float32

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.camera import camera_of_size
from depthmix.sources.decode import read_image
from depthmix.sources.encoding import read_depth_png16
from depthmix.sources.layout import check_size, files_below
from depthmix.sources.lidar import inside_image, nearest_point_depth, project_points
from depthmix.sources.poses import moved, rigid
from depthmix.sources.tables import read_lines

__all__ = ["SevenScenes"]

Split = Literal["all", "train", "test"]
Align = Literal["project", "none"]

_SIZE: Final = (480, 640)
# The publisher names (320, 240), half the image, which is 319.5 and 239.5 for centres at integers.
_SENSOR: Final = Intrinsics(585.0, 585.0, 319.5, 239.5)
# The step from the depth sensor to the colour camera, as LIRIS measured it on another Kinect and as public
# readers of 7-Scenes take it over; the publisher gives none.
_TO_COLOUR: Final = rigid(
    np.array(
        [
            [9.9996518012567637e-01, 2.6765126468950343e-03, -7.9041012313000904e-03],
            [-2.7409311281316700e-03, 9.9996302803027592e-01, -8.1504520778013286e-03],
            [7.8819942130445332e-03, 8.1718328771890631e-03, 9.9993554558014031e-01],
        ]
    ),
    (-2.5558943178152542e-02, 1.0109636268061706e-04, 2.0318321729487039e-03),
)


class SevenScenes(Source):
    """Read `<root>/<scene>/seq-<number>/frame-<number>.{color,depth}.png`: 16-bit depth in millimetres.

    Layout: the folders chess, fire, heads, office, pumpkin, redkitchen and stairs; the archive of a scene
    holds one archive a sequence, which has to be unpacked, too. TrainSplit.txt and TestSplit.txt of a scene
    name its sequences. Poses are not read. Keys are `<scene>/seq-<number>/<number of the frame>`.

    Convention: 65535 and 0 were not measured. Depth is that of the sensor (f = 585 px), beside the colour
    camera and with another focal length: laid over the image as it is, it is off by some 35 pixels at the
    border. So each point is moved and drawn into the image, the nearest one first. The publisher did not
    calibrate the colour camera: its focal length is an option, its centre is taken for that of the image,
    its place beside the sensor for that of another Kinect. Errors of some pixels stay.

    Args:
        root: folder of the scenes.
        name: name of the source in the mix.
        split: "train" and "test" read the sequences of the publisher's split files.
        align: "project" draws depth into the image; "none" leaves it as it was stored, for copies whose
            depth was registered before; then the camera is not known.
        focal_px: focal length of the colour camera for 640 columns.
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
        licence="Microsoft's research licence, non-commercial, as commonly stated; not confirmed at its "
        "publisher",
        citation="Shotton, Glocker, Zach, Izadi, Criminisi, Fitzgibbon: Scene Coordinate Regression Forests "
        "for Camera Relocalization in RGB-D Images, CVPR 2013",
        size="43000 frames of 7 scenes: 26000 train + 17000 test",
    )
    layout: ClassVar[str] = "<scene>/seq-<number>/frame-<number>.{color,depth}.png"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "seven_scenes",
        split: Split = "all",
        align: Align = "project",
        focal_px: float = 525.0,
        sigma_at_1m: float = 0.0014,
    ) -> None:
        super().__init__(root, name=name)
        for option, value, allowed in (("split", split, Split), ("align", align, Align)):
            if value not in get_args(allowed):
                raise ValueError(f"`{option}` must be one of {', '.join(get_args(allowed))}, got {value!r}")
        for option, number in (("focal_px", focal_px), ("sigma_at_1m", sigma_at_1m)):
            if not 0 < number < np.inf:
                raise ValueError(f"`{option}` must be positive and finite, got {number}")
        self.split, self.align, self.focal_px, self.sigma_at_1m = split, align, focal_px, sigma_at_1m

    def keys(self) -> Sequence[str]:
        """List the images as `<scene>/<sequence>/<number>`.

        Raises:
            BadSource: there is none, or a split file is missing or damaged.
        """
        found = files_below(self.root, "*/seq-*/frame-*.color.png", expected=self.layout)
        keys = [name.replace("/frame-", "/").removesuffix(".color.png") for name in found]
        if self.split != "all":
            scenes = sorted({key.split("/")[0] for key in keys})
            wanted = {sequence for scene in scenes for sequence in self._sequences(scene)}
            keys = [key for key in keys if key.rpartition("/")[0] in wanted]
        if not keys:
            raise BadSource(
                f"holds no sequence of {self.split}", file=self.root, hint=f"expected {self.layout}"
            )
        return sorted(keys)

    def files(self, key: str) -> Sequence[Path]:
        """List image and depth."""
        sequence, _, number = key.rpartition("/")
        return [self.root / sequence / f"frame-{number}.{kind}.png" for kind in ("color", "depth")]

    def read(self, key: str) -> Sample:
        """Read one frame.

        Raises:
            BadSource: a file is missing, damaged, or of another size.
            BadSample: no pixel has a depth.
        """
        image_file, depth_file = self.files(key)
        image = read_image(image_file)
        depth, valid = read_depth_png16(depth_file, per_metre=1000, missing=(0, 65535))
        check_size(depth, depth_file, image, image_file)
        camera = None
        if self.align == "project":
            sensor = camera_of_size(_SENSOR, _SIZE, depth.shape, depth_file)
            focal = self.focal_px * depth.shape[1] / _SIZE[1]
            camera = Intrinsics(focal, focal, sensor.cx, sensor.cy)
            depth, valid = _drawn(depth, valid, sensor, camera)
        sigma = depth**2 * np.float32(self.sigma_at_1m)
        return self.sample(key, image=image, target=depth, valid=valid, sigma=sigma, intrinsics=camera)

    def _sequences(self, scene: str) -> list[str]:
        file = self.root / scene / f"{self.split.capitalize()}Split.txt"
        sequences = []
        for line in read_lines(file):
            number = line.removeprefix("sequence")
            if not number.isdecimal() or number == line:
                raise BadSource(f"a line must be sequence<number>, got {line[:60]!r}", file=file)
            sequences.append(f"{scene}/seq-{int(number):02d}")
        return sequences


def _drawn(
    depth: Float32[np.ndarray, "h w"], valid: Bool[np.ndarray, "h w"], sensor: Intrinsics, camera: Intrinsics
) -> tuple[Float32[np.ndarray, "h w"], Bool[np.ndarray, "h w"]]:
    """Move the measured points to the colour camera and draw them, the nearest one first."""
    rows, columns = np.nonzero(valid)
    z = depth[rows, columns].astype(np.float64)
    x, y = (columns - sensor.cx) / sensor.fx * z, (rows - sensor.cy) / sensor.fy * z
    points = moved(np.stack([x, y, z], -1), _TO_COLOUR)
    to_image = np.array([[camera.fx, 0, camera.cx, 0], [0, camera.fy, camera.cy, 0], [0, 0, 1, 0]])
    pixels, z = project_points(points, to_image)
    seen = inside_image(pixels, z, depth.shape)
    drawn = nearest_point_depth(pixels[seen], z[seen], depth.shape)
    there = np.isfinite(drawn)
    return np.where(there, drawn, np.float32(0)), there
