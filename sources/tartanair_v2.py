"""TartanAir V2: the worlds of TartanAir and more, seen by twelve cameras."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal, get_args

import numpy as np
from jaxtyping import Float32

from depthmix.sample import Intrinsics, LabelKind, Quality
from depthmix.sources.base import SourceCard
from depthmix.sources.decode import read_png_numbers
from depthmix.sources.layout import files_below
from depthmix.sources.tartanair import Difficulty, Side, TartanAir, frame_key

__all__ = ["TartanAirV2", "read_float_png"]

Face = Literal["front", "back", "left", "right", "top", "bottom"]


class TartanAirV2(TartanAir):
    """Read `<root>/<World>/<Data_easy|Data_hard>/P*/{image_lcam_front, depth_lcam_front}`.

    Layout: `image_lcam_front/000000_lcam_front.png` (640 x 640) and
    `depth_lcam_front/000000_lcam_front_depth.png`. Keys are `<World>/<Data_easy|Data_hard>/P000/000000`.

    Convention: as `TartanAir`, but the four bytes of a float32 are the channels blue, green, red and alpha of
    an 8-bit PNG, lowest byte first. The camera has f = 320, its axis at (320, 320) from the corner.

    Args:
        root: folder of the worlds.
        name: name of the source in the mix.
        difficulty: "easy", "hard" or "both".
        side: the left or the right camera of the pair.
        face: where the pair looks: "front", "back", "left", "right", "top" or "bottom".
        sky_from_m: as in `TartanAir`; the publisher only says that the sky is very far.
        farthest_m: as in `TartanAir`.

    Raises:
        BadSource: no such folder.
        ValueError: as `TartanAir`, or `face` is none of the words above.
    """

    card = SourceCard(
        family="synthetic",
        quality=Quality.HIGH,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="dense",
        noise="",
        licence="CC BY 4.0, as commonly stated; not confirmed at its publisher",
        citation="Wang, Zhu, Wang, Hu, Qiu, Wang, Hu, Kapoor, Scherer: TartanAir: A Dataset to Push the "
        "Limits of Visual SLAM, IROS 2020; TartanAir V2, tartanair.org",
        size="12 cameras a frame, in six directions",
    )
    layout: ClassVar[str] = (
        "<World>/<Data_easy|Data_hard>/P*/{image_lcam_front/*_lcam_front.png, "
        "depth_lcam_front/*_lcam_front_depth.png}"
    )
    camera: ClassVar[Intrinsics] = Intrinsics(320.0, 320.0, 319.5, 319.5)
    camera_size: ClassVar[tuple[int, int]] = (640, 640)

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "tartanair_v2",
        difficulty: Difficulty = "both",
        side: Side = "left",
        face: Face = "front",
        sky_from_m: float = 10000.0,
        farthest_m: float = 1000.0,
    ) -> None:
        super().__init__(
            root, name=name, difficulty=difficulty, side=side, sky_from_m=sky_from_m, farthest_m=farthest_m
        )
        if face not in get_args(Face):
            raise ValueError(f"`face` must be one of {', '.join(get_args(Face))}, got {face!r}")
        self.face = face

    def keys(self) -> Sequence[str]:
        """List the images.

        Raises:
            BadSource: there is none.
        """
        level = "*" if self.difficulty == "both" else self.difficulty
        view = self._view
        pattern = f"*/Data_{level}/P*/image_{view}/*_{view}.png"
        found = files_below(self.root, pattern, expected=self.layout)
        return sorted(frame_key(file, f"_{view}.png") for file in found)

    def files(self, key: str) -> Sequence[Path]:
        """List image and depth."""
        folder, _, number = key.rpartition("/")
        flight, view = self.root / folder, self._view
        return [
            flight / f"image_{view}" / f"{number}_{view}.png",
            flight / f"depth_{view}" / f"{number}_{view}_depth.png",
        ]

    @property
    def _view(self) -> str:
        return f"{self.side[0]}cam_{self.face}"

    def _read_depth(self, file: Path) -> np.ndarray:
        return read_float_png(file)


def read_float_png(file: Path) -> Float32[np.ndarray, "h w"]:
    """Read float32 numbers whose bytes are the channels of a PNG: blue lowest, then green, red, alpha.

    Raises:
        BadSource: no such file, damaged, or no 8-bit RGB with alpha.
    """
    pixels = read_png_numbers(file, bits=8, channels=4)
    return np.ascontiguousarray(pixels[..., [2, 1, 0, 3]]).view("<f4")[..., 0].astype(np.float32)
