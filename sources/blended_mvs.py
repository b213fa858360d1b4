"""BlendedMVS and BlendedMVG: photos blended with renderings of their own reconstruction."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_image, read_pfm
from depthmix.sources.encoding import measured
from depthmix.sources.layout import check_size, files_below
from depthmix.sources.tables import MISFIT, read_lines

__all__ = ["BlendedMvs"]


class BlendedMvs(Source):
    """Read `<root>/<project>/{blended_images, rendered_depth_maps, cams}` as depth up to scale.

    Layout: `blended_images/00000000.jpg` (768 x 576, or 2048 x 1536 in the large set), beside it
    `00000000_masked.jpg`, `rendered_depth_maps/00000000.pfm` and `cams/00000000_cam.txt`. BlendedMVS,
    BlendedMVS+ and BlendedMVS++, which together are BlendedMVG, share the layout. Keys are
    `<project>/00000000`.

    Convention: depth is z in the unit of the project's reconstruction, which is not known: one factor a
    project. 0 is where the model has no surface: the sky, but also whatever was not reconstructed, so no
    pixel is called sky. The publisher warns that few maps and pictures are empty; reading such a one ends in
    `BadSample`. The reconstruction is what multi-view stereo made of the photos: the label fits the blended
    picture exactly, and the world less so.

    Args:
        root: folder of the project folders.
        name: name of the source in the mix.
        masked: read `*_masked.jpg`, which is black where the model has no surface, instead of the pictures
            with the photo's own background.
        corner_origin: whether the centres of the cameras count from the corner of the first pixel; then half
            a pixel is taken off. The publisher does not say; his own reader takes pixel centres at integers,
            which is the default.

    Raises:
        BadSource: no such folder.
    """

    card = SourceCard(
        family="structure from motion",
        quality=Quality.MIDDLE,
        kind=LabelKind.SCALED_DEPTH,
        unit="m up to scale",
        density="dense",
        noise="",
        licence="CC BY 4.0",
        citation="Yao, Luo, Li, Zhang, Ren, Zhou, Fang, Quan: BlendedMVS: A Large-scale Dataset for "
        "Generalized Multi-view Stereo Networks, CVPR 2020",
        size="BlendedMVS 17 000 images of 113 projects (27.5 GB); BlendedMVG over 110 000 of 502 (189 GB)",
    )
    layout: ClassVar[str] = "<project>/{blended_images/*.jpg, rendered_depth_maps/*.pfm, cams/*_cam.txt}"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "blended_mvs",
        masked: bool = False,
        corner_origin: bool = False,
    ) -> None:
        super().__init__(root, name=name)
        self.masked, self.corner_origin = masked, corner_origin

    def keys(self) -> Sequence[str]:
        """List the pictures as `<project>/00000000`.

        Raises:
            BadSource: there is none.
        """
        # Digits only: the masked pictures lie in the same folder.
        pattern = f"*/blended_images/*[0-9]{self._ending}"
        found = files_below(self.root, pattern, expected=self.layout)
        parts = [file.removesuffix(self._ending).split("/") for file in found]
        return sorted(f"{project}/{number}" for project, _, number in parts)

    def files(self, key: str) -> Sequence[Path]:
        """List picture, camera and depth."""
        project, _, number = key.rpartition("/")
        folder = self.root / project
        return [
            folder / "blended_images" / f"{number}{self._ending}",
            folder / "cams" / f"{number}_cam.txt",
            folder / "rendered_depth_maps" / f"{number}.pfm",
        ]

    def read(self, key: str) -> Sample:
        """Read one view.

        Raises:
            BadSource: a file is missing, damaged or of another size than the picture.
            BadSample: no pixel has a depth.
        """
        image_file, camera_file, depth_file = self.files(key)
        image, depth = read_image(image_file), read_pfm(depth_file)
        check_size(depth, depth_file, image, image_file)
        target, valid = measured(depth)
        camera = _read_camera(camera_file, half=0.5 if self.corner_origin else 0.0)
        return self.sample(key, image=image, target=target, valid=valid, intrinsics=camera)

    @property
    def _ending(self) -> str:
        return "_masked.jpg" if self.masked else ".jpg"


def _read_camera(file: Path, half: float) -> Intrinsics:
    lines = read_lines(file)
    # Four lines of the pose follow the word `extrinsic`, three of the camera the word `intrinsic`, then the
    # range of depth: its least, which need not be positive, its step, their number and its largest.
    if len(lines) != 10 or (lines[0], lines[5]) != ("extrinsic", "intrinsic"):
        raise BadSource("must hold `extrinsic`, 4 lines, `intrinsic`, 3 lines and the range", file=file)
    try:
        matrix = [[float(word) for word in line.split()] for line in lines[6:9]]
        (fx, skew, cx), (zero, fy, cy), last = matrix
        if skew or zero or last != [0, 0, 1]:
            raise ValueError(f"must be [fx 0 cx; 0 fy cy; 0 0 1], got {matrix}")
        return Intrinsics(fx, fy, cx - half, cy - half)
    except MISFIT as error:
        raise BadSource(f"is no camera: {error}", file=file, field="intrinsic") from error
