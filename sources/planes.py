"""Images with plane instances and no depth: which pixels share a plane."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Int32

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.camera import read_intrinsics, read_json_object
from depthmix.sources.decode import read_ids, read_image
from depthmix.sources.layout import check_size, files_by_stem, look_up

__all__ = ["Plane", "PlaneInstances", "drop_small", "read_plane_parameters"]


class PlaneInstances(Source):
    """Read images with one plane id per pixel; ids may exceed 255 and 65535.

    Layout: `<root>/{images/*.jpg|png, planes/*.png|npy[, intrinsics/*.json][, parameters/*.json]}`; the files
    of a sample share their stem, which is its key. `<root>/intrinsics.json` holds the camera of all images
    where there is no folder `intrinsics`. An image without a file in that folder has no known camera.

    Convention: 0 is no plane. Ids are 8- or 16-bit grey PNG, 24-bit PNG (R + 256 G + 65536 B) or integer NPY.
    Depth is not part of this source: a loss fits its own plane to the pixels of an instance. Parameters are
    read by `read_plane_parameters` alone, for they are often fitted globally and disagree with the image.

    Args:
        root: folder that holds images and planes.
        name: name of the source in the mix.
        min_pixels: instances with fewer pixels become 0.

    Raises:
        BadSource: no such folder, or none of the cameras in `intrinsics` belongs to an image.
    """

    card = SourceCard(
        family="planes",
        quality=Quality.WEAK,
        kind=LabelKind.NONE,
        unit="",
        density="none",
        noise="",
        licence="that of the raw data; the layout does not state one",
        citation="the work that published the raw data",
    )
    layout: ClassVar[str] = "images/*.jpg|png and planes/*.png|npy"

    def __init__(self, root: str | Path, *, name: str = "planes", min_pixels: int = 50) -> None:
        super().__init__(root, name=name)
        self.min_pixels = min_pixels
        self._images = files_by_stem(self.root / "images")
        self._planes = files_by_stem(self.root / "planes", (".png", ".npy"))
        self._cameras = self._list_cameras()

    def keys(self) -> Sequence[str]:
        """List the stems of the images."""
        return list(self._images)

    def files(self, key: str) -> Sequence[Path]:
        """List image, camera if there is one, and plane ids."""
        image = look_up(self._images, key, root=self.root, source=self.name)
        camera = self._cameras.get(key)
        planes = self._planes.get(key, self.root / "planes" / f"{key}.png")
        return [image, *([camera] if camera else []), planes]

    def read(self, key: str) -> Sample:
        """Read one image with its plane instances."""
        image_file, *_, planes_file = self.files(key)
        image, planes = read_image(image_file), read_ids(planes_file)
        check_size(planes, planes_file, image, image_file)
        kept = drop_small(planes, self.min_pixels)
        return self.sample(key, image=image, planes=kept, intrinsics=self._camera(key))

    def _list_cameras(self) -> dict[str, Path]:
        folder, shared = self.root / "intrinsics", self.root / "intrinsics.json"
        if not folder.is_dir():
            return dict.fromkeys(self._images, shared) if shared.exists() else {}
        cameras = files_by_stem(folder, (".json",))
        if not cameras.keys() & self._images.keys():
            reason = f"none of its {len(cameras)} cameras belongs to an image"
            raise BadSource(reason, file=folder, hint="name each camera as its image, with the suffix .json")
        return cameras

    def _camera(self, key: str) -> Intrinsics | None:
        file = self._cameras.get(key)
        return read_intrinsics(file) if file else None


@dataclass(frozen=True, slots=True)
class Plane:
    """State a plane as all points X with normal . X = offset.

    Convention: camera frame (x right, y down, z forward), metres; the normal has length 1.
    """

    normal: tuple[float, float, float]
    offset: float


def read_plane_parameters(file: Path) -> dict[int, Plane]:
    """Read `{"<id>": [nx, ny, nz, offset], ...}`, the planes of one image by their id.

    Raises:
        BadSource: no such file, no JSON object, an id that is not a positive int32, a normal whose length
            differs from 1 by more than 0.001, or numbers that are not finite.
    """
    content = read_json_object(file)
    return {_plane_id(name, file): _plane(name, value, file) for name, value in content.items()}


def drop_small(planes: Int32[np.ndarray, "h w"], min_pixels: int) -> Int32[np.ndarray, "h w"]:
    """Set instances with fewer than `min_pixels` pixels to 0; the ids of the others stay."""
    ids, inverse, counts = np.unique(planes, return_inverse=True, return_counts=True)
    kept = np.where(counts >= min_pixels, ids, 0).astype(np.int32)
    return np.asarray(kept[inverse.reshape(planes.shape)])


def _plane_id(name: str, file: Path) -> int:
    is_number = name.isascii() and name.isdigit() and len(name) <= 10
    if not (is_number and 0 < int(name) <= np.iinfo(np.int32).max):
        raise BadSource(f"plane ids must be positive 32-bit integers, got {name!r}", file=file)
    return int(name)


def _plane(name: str, value: object, file: Path) -> Plane:
    field = f"plane {name}"
    if not isinstance(value, list) or len(value) != 4 or not all(isinstance(x, float) for x in value):
        raise BadSource(f"must be [nx, ny, nz, offset], got {value!r}", file=file, field=field)
    numbers = np.array(value, np.float64)
    if not np.isfinite(numbers).all() or abs(np.linalg.norm(numbers[:3]) - 1) > 1e-3:
        hint = "the normal must have length 1 and all four numbers must be finite"
        raise BadSource(f"is no plane: {value}", file=file, field=field, hint=hint)
    x, y, z, offset = numbers.tolist()
    return Plane((x, y, z), offset)
