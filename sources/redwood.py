"""Folders of Open3D's reconstruction system, in which Redwood's RGB-D recordings are published, too."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final, Literal, get_args

from depthmix.errors import BadSample, BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.camera import read_json_object
from depthmix.sources.decode import read_image
from depthmix.sources.encoding import read_depth_png16
from depthmix.sources.layout import check_size, files_below, files_by_stem
from depthmix.sources.times import paired_in_time

__all__ = ["Redwood"]

Pairing = Literal["name", "time"]

_COLOURS: Final = ("image", "rgb", "color", "colors")  # the first three in Open3D's order
_DEFAULT: Final = Intrinsics(525.0, 525.0, 319.5, 239.5)


class Redwood(Source):
    """Read `<root>[/<scene>]/{color/*.jpg, depth/*.png, camera_intrinsic.json}`: depth in millimetres.

    Layout: images lie in `image`, `rgb`, `color` or `colors`, as JPEG or PNG; the root is one scene, or holds
    scenes. With `pairing="name"` image and depth have the same name, as Open3D's recorders write them; with
    "time" the names are `<number>-<microseconds>`, as in Redwood's scans of objects, each camera at times of
    its own, and the closest pairs are taken first; frames without a partner are no samples. Trajectories are
    not read. Keys are `[<scene>/]<name of the depth map>`.

    Convention: 0 was not measured; depth was drawn into the image before. `camera_intrinsic.json` is that of
    Open3D: width, height and intrinsic_matrix, nine numbers column by column. Pixel centres lie at integers.

    Args:
        root: folder of a scene, or of scenes.
        name: name of the source in the mix.
        pairing: "name" or "time", as above.
        depth: folder of the depth maps; the augmented ICL-NUIM rooms have `depth`, rendered exactly, and
            `depth_noisy`, as a sensor would measure it.
        per_metre: stored numbers in one metre.
        max_depth_m: what is not nearer is not valid.
        max_gap_s: with "time", how far apart image and depth may be.
        primesense: whether 640 x 480 pixels without a `camera_intrinsic.json` have the camera that Open3D and
            Redwood take for theirs: fx = fy = 525, centre (319.5, 239.5). Otherwise it is not known.

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
        licence="by recording: scans of objects public domain, rooms CC BY, as commonly stated; not "
        "confirmed at its publisher",
        citation="Choi, Zhou, Miller, Koltun: A Large Dataset of Object Scans, 2016; Choi, Zhou, Koltun: "
        "Robust Reconstruction of Indoor Scenes, CVPR 2015",
        size="over 10000 recordings of objects; 4 rendered rooms of 2350 to 2870 frames",
        read_on_real_files=True,
    )
    layout: ClassVar[str] = "[<scene>/]{image|rgb|color|colors/*.jpg, depth/*.png}"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "redwood",
        pairing: Pairing = "name",
        depth: str = "depth",
        per_metre: float = 1000.0,
        max_depth_m: float = 10.0,
        max_gap_s: float = 0.02,
        primesense: bool = True,
    ) -> None:
        super().__init__(root, name=name)
        if pairing not in get_args(Pairing):
            raise ValueError(f"`pairing` must be one of {', '.join(get_args(Pairing))}, got {pairing!r}")
        if not depth or "/" in depth:
            raise ValueError(f"`depth` must be the name of a folder, got {depth!r}")
        numbers = (("per_metre", per_metre), ("max_depth_m", max_depth_m), ("max_gap_s", max_gap_s))
        for option, value in numbers:
            if not value > 0:
                raise ValueError(f"`{option}` must be positive, got {value}")
        self.pairing, self.depth, self.primesense = pairing, depth, primesense
        self.per_metre, self.max_depth_m, self.max_gap_s = per_metre, max_depth_m, max_gap_s
        self._images: dict[Path, Mapping[str, Path]] = {}

    def keys(self) -> Sequence[str]:
        """List the depth maps; by name, one without image is listed and fails when it is read.

        Raises:
            BadSource: there is none, or a scene has no images.
        """
        found = files_below(self.root, f"**/{self.depth}/*.png", expected=self.layout)
        names = [Path(name) for name in found]
        if self.pairing == "time":
            names = [name for name in names if name.stem in self._partners(self.root / name.parents[1])]
        if not names:
            reason = f"no depth map has an image within {self.max_gap_s:g} s"
            raise BadSource(reason, file=self.root, hint=f"expected {self.layout}")
        return sorted((name.parents[1] / name.stem).as_posix() for name in names)

    def files(self, key: str) -> Sequence[Path]:
        """List image, camera where it is there, and depth.

        Raises:
            BadSource: there is no image of this key.
        """
        folder, name = (self.root / key).parent, Path(key).name
        depth, camera = folder / self.depth / f"{name}.png", folder / "camera_intrinsic.json"
        image = self._partners(folder).get(name)
        if image is None:
            by_name = "no such image", _colour_folder(folder) / f"{name}.jpg"
            by_time = f"has no image within {self.max_gap_s:g} s, or is not there", depth
            reason, file = by_name if self.pairing == "name" else by_time
            raise BadSource(reason, file=file, sample=f"{self.name}/{key}", hint="see keys()")
        return [image, *([camera] if camera.exists() else []), depth]

    def read(self, key: str) -> Sample:
        """Read one frame.

        Raises:
            BadSource: a file is missing, damaged, or of another size.
            BadSample: no pixel has a depth.
        """
        image_file, *camera_files, depth_file = self.files(key)
        image = read_image(image_file)
        depth, valid = read_depth_png16(depth_file, per_metre=self.per_metre)
        check_size(depth, depth_file, image, image_file)
        camera = _DEFAULT if self.primesense and depth.shape == (480, 640) else None
        for file in camera_files:
            camera = _camera(file, depth.shape)
        valid = valid & (depth < self.max_depth_m)
        return self.sample(key, image=image, target=depth, valid=valid, intrinsics=camera)

    def _partners(self, folder: Path) -> Mapping[str, Path]:
        """Return the image of each depth map."""
        if folder not in self._images:
            images = files_by_stem(_colour_folder(folder))
            if self.pairing == "time":
                depth = files_by_stem(folder / self.depth, (".png",))
                times = [{name: _seconds(file) for name, file in files.items()} for files in (depth, images)]
                pairs = paired_in_time(*times, max_gap_s=self.max_gap_s)
                images = {name: images[partner] for name, partner in pairs.items()}
            self._images[folder] = images
        return self._images[folder]


