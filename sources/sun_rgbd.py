"""SUN RGB-D: rooms seen by four depth cameras, with depth whose bits are rotated."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, get_args

import numpy as np
from jaxtyping import UInt16

from depthmix.errors import BadSource
from depthmix.sample import LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.camera import camera_of_matrix
from depthmix.sources.decode import read_image, read_png16
from depthmix.sources.encoding import depth_of_code
from depthmix.sources.layout import check_size, files_below, visible

__all__ = ["SunRgbd", "rotated_back"]

Depth = Literal["measured", "filled"]

_FOLDERS = {"measured": "depth", "filled": "depth_bfx"}


class SunRgbd(Source):
    """Read `<root>/<sensor>/<set>/.../<scene>/{image/*.jpg, depth/*.png, depth_bfx/*.png, intrinsics.txt}`.

    Layout: the folder SUNRGBD of the archive, with kv1, kv2, realsense and xtion in it; the scenes of
    kv1/NYUdata and those of xtion/sun3ddata lie at different depths, so every folder `image` counts. A scene
    is one image; its depth has the same name, or another one (SUN3D) and is then the only PNG of its folder.
    Keys are `<sensor>/<set>/.../<scene>/<name of the image>`. Extrinsics and annotations are not read.

    Convention: 16-bit PNG whose three lowest bits are the highest ones: millimetres are
    (code >> 3) | (code << 13). Shifting alone is right up to 8.19 m and wraps everything farther to near
    numbers. 0 was not measured. Depth and camera belong to the image. The publisher's toolbox counts pixels
    from 1; as public readers do, the camera is taken for pixels that count from 0. Exports of other
    projects hold plain millimetres in another layout and are not read.

    Args:
        root: folder of the sensors.
        name: name of the source in the mix.
        depth: "measured" reads the sensor's depth with its holes; "filled" reads depth_bfx, which the
            publisher smoothed and filled from neighbouring frames.
        max_depth_m: what is not nearer is not valid; the publisher's toolbox cuts at 8 m, and these
            sensors measure poorly beyond.

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
        noise="",
        licence="research only, as commonly stated; not confirmed at its publisher",
        citation="Song, Lichtenberg, Xiao: SUN RGB-D: A RGB-D Scene Understanding Benchmark Suite, CVPR 2015",
        size="10335 images: 5285 train + 5050 test",
        read_on_real_files=True,
    )
    layout: ClassVar[str] = "<sensor>/.../<scene>/{image/*.jpg, depth/*.png, intrinsics.txt}"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "sun_rgbd",
        depth: Depth = "measured",
        max_depth_m: float = 8.0,
    ) -> None:
        super().__init__(root, name=name)
        if depth not in get_args(Depth):
            raise ValueError(f"`depth` must be one of {', '.join(get_args(Depth))}, got {depth!r}")
        if not max_depth_m > 0:
            raise ValueError(f"`max_depth_m` must be positive, got {max_depth_m}")
        self.depth, self.max_depth_m = depth, max_depth_m

    def keys(self) -> Sequence[str]:
        """List the images as `<scene>/<name>`.

        Raises:
            BadSource: there is none.
        """
        found = [Path(name) for name in files_below(self.root, "**/image/*.jpg", expected=self.layout)]
        return sorted(f"{file.parents[1].as_posix()}/{file.stem}" for file in found)

    def files(self, key: str) -> Sequence[Path]:
        """List image, camera and depth."""
        scene, _, name = key.rpartition("/")
        folder = self.root / scene
        depth = _depth_file(folder / _FOLDERS[self.depth], name)
        return [folder / "image" / f"{name}.jpg", folder / "intrinsics.txt", depth]

    def read(self, key: str) -> Sample:
        """Read one image.

        Raises:
            BadSource: a file is missing, damaged, or of another size.
            BadSample: no pixel has a depth.
        """
        image_file, camera_file, depth_file = self.files(key)
        image, code = read_image(image_file), rotated_back(read_png16(depth_file))
        check_size(code, depth_file, image, image_file)
        depth, valid = depth_of_code(code, per_metre=1000)
        return self.sample(
            key,
            image=image,
            target=depth,
            valid=valid & (depth < self.max_depth_m),
            intrinsics=camera_of_matrix(camera_file),
        )


def rotated_back(code: UInt16[np.ndarray, "h w"]) -> UInt16[np.ndarray, "h w"]:
    """Rotate the bits of SUN3D's and SUN RGB-D's depth into place.

    Example:
        >>> rotated_back(np.array([[80, 1]], np.uint16)).tolist()
        [[10, 8192]]
    """
    return (code >> 3) | (code << 13)


def _depth_file(folder: Path, name: str) -> Path:
    # SUN3D names each image and its depth by their own times.
    same = folder / f"{name}.png"
    if same.exists() or not folder.is_dir():
        return same
    found = [path for path in visible(folder) if path.suffix == ".png"]
    if len(found) > 1:
        reason = f"holds {len(found)} PNG files, none of them {name}.png: which one is meant?"
        raise BadSource(reason, file=folder, hint="a scene of SUN RGB-D has one depth map")
    return found[0] if found else same
