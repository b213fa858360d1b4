"""Replica, as rendered for SLAM: smooth walks through scanned rooms."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from depthmix.errors import BadSample, BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.camera import camera_of_size, read_json_object
from depthmix.sources.decode import read_image
from depthmix.sources.encoding import read_depth_png16
from depthmix.sources.layout import check_size, files_below

__all__ = ["Replica"]


class Replica(Source):
    """Read `<root>/{cam_params.json, <room>/results/{frame000000.jpg, depth000000.png}}`.

    These are the renders that iMAP and NICE-SLAM published. Omnidata's renders of Replica are read by
    `Taskonomy`.

    Convention: depth is z, 16-bit PNG; `cam_params.json` states the camera and `scale`, the codes in a metre.
    0 = the scan has a hole. Keys are `<room>/<frame>`.

    Args:
        root: folder of the rooms.
        name: name of the source in the mix.
        every: take every n-th frame: neighbours are nearly the same.
    """

    card = SourceCard(
        family="rgb-d",
        quality=Quality.HIGH,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="dense",
        noise="",
        licence="Replica Research Terms",
        citation="Straub et al.: The Replica Dataset: A Digital Replica of Indoor Spaces, 2019",
        size="8 rooms of 2 000 frames",
    )
    layout = "cam_params.json, <room>/results/{frame*.jpg, depth*.png}"

    def __init__(self, root: str | Path, *, name: str = "replica", every: int = 1) -> None:
        super().__init__(root, name=name)
        if every < 1:
            raise ValueError(f"`every` must be at least 1, got {every}")
        self.every = every

    def keys(self) -> Sequence[str]:
        """List `<room>/<frame>`."""
        found = files_below(self.root, "*/results/frame*.jpg", expected=self.layout)
        rooms: dict[str, list[str]] = {}
        for name in found:
            room, _, frame = name.split("/")
            rooms.setdefault(room, []).append(frame.removeprefix("frame").removesuffix(".jpg"))
        return sorted(f"{room}/{frame}" for room, frames in rooms.items() for frame in frames[:: self.every])

    def files(self, key: str) -> Sequence[Path]:
        """List picture, camera and depth."""
        room, _, frame = key.rpartition("/")
        folder = self.root / room / "results"
        return [folder / f"frame{frame}.jpg", self.root / "cam_params.json", folder / f"depth{frame}.png"]

    def read(self, key: str) -> Sample:
        """Read one frame."""
        image_file, camera_file, depth_file = self.files(key)
        image = read_image(image_file)
        camera, size, scale = _camera(camera_file)
        depth, valid = read_depth_png16(depth_file, per_metre=scale)
        check_size(depth, depth_file, image, image_file)
        found = camera_of_size(camera, size, (image.shape[0], image.shape[1]), image_file)
        return self.sample(key, image=image, target=depth, valid=valid, intrinsics=found)


def _camera(file: Path) -> tuple[Intrinsics, tuple[int, int], float]:
    """Return camera, rows and columns, and codes in a metre."""
    content: Any = read_json_object(file).get("camera")
    if not isinstance(content, dict):
        raise BadSource("must hold an object `camera`", file=file)
    numbers: list[float] = []
    for name in ("fx", "fy", "cx", "cy", "h", "w", "scale"):
        number = content.get(name)
        if not isinstance(number, float) or not 0 < number < 1e6:
            raise BadSource(f"must be a positive number, got {number!r}", file=file, field=name)
        numbers.append(number)
    fx, fy, cx, cy, height, width, scale = numbers
    try:
        return Intrinsics(fx, fy, cx, cy), (int(height), int(width)), scale
    except BadSample as error:
        raise BadSource(error.reason, file=file, field=error.field) from error
