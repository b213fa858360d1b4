"""Virtual KITTI 2: five KITTI drives rebuilt in a game engine, in ten variants of weather and view."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, get_args

import numpy as np
from jaxtyping import Bool

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_image, read_png16, read_png_numbers
from depthmix.sources.encoding import check_16_bits, depth_of_code
from depthmix.sources.layout import check_size, files_below
from depthmix.sources.tables import MISFIT, read_lines

__all__ = ["VirtualKitti2"]

Camera = Literal["left", "right", "both"]
Sky = Literal["depth", "class"]
_FAR = 65535
_INTRINSICS = ("frame", "cameraID", "K[0,0]", "K[1,1]", "K[0,2]", "K[1,2]")
_COLOURS = ("Category", "r", "g", "b")


class VirtualKitti2(Source):
    """Read `<root>/Scene*/<variant>/frames/{rgb, depth}/Camera_{0,1}` with `intrinsic.txt` of the variant.

    Layout: `frames/rgb/Camera_0/rgb_00000.jpg` and `frames/depth/Camera_0/depth_00000.png` beside
    `<variant>/{intrinsic.txt, colors.txt}`, from the archives rgb, depth and textgt; for `sky="class"` also
    `frames/classSegmentation/Camera_0/classgt_00000.png` from the archive classSegmentation. Each archive may
    lie in a folder of its own, `<root>/vkitti_2.0.3_rgb` and so on. Keys are `Scene01/clone/Camera_0/00000`.

    Convention: depth is z in centimetres as 16-bit PNG, cut off at 65535, which is sky or farther than
    655.35 m, so it is never valid. `intrinsic.txt` has one line a frame and camera, with pixel centres at
    integers: its centre, (620.5, 187), is the middle of 1242 x 375 counted that way.

    Args:
        root: folder of the scenes, or of the folders of the archives.
        name: name of the source in the mix.
        camera: "left" is Camera_0, "right" is Camera_1, 0.532725 m beside it.
        variants: names of variants to read, such as ("clone", "fog"); empty: all ten.
        sky: "depth" takes 65535 as sky, which a far mountain may be as well; "class" takes the pixels that
            have the colour of `Sky` in colors.txt, and what is too far without being sky is neither.

    Raises:
        BadSource: no such folder.
        ValueError: `camera` or `sky` is none of the words above.
    """

    card = SourceCard(
        family="synthetic",
        quality=Quality.HIGH,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="dense",
        noise="",
        licence="CC BY-NC-SA 3.0, as commonly stated; not confirmed at its publisher",
        citation="Cabon, Murray, Humenberger: Virtual KITTI 2, 2020; Gaidon, Wang, Cabon, Vig: Virtual "
        "Worlds as Proxy for Multi-Object Tracking Analysis, CVPR 2016",
        size="five scenes in ten variants, two cameras",
    )
    layout: ClassVar[str] = (
        "Scene*/<variant>/{frames/rgb/Camera_*/rgb_*.jpg, frames/depth/Camera_*/depth_*.png, intrinsic.txt}"
    )

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "vkitti2",
        camera: Camera = "left",
        variants: tuple[str, ...] = (),
        sky: Sky = "depth",
    ) -> None:
        super().__init__(root, name=name)
        for option, value, allowed in (("camera", camera, Camera), ("sky", sky, Sky)):
            if value not in get_args(allowed):
                raise ValueError(f"`{option}` must be one of {', '.join(get_args(allowed))}, got {value!r}")
        self.camera, self.variants, self.sky = camera, tuple(variants), sky

    def keys(self) -> Sequence[str]:
        """List the images as `Scene01/clone/Camera_0/00000`.

        Raises:
            BadSource: there is none.
        """
        number = {"left": "0", "right": "1", "both": "[01]"}[self.camera]
        pattern = f"Scene*/*/frames/rgb/Camera_{number}/rgb_*.jpg"
        found = files_below(self._folder("rgb"), pattern, expected=self.layout)
        parts = [file.split("/") for file in found]
        keys = [
            f"{scene}/{variant}/{camera}/{file.removeprefix('rgb_').removesuffix('.jpg')}"
            for scene, variant, _, _, camera, file in parts
            if not self.variants or variant in self.variants
        ]
        if not keys:
            reason = f"holds none of the variants {', '.join(self.variants)}"
            raise BadSource(reason, file=self.root, field="variants", hint="see the folders of a scene")
        return sorted(keys)

    def files(self, key: str) -> Sequence[Path]:
        """List image, camera, classes and colours where they are used, and depth."""
        if key.count("/") != 3:
            hint = "keys are Scene01/clone/Camera_0/00000, see keys()"
            raise self.unknown(key, hint=hint)
        scene, variant, camera, number = key.split("/")
        part = Path(scene) / variant

        def frame(kind: str, file: str) -> Path:
            return self._folder(kind) / part / "frames" / kind / camera / file

        text = self._folder("textgt") / part
        classes = [text / "colors.txt", frame("classSegmentation", f"classgt_{number}.png")]
        return [
            frame("rgb", f"rgb_{number}.jpg"),
            text / "intrinsic.txt",
            *(classes if self.sky == "class" else []),
            frame("depth", f"depth_{number}.png"),
        ]

    def read(self, key: str) -> Sample:
        """Read one frame.

        Raises:
            BadSource: a file is missing, damaged or of another form, or a table lacks the frame.
            BadSample: no pixel has a depth.
        """
        image_file, camera_file, *classes, depth_file = self.files(key)
        image = read_image(image_file)
        code = read_png16(depth_file)
        check_size(code, depth_file, image, image_file)
        depth, valid = depth_of_code(code, per_metre=100, missing=(0, _FAR))
        check_16_bits(code, valid, depth_file)
        camera = _camera(camera_file, *key.split("/")[2:])
        sky = _is_sky(*classes) if classes else code == _FAR
        check_size(sky, classes[1] if classes else depth_file, image, image_file)
        return self.sample(key, image=image, target=depth, valid=valid & ~sky, sky=sky, intrinsics=camera)

    def _folder(self, kind: str) -> Path:
        folder = self.root / f"vkitti_2.0.3_{kind}"
        return folder if folder.is_dir() else self.root


def _rows(file: Path, head: tuple[str, ...]) -> list[list[str]]:
    rows = [line.split() for line in read_lines(file)]
    if not rows or tuple(rows[0]) != head or any(len(row) != len(head) for row in rows):
        raise BadSource(f"must be a table of {' '.join(head)}", file=file)
    return rows[1:]


def _camera(file: Path, camera: str, number: str) -> Intrinsics:
    try:
        wanted = (int(number), int(camera.removeprefix("Camera_")))
        for row in _rows(file, _INTRINSICS):
            if (int(row[0]), int(row[1])) == wanted:
                fx, fy, cx, cy = map(float, row[2:])
                return Intrinsics(fx, fy, cx, cy)
    except MISFIT as error:
        raise BadSource(f"is no table of cameras: {error}", file=file) from error
    raise BadSource(f"has no line for frame {wanted[0]} of camera {wanted[1]}", file=file)


def _is_sky(colours_file: Path, classes_file: Path) -> Bool[np.ndarray, "h w"]:
    names = {row[0]: row[1:] for row in _rows(colours_file, _COLOURS)}
    try:
        colour = np.array([int(word) for word in names["Sky"]])
    except MISFIT as error:
        raise BadSource("must give the colour of Sky", file=colours_file) from error
    return np.asarray((read_png_numbers(classes_file, bits=8, channels=3) == colour).all(-1))
