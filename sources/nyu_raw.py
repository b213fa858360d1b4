"""NYU Depth V2, raw recordings: frames of two cameras, brought into one."""

from bisect import bisect
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
from jaxtyping import Float64, UInt16

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, Sample
from depthmix.sources.camera import camera_of_size
from depthmix.sources.decode import read_image
from depthmix.sources.layout import check_size, files_below, visible
from depthmix.sources.lidar import inside_image, nearest_point_depth, project_points
from depthmix.sources.nyu import CARD, COLOUR, PER_CODE, RANGE_M, SIZE, Border, NyuFrames
from depthmix.sources.pgm import read_pgm16
from depthmix.sources.poses import moved, rigid
from depthmix.sources.tables import MISFIT

__all__ = ["NyuRaw"]

# All numbers are those of the publisher's toolbox, camera_params.m. Distortion is k1, k2, p1, p2, k3.
_SENSOR: Final = Intrinsics(582.62448167737955, 582.69103270988637, 313.04475870804731, 238.44389626620386)
_SENSOR_DISTORTION: Final = (
    -9.9897236553084481e-02,
    3.9065324602765344e-01,
    1.9290592870229277e-03,
    -1.9422022475975055e-03,
    -5.1031725053400578e-01,
)
_COLOUR_DISTORTION: Final = (
    2.0796615318809061e-01,
    -5.8613825163911781e-01,
    7.2231363135888329e-04,
    1.0479627195765181e-03,
    4.9856986684705107e-01,
)
_TURN: Final = np.array(
    [
        [9.9997798940829263e-01, -5.0359919480810989e-03, -4.3196624923060242e-03],
        [5.0518419386157446e-03, 9.9998051861143999e-01, 3.6662365748484798e-03],
        [4.3011152014118693e-03, -3.6879781309514218e-03, 9.9998394948385538e-01],
    ]
)
_SENSOR_AT: Final = (2.5031875059141302e-02, -2.9342312935846411e-04, 6.6238747008330102e-04)
_FARTHEST_CODE: Final = 1092.5  # z = 351.3 / (1092.5 - code)


