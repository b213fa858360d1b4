"""KITTI depth prediction: eleven laser scans in one map, without what a stereo pair contradicts."""

from collections.abc import Sequence
from pathlib import Path

from depthmix.errors import BadSource
from depthmix.sample import LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.calibration import pinhole, read_fields
from depthmix.sources.camera import camera_of_matrix
from depthmix.sources.decode import read_image
from depthmix.sources.encoding import read_depth_png16
from depthmix.sources.layout import check_size, files_below
from depthmix.sources.listing import matching

__all__ = ["KittiDepth", "KittiDepthSelection"]

_CARD = SourceCard(
    family="lidar",
    quality=Quality.HIGH,
    kind=LabelKind.METRIC_DEPTH,
    unit="m",
    density="sparse",
    noise="",
    licence="CC BY-NC-SA 3.0",
    citation="Uhrig, Schneider, Schneider, Franke, Brox, Geiger: Sparsity Invariant CNNs, 3DV 2017",
    size="85 898 train + 6 852 val frames, 1 000 selected",
)


class KittiDepth(Source):
    """Read the annotated depth maps with the pictures of the raw data.

    Layout: `<root>/<split>/<drive>/proj_depth/groundtruth/image_0<camera>/*.png` and
    `<root>/<raw>/<date>/{calib_cam_to_cam.txt, <drive>/image_0<camera>/data/*.png}`: the depth archive and
    the raw data below one folder. Maps begin at frame 5, since eleven scans were gathered.

    Convention: 16-bit PNG / 256 m, 0 = none.

    Args:
        root: folder that holds both.
        name: name of the source in the mix.
        split: "train", "val", or "all" for both: published lists name frames of either.
        raw: folder of the raw data below `root`.
        camera: 2 left or 3 right colour camera.
    """

    card = _CARD
    layout = "<split>/<drive>/proj_depth/groundtruth/image_02/*.png, <raw>/<date>/<drive>/image_02/data/*.png"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "kitti_depth",
        split: str = "train",
        raw: str = "raw",
        camera: int = 2,
    ) -> None:
        super().__init__(root, name=name)
        if camera not in (2, 3):
            raise ValueError(f"`camera` must be 2 or 3, got {camera}")
        self._folders = ("train", "val") if split == "all" else (split,)
        self.split, self.raw, self.camera = split, raw, camera

    def keys(self) -> Sequence[str]:
        """List `<drive>/<frame>` of all maps of the split."""
        below = f"*/proj_depth/groundtruth/image_0{self.camera}/*.png"
        found = [name for folder in self._folders for name in matching(self.root, f"{folder}/{below}")]
        if not found:
            reason = f"holds no {'|'.join(self._folders)}/{below}"
            raise BadSource(reason, file=self.root, hint=f"expected {self.layout}")
        parts = [Path(file).parts for file in found]
        return sorted(f"{part[1]}/{Path(part[-1]).stem}" for part in parts)

    def files(self, key: str) -> Sequence[Path]:
        """List picture, calibration of the day, and depth."""
        if key.count("/") != 1:
            raise self.unknown(key)
        drive, frame = key.split("/")
        camera, day = f"image_0{self.camera}", self.root / self.raw / drive[:10]
        return [
            day / drive / camera / "data" / f"{frame}.png",
            day / "calib_cam_to_cam.txt",
            self._folder(drive) / "proj_depth" / "groundtruth" / camera / f"{frame}.png",
        ]

    def _folder(self, drive: str) -> Path:
        """Return the folder of a drive; no drive lies in both parts."""
        places = [self.root / folder / drive for folder in self._folders]
        return next((place for place in places if place.is_dir()), places[0])

    def read(self, key: str) -> Sample:
        """Read one frame."""
        image_file, calibration_file, depth_file = self.files(key)
        image = read_image(image_file)
        depth, valid = read_depth_png16(depth_file, per_metre=256)
        check_size(depth, depth_file, image, image_file)
        fields, field = read_fields(calibration_file, ":"), f"P_rect_0{self.camera}"
        camera = pinhole(fields, field, fields.numbers(field, 12).reshape(3, 4)[:, :3])
        return self.sample(key, image=image, target=depth, valid=valid, intrinsics=camera)


class KittiDepthSelection(Source):
    """Read the selected validation frames: `<root>/{image, groundtruth_depth, intrinsics}`.

    This is `depth_selection/val_selection_cropped` as published: 1 216 x 352 crops with a camera each. The
    three names of a frame differ in the middle ("image", "groundtruth_depth").

    Args:
        root: folder val_selection_cropped.
        name: name of the source in the mix.
    """

    card = _CARD
    layout = "image/*_image_*.png, groundtruth_depth/*_groundtruth_depth_*.png, intrinsics/*_image_*.txt"

    def __init__(self, root: str | Path, *, name: str = "kitti_selection") -> None:
        super().__init__(root, name=name)

    def keys(self) -> Sequence[str]:
        """List the frames by the names of their pictures."""
        return [Path(file).stem for file in files_below(self.root, "image/*.png", expected=self.layout)]

    def files(self, key: str) -> Sequence[Path]:
        """List picture, camera and depth."""
        depth = key.replace("_image_", "_groundtruth_depth_", 1)
        return [
            self.root / "image" / f"{key}.png",
            self.root / "intrinsics" / f"{key}.txt",
            self.root / "groundtruth_depth" / f"{depth}.png",
        ]

    def read(self, key: str) -> Sample:
        """Read one frame."""
        image_file, camera_file, depth_file = self.files(key)
        image = read_image(image_file)
        depth, valid = read_depth_png16(depth_file, per_metre=256)
        check_size(depth, depth_file, image, image_file)
        camera = camera_of_matrix(camera_file)
        return self.sample(key, image=image, target=depth, valid=valid, intrinsics=camera)