def _colour_folder(folder: Path) -> Path:
    found = [folder / name for name in _COLOURS if (folder / name).is_dir()]
    if not found:
        raise BadSource(f"holds none of {', '.join(_COLOURS)}", file=folder, hint="see the layout of Redwood")
    return found[0]


def _seconds(file: Path) -> float:
    number, _, time = file.stem.partition("-")
    if not (number.isdecimal() and time.isdecimal()):
        hint = 'set `pairing` to "name"'
        raise BadSource("the name must be <number>-<microseconds>", file=file, hint=hint)
    return int(time) * 1e-6


def _camera(file: Path, size: tuple[int, ...]) -> Intrinsics:
    content = read_json_object(file)
    for name, pixels in zip(("height", "width"), size, strict=True):
        if content.get(name) != pixels:
            raise BadSource(
                f"must be {pixels} as of the depth, got {content.get(name)}", file=file, field=name
            )
    match content.get("intrinsic_matrix"):
        # Column by column.
        case [float(fx), 0.0, 0.0, 0.0, float(fy), 0.0, float(cx), float(cy), 1.0]:
            try:
                return Intrinsics(fx, fy, cx, cy)
            except BadSample as error:
                raise BadSource(error.reason, file=file, field=error.field) from error
        case matrix:
            reason = f"must be fx 0 0 0 fy 0 cx cy 1, got {str(matrix)[:80]}"
            raise BadSource(reason, file=file, field="intrinsic_matrix")