class NyuRaw(NyuFrames):
    """Read `<root>/<scene>/{d-<seconds>-<ticks>.pgm, r-<seconds>-<ticks>.ppm}`, the raw recordings.

    Layout: one folder a scene, as the 428 GB of recordings unpack; the accelerometer's `a-*.dump` files are
    not read. The two cameras were not triggered together: each depth frame goes with the image that is
    nearest in time, and a depth frame without one is no sample. Keys are `<scene>/<name of the depth frame>`.

    Convention: depth is a 16-bit PGM with the low byte first, against the format's rule. A code means
    z = 351.3 / (1092.5 - code) metres; 2047 was not measured. Depth belongs to the depth sensor
    (fx = 582.62), which stands 25 mm beside the colour camera (fx = 518.86), so each point is moved and
    drawn into the colour image, nearest point first, lens distortion of both taken out. The sample's camera
    is the colour camera. Pixels that no point falls on are not valid.

    Args:
        root: folder of the scenes.
        name: name of the source in the mix.
        max_gap_s: how far apart in time a depth frame and its image may be; both come at 30 Hz.
        border: as in `NyuFrames`.
        max_depth_m: as in `NyuFrames`.
        sigma_code: as in `NyuFrames`.

    Raises:
        BadSource: no such folder.
        ValueError: an option is none of its names, or not positive.
    """

    card = replace(CARD, size="407024 depth frames of 464 scenes (428 GB)", read_on_real_files=True)
    layout: ClassVar[str] = "<scene>/{d-*.pgm, r-*.ppm}"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "nyu_raw",
        max_gap_s: float = 0.04,
        border: Border = "crop",
        max_depth_m: float = RANGE_M,
        sigma_code: float = 0.5,
    ) -> None:
        super().__init__(root, name=name, border=border, max_depth_m=max_depth_m, sigma_code=sigma_code)
        if not max_gap_s > 0:
            raise ValueError(f"`max_gap_s` must be positive, got {max_gap_s}")
        self.max_gap_s = max_gap_s
        self._images: dict[str, list[tuple[float, Path]]] = {}

    def keys(self) -> Sequence[str]:
        """List the depth frames that have an image near in time.

        Raises:
            BadSource: there is none.
        """
        frames = [Path(name) for name in files_below(self.root, "*/d-*.pgm", expected=self.layout)]
        keys = [
            f"{frame.parent.as_posix()}/{frame.stem}" for frame in frames if self._nearest(self.root / frame)
        ]
        if not keys:
            reason = f"no depth frame has an image within {self.max_gap_s:g} s"
            raise BadSource(reason, file=self.root, hint=f"expected {self.layout}")
        return sorted(keys)

    def files(self, key: str) -> Sequence[Path]:
        """List image and depth.

        Raises:
            BadSource: there is no such key.
        """
        frame = self.root / f"{key}.pgm"
        image = self._nearest(frame)
        if image is None:
            reason = f"has no image within {self.max_gap_s:g} s"
            raise BadSource(reason, file=frame, sample=f"{self.name}/{key}", hint="see keys()")
        return [image, frame]

    def read(self, key: str) -> Sample:
        """Read one depth frame with its image.

        Raises:
            BadSource: a file is missing, damaged, or of another size.
            BadSample: no pixel has a depth.
        """
        import cv2

        image_file, depth_file = self.files(key)
        image, code = read_image(image_file), read_pgm16(depth_file, byte_order="little")
        check_size(code, depth_file, image, image_file)
        camera = camera_of_size(COLOUR, SIZE, code.shape, image_file)
        matrix = _matrix(camera)
        straight = np.asarray(cv2.undistort(image, matrix, np.array(_COLOUR_DISTORTION)))
        points = _points(code, camera_of_size(_SENSOR, SIZE, code.shape, depth_file))
        pixels, z = project_points(points, np.hstack([matrix, np.zeros((3, 1))]))
        seen = inside_image(pixels, z, code.shape)
        depth = nearest_point_depth(pixels[seen], z[seen], code.shape)
        valid = np.isfinite(depth)
        return self.framed(key, straight, np.where(valid, depth, np.float32(0)), valid)

    def _nearest(self, frame: Path) -> Path | None:
        folder, second = frame.parent, _seconds(frame)
        if folder.name not in self._images:
            found = [path for path in visible(folder) if path.match("r-*.ppm")]
            self._images[folder.name] = sorted((_seconds(path), path) for path in found)
        images = self._images[folder.name]
        at = bisect(images, (second, frame))
        beside = [(abs(time - second), path) for time, path in images[max(at - 1, 0) : at + 1]]
        gap, image = min(beside, default=(np.inf, None))
        return image if gap <= self.max_gap_s else None


def _seconds(path: Path) -> float:
    try:
        return float(path.stem.split("-")[1])
    except MISFIT as error:
        raise BadSource("the name must be <d|r>-<seconds>-<ticks>", file=path) from error


def _matrix(camera: Intrinsics) -> Float64[np.ndarray, "3 3"]:
    return np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])


def _points(code: UInt16[np.ndarray, "h w"], sensor: Intrinsics) -> Float64[np.ndarray, "n 3"]:
    """Return the measured points in the frame of the colour camera."""
    import cv2

    rows, columns = np.nonzero((code < _FARTHEST_CODE) & (code > 0))
    z = PER_CODE / (_FARTHEST_CODE - code[rows, columns])
    pixels = np.stack([columns, rows], -1).astype(np.float64)[:, None]
    if not len(pixels):
        return np.zeros((0, 3))
    rays = cv2.undistortPoints(pixels, _matrix(sensor), np.array(_SENSOR_DISTORTION))[:, 0]
    there = np.hstack([rays, np.ones((len(rays), 1))]) * z[:, None]
    return moved(there, rigid(_TURN, np.negative(_SENSOR_AT).tolist()))
