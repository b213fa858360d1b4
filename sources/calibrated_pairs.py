"""Rectified pairs with a calibration and no label: matched here, metres with a spread at every pixel."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8

from depthmix.errors import BadSample, BadSource
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.archive import read_file
from depthmix.sources.base import SourceCard
from depthmix.sources.files import MAX_PIXELS, check_pixels, refusing
from depthmix.sources.matching import check_work, match_pair
from depthmix.sources.middlebury import parse_calibration
from depthmix.sources.stereo import NOISE, StereoCalibration, check_sigma, depth_of_disparity
from depthmix.sources.stereo_pairs import MATCHER, StereoPairs, search_range

__all__ = ["CalibratedPairs", "OakStereo"]


class CalibratedPairs(StereoPairs):
    """Match rectified pairs of calibrated cameras.

    Pictures are named and kept as in `StereoPairs` (a folder, a zip archive or a wheel). `calibration` names
    one file for all pairs, or with a `*` in place of the key one for each: JSON as stereodemo writes it (fx,
    fy, cx0, cx1, cy, baseline_meters, width, height, and where they are there depth_range and
    left_image_rect_normalized) or a `calib.txt` of Middlebury 2014.

    The disparity comes from semi-global matching and stays only where both directions agree. One standard
    deviation of it is taken as the same everywhere; that of z follows from it and grows with z squared.

    Args:
        root: folder, zip archive or wheel.
        name: name of the source in the mix.
        inside: folder below `root` or inside the archive.
        calibration: file of the calibration, below `inside`; `calib/*.txt` has one for each pair.
        leave_out: keys of pairs that are not to be used.
        nearest_m: nothing nearer is searched; 0 takes half the nearest depth of the calibration's depth
            range, or a fifth of the width where it has none.
        min_share: share of pixels that must match both ways; a pair below it is refused.
        sigma_disparity_px: one standard deviation of a disparity. On the Motorcycle pair of Middlebury half
            of the matched pixels are off by less than 0.2 px and a twentieth by more than 10: a matcher's
            errors are no bell curve, and a robust loss is in order.

    Raises:
        BadSource: no such folder or archive, no pairs, no calibration.
        ValueError: an option is out of range.
    """

    card = SourceCard(
        family="calibrated stereo",
        quality=Quality.MIDDLE,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="dense",
        noise=NOISE,
        licence="that of the pairs; the layout does not state one",
        citation=f"the work that published the pairs, and {MATCHER}",
    )
    layout = "*_left.png with *_right.png, or left/* with right/*, and a calibration"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "calibrated_pairs",
        inside: str = "",
        calibration: str = "stereodemo_calibration.json",
        leave_out: Collection[str] = (),
        nearest_m: float = 0.0,
        min_share: float = 0.1,
        sigma_disparity_px: float = 0.5,
    ) -> None:
        if not 0 <= nearest_m < np.inf:
            raise ValueError(f"`nearest_m` must be finite and not negative, got {nearest_m}")
        super().__init__(root, name=name, inside=inside, leave_out=leave_out, min_share=min_share)
        self.calibration, self.nearest_m = calibration, nearest_m
        self.sigma_disparity_px = check_sigma(sigma_disparity_px)

    def files(self, key: str) -> Sequence[Path]:
        """List calibration and both pictures, or the archive that holds them."""
        pair = super().files(key)
        return [self._calibration_file(key), *pair] if self.root.is_dir() else pair

    def read(self, key: str) -> Sample:
        """Match one pair; pixels outside the stated region of the left picture are not valid.

        Raises:
            BadSource: a file is missing or damaged, or sizes disagree.
            BadSample: too few pixels match both ways, or the search would take minutes.
        """
        left, right = self.both(key)
        pair = self._pair_calibration(key, left)
        start, length = search_range(left.shape[1], 0.0, self._highest(key, pair))
        try:
            check_work(left.shape[0], left.shape[1], length)
            disparity, valid = match_pair(left, right, min_disparity=start, num_disparities=length)
            self.check_share(valid)
        except BadSample as error:
            raise self.refused(key, error) from error
        depth, sigma, positive = depth_of_disparity(disparity, pair.stereo, self.sigma_disparity_px)
        valid = valid & positive & pair.region
        return self.sample(
            key, image=left, target=depth, valid=valid, sigma=sigma, intrinsics=pair.stereo.intrinsics
        )

    def _calibration_file(self, key: str) -> Path:
        return self.root / self.inside / self.calibration.replace("*", key)

    def _highest(self, key: str, pair: "_Pair") -> float:
        """Return the largest disparity searched as a share of the width."""
        nearest = self.nearest_m or pair.nearest_m
        stereo = pair.stereo
        if not nearest:
            return self.highest
        share = (stereo.intrinsics.fx * stereo.baseline_m / nearest - stereo.doffs_px) / stereo.width
        if not share < 1:
            reason = f"a point at {nearest:g} m would be {share:.3g} widths of the picture apart in the two"
            hint = "check baseline and focal length, or raise `nearest_m`"
            raise BadSource(reason, file=self._calibration_file(key), hint=hint)
        return max(0.02, share)

    def _pair_calibration(self, key: str, left: UInt8[np.ndarray, "h w 3"]) -> "_Pair":
        file = self._calibration_file(key)
        data = read_file(self.root, self.calibration.replace("*", key), self.inside, max_bytes=1_000_000)
        if self.calibration.endswith(".json"):
            pair = _read_json(data, file)
        else:
            pair = _Pair(parse_calibration(data, file), np.ones(left.shape[:2], np.bool_), 0.0)
        stated, found = (pair.stereo.height, pair.stereo.width), left.shape[:2]
        if stated != found:
            reason = f"belongs to pictures of {stated[1]} x {stated[0]}, these have {found[1]} x {found[0]}"
            raise BadSource(reason, file=file, hint="calibration and pictures must be of one size")
        return pair


class OakStereo(CalibratedPairs):
    """Match the OAK-D pairs of the stereodemo 0.7 wheel, with their calibration.

    Eleven indoor pairs, grey, 480 x 640, baseline 7.5 cm; the picture of the photographer is left out.

    Args:
        root: the wheel, or the folder into which it was unpacked.
        name: name of the source in the mix.
        sigma_disparity_px: as in `CalibratedPairs`.
    """

    card = SourceCard(
        family="calibrated stereo",
        quality=Quality.MIDDLE,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="dense",
        noise=NOISE,
        licence="CC BY 4.0",
        citation=f"Nicolas Burrus, stereodemo 0.7, datasets/oak-d; {MATCHER}",
        size="11 pairs",
        read_on_real_files=True,
    )
    layout = "stereodemo/datasets/oak-d"

    def __init__(
        self, root: str | Path, *, name: str = "oak_stereo", sigma_disparity_px: float = 0.5
    ) -> None:
        super().__init__(
            root,
            name=name,
            inside="stereodemo/datasets/oak-d",
            leave_out=("selfie",),
            sigma_disparity_px=sigma_disparity_px,
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """A calibration, where the left picture shows something, and the nearest depth expected (0: unknown)."""

    stereo: StereoCalibration
    region: Bool[np.ndarray, "h w"]
    nearest_m: float


def _read_json(data: bytes, file: Path) -> _Pair:
    with refusing(file):
        content = json.loads(data, parse_int=float)
    if not isinstance(content, dict):
        raise BadSource(f"must be a JSON object, got {type(content).__name__}", file=file)
    numbers = {}
    for name in ("width", "height", "baseline_meters", "fx", "fy", "cx0", "cx1", "cy"):
        value = content.get(name)
        if not isinstance(value, float) or not np.isfinite(value):
            raise BadSource(f"must be a finite number, got {value!r}", file=file, field=name)
        numbers[name] = value
    width, height = int(numbers["width"]), int(numbers["height"])
    check_pixels(width, height, file, MAX_PIXELS)
    if not 0 < numbers["baseline_meters"] < 100:
        raise BadSource("must be positive metres", file=file, field="baseline_meters")
    try:
        camera = Intrinsics(numbers["fx"], numbers["fy"], numbers["cx0"], numbers["cy"])
    except BadSample as error:
        raise BadSource(error.reason, file=file, field=error.field) from error
    doffs = numbers["cx1"] - numbers["cx0"]
    stereo = StereoCalibration(camera, numbers["baseline_meters"], doffs, width, height)
    left, top, right, bottom = _four(content.get("left_image_rect_normalized", [0.0, 0.0, 1.0, 1.0]), file)
    v, u = np.ogrid[:height, :width]
    region = (u >= left * width) & (u < right * width) & (v >= top * height) & (v < bottom * height)
    nearest = content.get("depth_range", [0.0])
    # The range was made for showing the scene; things may stand somewhat nearer.
    near = nearest[0] / 2 if isinstance(nearest, list) and nearest and isinstance(nearest[0], float) else 0.0
    return _Pair(stereo, region, max(near, 0.0))


def _four(value: object, file: Path) -> list[float]:
    if isinstance(value, list) and len(value) == 4 and all(isinstance(one, float) for one in value):
        return list(value)
    raise BadSource(f"must be four numbers, got {value!r}", file=file, field="left_image_rect_normalized")
