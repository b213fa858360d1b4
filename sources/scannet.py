"""ScanNet: rooms scanned with a depth camera on a tablet, frames as extracted from the .sens files."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from depthmix.errors import BadSample, BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_image
from depthmix.sources.encoding import read_depth_png16
from depthmix.sources.layout import files_below, image_of_size
from depthmix.sources.tables import read_lines, read_numbers

__all__ = ["ScanNet"]


class ScanNet(Source):
    """Read `<root>/<scene>/{color/<n>.jpg, depth/<n>.png, intrinsic/intrinsic_depth.txt}`: depth in mm.

    Layout: what the publisher's SensReader writes with --export_color_images, --export_depth_images and
    --export_intrinsics, each scene (scene0000_00) into a folder of its own; the .sens files themselves are
    not read. Poses are not read, so frames whose tracking was lost stay: their depth is good. A list such as
    scannetv2_train.txt chooses scenes. Keys are `<scene>/<number>`.

    Convention: 0 was not measured. The images (1296 x 968) are brought to the size of the depth (640 x 480):
    the publisher says that both are aligned so, though their aspects differ by 0.4 %. Depth was measured
    with the depth camera's numbers, and the sample's camera is that one. Pixel centres lie at integers.

    Args:
        root: folder of the scenes.
        name: name of the source in the mix.
        every: read every so many-th frame of a scene, by number; neighbours of a film at 30 Hz are alike.
        scenes: a text file of scene names, one a line, to read only these; relative to `root`, or absolute.
        max_depth_m: what is not nearer is not valid; this sensor measures poorly beyond some metres.

    Raises:
        BadSource: no such folder.
        ValueError: an option is not positive.
    """

    card = SourceCard(
        family="rgb-d",
        quality=Quality.MIDDLE,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="dense",
        noise="",
        licence="ScanNet Terms of Use (non-commercial), as commonly stated; not confirmed at its publisher",
        citation="Dai, Chang, Savva, Halber, Funkhouser, Niessner: ScanNet: Richly-annotated 3D "
        "Reconstructions of Indoor Scenes, CVPR 2017",
        size="2.5 million frames of 1513 scans: 1201 train + 312 validation, and 100 test",
    )
    layout: ClassVar[str] = "<scene>/{color/*.jpg, depth/*.png, intrinsic/intrinsic_depth.txt}"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "scannet",
        every: int = 1,
        scenes: str = "",
        max_depth_m: float = 10.0,
    ) -> None:
        super().__init__(root, name=name)
        for option, value in (("every", every), ("max_depth_m", max_depth_m)):
            if not value > 0:
                raise ValueError(f"`{option}` must be positive, got {value}")
        self.every, self.scenes, self.max_depth_m = every, scenes, max_depth_m

    def keys(self) -> Sequence[str]:
        """List the images as `<scene>/<number>`.

        Raises:
            BadSource: there is none, the list of scenes is missing, or a name is no number.
        """
        found = files_below(self.root, "*/color/*.jpg", expected=self.layout)
        keys = [name.replace("/color/", "/").removesuffix(".jpg") for name in found]
        if self.scenes:
            wanted = set(read_lines(self.root / self.scenes))
            keys = [key for key in keys if key.split("/")[0] in wanted]
        keys = [key for key in keys if self._number(key) % self.every == 0]
        if not keys:
            raise BadSource("holds no frame of these scenes", file=self.root, hint="see `scenes` and `every`")
        return sorted(keys)

    def files(self, key: str) -> Sequence[Path]:
        """List image, camera and depth."""
        scene, _, number = key.rpartition("/")
        folder = self.root / scene
        camera = folder / "intrinsic" / "intrinsic_depth.txt"
        return [folder / "color" / f"{number}.jpg", camera, folder / "depth" / f"{number}.png"]

    def read(self, key: str) -> Sample:
        """Read one frame.

        Raises:
            BadSource: a file is missing or damaged, or the image has another aspect than the depth.
            BadSample: no pixel has a depth.
        """
        image_file, camera_file, depth_file = self.files(key)
        depth, valid = read_depth_png16(depth_file, per_metre=1000)
        image = read_image(image_file)
        aspects = [columns / rows for rows, columns in (image.shape[:2], depth.shape)]
        if abs(aspects[0] / aspects[1] - 1) > 0.01:
            sizes = f"{depth.shape[1]} x {depth.shape[0]}, its image {image.shape[1]} x {image.shape[0]}"
            raise BadSource(f"is {sizes}: not the same view ({image_file})", file=depth_file)
        image, _ = image_of_size(image, None, depth.shape)
        valid = valid & (depth < self.max_depth_m)
        camera = _camera(camera_file, depth.shape)
        return self.sample(key, image=image, target=depth, valid=valid, intrinsics=camera)

    def _number(self, key: str) -> int:
        number = key.rpartition("/")[2]
        if not number.isdecimal():
            image_file = self.files(key)[0]
            raise BadSource("the name must be a number", file=image_file, hint="as SensReader writes it")
        return int(number)


def _camera(file: Path, size: tuple[int, ...]) -> Intrinsics:
    """Read the 4 x 4 matrix of the depth camera; depth of another size has another camera."""
    (fx, skew, cx, _), (_, fy, cy, _) = read_numbers(file, (4, 4))[:2].tolist()
    try:
        camera = Intrinsics(fx, fy, cx, cy)
    except BadSample as error:
        raise BadSource(error.reason, file=file, field=error.field) from error
    inside = abs((cx + 0.5) / size[1] - 0.5) < 0.1 and abs((cy + 0.5) / size[0] - 0.5) < 0.1
    if skew or not inside:
        reason = f"has its centre at ({cx:g}, {cy:g}), but depth has {size[1]} x {size[0]} pixels"
        raise BadSource(reason, file=file, hint="use intrinsic_depth.txt with depth of the published size")
    return camera
