"""ScanNet frames with the planes that PlaneRCNN's authors fitted to the meshes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int32

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_ids, read_image, read_npy
from depthmix.sources.layout import check_size, files_below, image_of_size
from depthmix.sources.planes import Plane, drop_small
from depthmix.sources.poses import inverse, is_rigid
from depthmix.sources.tables import MISFIT, read_lines, read_numbers

__all__ = ["ScanNetPlanes", "camera_planes"]

_NOTHING = (-1, 167771)  # black, and white, which was painted where the mesh has no plane


class ScanNetPlanes(Source):
    """Read colour frames with plane ids rendered from the annotated mesh.

    Layout: `<root>/<scene>/{frames/color/*.jpg, annotation/segmentation/*.png, annotation/planes.npy}`, with
    ScanNet's own `<scene>.txt` and `frames/pose/*.txt`, where they are, for camera and parameters.

    Convention: the PNG's colour is (id + 1) * 100 with red as the highest byte; black is no plane. Ids beyond
    the scene's table and planes of no length are dropped. Masks have 640 x 480 pixels, and the image is
    brought to that size with its camera. Depth is no part of this source: the masks come from the mesh, so
    they are not cut out where the sensor saw something else.

    Args:
        root: folder of the scene folders.
        name: name of the source in the mix.
        min_pixels: smaller planes are dropped; PlaneRCNN itself used 500.
    """

    card = SourceCard(
        family="planes",
        quality=Quality.WEAK,
        kind=LabelKind.NONE,
        unit="",
        density="none",
        noise="",
        licence="ScanNet Terms of Use (non-commercial); PlaneRCNN's annotation CC BY-NC-SA 4.0",
        citation="Liu, Kim, Gu, Furukawa, Kautz: PlaneRCNN: 3D Plane Detection and Reconstruction from a "
        "Single Image, CVPR 2019, on ScanNet, CVPR 2017",
        size="100 000 train + 5 000 test frames were used by PlaneRCNN",
    )
    layout = "<scene>/{frames/color/*.jpg, annotation/segmentation/*.png, annotation/planes.npy}"

    def __init__(self, root: str | Path, *, name: str = "scannet_planes", min_pixels: int = 500) -> None:
        super().__init__(root, name=name)
        self.min_pixels = min_pixels

    def keys(self) -> Sequence[str]:
        """List `<scene>/<frame>` of all segmented frames."""
        found = files_below(self.root, "*/annotation/segmentation/*.png", expected=self.layout)
        return sorted(f"{file.split('/')[0]}/{Path(file).stem}" for file in found)

    def files(self, key: str) -> Sequence[Path]:
        """List image, table of planes, ScanNet's facts of the scene if they are there, and plane colours."""
        if key.count("/") != 1:
            raise self.unknown(key)
        scene, frame = key.split("/")
        folder = self.root / scene
        facts = folder / f"{scene}.txt"
        return [
            folder / "frames" / "color" / f"{frame}.jpg",
            folder / "annotation" / "planes.npy",
            *([facts] if facts.exists() else []),
            folder / "annotation" / "segmentation" / f"{frame}.png",
        ]

    def read(self, key: str) -> Sample:
        """Read one frame; its camera is known where ScanNet's `<scene>.txt` is there."""
        image_file, table_file, *facts, colours_file = self.files(key)
        table = _table(table_file)
        ids = _ids_of_colours(read_ids(colours_file))
        known = (ids >= 0) & (ids < len(table)) & ~np.isin(ids, _NOTHING)
        length = np.linalg.norm(table, axis=1)
        planes = np.where(known & (length[ids.clip(0, len(table) - 1)] > 1e-4), ids + 1, 0).astype(np.int32)
        image, camera = read_image(image_file), None
        if facts:
            camera = _colour_camera(facts[0], image.shape[1])
        image, camera = image_of_size(image, camera, planes.shape)
        check_size(planes, colours_file, image, image_file)
        return self.sample(key, image=image, planes=drop_small(planes, self.min_pixels), intrinsics=camera)

    def parameters(self, key: str) -> dict[int, Plane]:
        """Read the planes of a frame in its camera frame, by plane id.

        Raises:
            BadSource: table or pose is missing, damaged, or the pose says that tracking was lost.
        """
        scene, frame = key.split("/")
        pose_file = self.root / scene / "frames" / "pose" / f"{frame}.txt"
        to_world = read_numbers(pose_file, (4, 4), finite=False)
        if not is_rigid(to_world, 0.01):
            raise BadSource("is no rigid motion (tracking was lost)", file=pose_file)
        table = _table(self.files(key)[1])
        return camera_planes(table, to_world)


def camera_planes(
    table: Float64[np.ndarray, "n 3"], to_world: Float64[np.ndarray, "4 4"]
) -> dict[int, Plane]:
    """Bring planes from the world into a camera's frame.

    Args:
        table: normal times offset of each plane in the world frame, so the foot of the perpendicular.
        to_world: camera to world.

    Returns:
        Planes by their number in the table plus 1; a plane through the world's origin has no normal and is
        left out, which is a weakness of this form.
    """
    to_camera = inverse(to_world)
    planes = {}
    for number, foot in enumerate(table, start=1):
        offset = float(np.linalg.norm(foot))
        if offset < 1e-4:
            continue
        normal = to_camera[:3, :3] @ (foot / offset)
        moved = offset + float(normal @ to_camera[:3, 3])
        x, y, z = normal.tolist()
        planes[number] = Plane((x, y, z), moved)
    return planes


def _table(file: Path) -> Float64[np.ndarray, "n 3"]:
    table = read_npy(file)
    if table.ndim != 2 or table.shape[1] != 3 or not len(table):
        raise BadSource(f"must be n x 3, got {table.shape}", file=file)
    table = table.astype(np.float64)  # a bound of half-precision numbers would overflow
    if not (np.isfinite(table).all() and np.abs(table).max() < 1e6):
        raise BadSource("holds offsets that are not finite or beyond 1000 km", file=file)
    return np.asarray(table)


def _colour_camera(file: Path, width: int) -> Intrinsics:
    fields = dict(line.split(" = ", 1) for line in read_lines(file) if " = " in line)
    try:
        fx, fy, cx, cy = (float(fields[name]) for name in ("fx_color", "fy_color", "mx_color", "my_color"))
        scale = width / float(fields["colorWidth"])
    except MISFIT as error:
        raise BadSource(f"has no colour camera ({error!r})", file=file) from error
    return Intrinsics(fx, fy, cx, cy).resized(scale, scale)


def _ids_of_colours(colours: Int32[np.ndarray, "h w"]) -> Int32[np.ndarray, "h w"]:
    # `read_ids` takes red as the lowest byte; these files have it as the highest.
    swapped = (colours % 256) * 65536 + (colours // 256 % 256) * 256 + colours // 65536
    return np.asarray(swapped // 100 - 1, np.int32)
