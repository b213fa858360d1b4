"""ETH3D, high-resolution multi-view: photos of 24 megapixels with a laser scan drawn into them."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from depthmix.errors import BadSource
from depthmix.sample import LabelKind, Quality, Sample
from depthmix.sources.arrays import read_floats
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_image
from depthmix.sources.encoding import measured
from depthmix.sources.layout import files_below
from depthmix.sources.lens import read_lens, straighten

__all__ = ["Eth3dHighRes"]


class Eth3dHighRes(Source):
    """Read `<root>/<scene>/{images,ground_truth_depth}/dslr_images/*.JPG` and `dslr_calibration_jpg`.

    Layout: the archives `<scene>_dslr_jpg.7z` and `<scene>_dslr_depth.7z` unpacked into one folder; of
    `<scene>/dslr_calibration_jpg` the files `cameras.txt` and `images.txt` are read. The archives
    `*_dslr_undistorted.7z` are not: the published depth belongs to the distorted photos alone. Keys are
    `<scene>/<photo>`.

    Convention: a depth file is called .JPG and holds 32-bit floats without any header, low byte first, row by
    row, of the size of its photo: z in metres in the camera's frame. inf is not measured, and no sky. The
    scan is sparser than the photo, in some scenes a tenth of the pixels.

    The lens bends straight lines (COLMAP's THIN_PRISM_FISHEYE), which no pinhole camera describes. By default
    the photo is straightened: it is resampled, and each pixel takes the depth of the one nearest pixel that
    it comes from, so no depth is interpolated. What comes from beyond the photo is black and not valid. The
    camera is then the pinhole with the focal lengths and the centre of the calibration, which counts from the
    corner of the first pixel, so half a pixel is taken off.

    Args:
        root: folder of the scenes.
        name: name of the source in the mix.
        undistort: straighten the photos; False keeps them as they are, without a known camera, and needs no
            calibration.

    Raises:
        BadSource: no such folder.
    """

    card = SourceCard(
        family="lidar",
        quality=Quality.HIGH,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="sparse",
        noise="",
        licence="CC BY-NC-SA 4.0, as commonly stated; not confirmed at its publisher",
        citation="Schoeps, Schoenberger, Galliani, Sattler, Schindler, Pollefeys, Geiger: A Multi-View "
        "Stereo Benchmark with High-Resolution Images and Multi-Camera Videos, CVPR 2017",
        size="454 photos of 13 scenes with depth (6048 x 4032)",
    )
    layout: ClassVar[str] = "<scene>/{images,ground_truth_depth}/dslr_images/*.JPG and dslr_calibration_jpg"

    def __init__(self, root: str | Path, *, name: str = "eth3d_highres", undistort: bool = True) -> None:
        super().__init__(root, name=name)
        self.undistort = undistort

    def keys(self) -> Sequence[str]:
        """List the photos as `<scene>/<photo>`.

        Raises:
            BadSource: there is none.
        """
        found = files_below(self.root, "*/images/dslr_images/*.JPG", expected=self.layout)
        return sorted(name.replace("/images/dslr_images/", "/").removesuffix(".JPG") for name in found)

    def files(self, key: str) -> Sequence[Path]:
        """List photo, calibration where it is used, and depth."""
        scene, _, photo = key.rpartition("/")
        folder = self.root / scene
        calibration = [folder / "dslr_calibration_jpg" / name for name in ("cameras.txt", "images.txt")]
        return [
            folder / "images/dslr_images" / f"{photo}.JPG",
            *(calibration if self.undistort else []),
            folder / "ground_truth_depth/dslr_images" / f"{photo}.JPG",
        ]

    def read(self, key: str) -> Sample:
        """Read one photo.

        Raises:
            BadSource: a file is missing, damaged, or of another size than the photo.
            BadSample: no pixel has a depth.
        """
        image_file, *calibration, depth_file = self.files(key)
        image = read_image(image_file)
        depth = read_floats(depth_file, image.shape[:2])
        camera = None
        if self.undistort:
            lens = read_lens(calibration[0], calibration[1], image_file.name)
            if lens.size != image.shape[:2]:
                reason = f"states {lens.size[1]} x {lens.size[0]} pixels, {image_file} has another size"
                raise BadSource(reason, file=calibration[0], hint="use files of one release of the data set")
            image, depth = straighten(image, depth, lens)
            camera = lens.camera
        depth, valid = measured(depth)
        return self.sample(key, image=image, target=depth, valid=valid, intrinsics=camera)
