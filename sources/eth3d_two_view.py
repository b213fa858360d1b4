"""ETH3D two-view stereo: grey pairs with disparities from a laser scanner."""

from pathlib import Path

from depthmix.sample import LabelKind, Quality
from depthmix.sources.base import SourceCard
from depthmix.sources.middlebury import MiddleburyStereo
from depthmix.sources.stereo import NOISE

__all__ = ["Eth3dTwoView"]


class Eth3dTwoView(MiddleburyStereo):
    """Read `<root>/<scene>/{im0.png, disp0GT.pfm, calib.txt[, mask0nocc.png]}`.

    The archives of pictures and of truth unpack into the same scene folders, in the form of Middlebury 2014.
    inf = no laser point.

    Args:
        root: folder of the scene folders.
        name: name of the source in the mix.
        occluded: whether pixels that the right camera does not see are valid.
        sigma_disparity_px: one standard deviation of a disparity; the laser itself is better than this.
    """

    card = SourceCard(
        family="calibrated stereo",
        quality=Quality.MIDDLE,
        kind=LabelKind.METRIC_DEPTH,
        unit="m",
        density="dense",
        noise=NOISE,
        licence="CC BY-NC-SA 4.0, as commonly stated; not confirmed at its publisher",
        citation="Schoeps, Schoenberger, Galliani, Sattler, Schindler, Pollefeys, Geiger: A Multi-View "
        "Stereo Benchmark "
        "with High-Resolution Images and Multi-Camera Videos, CVPR 2017",
        size="27 training pairs, 20 test pairs without labels",
    )
    layout = "<scene>/{im0.png, disp0GT.pfm, calib.txt}"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "eth3d_two_view",
        occluded: bool = True,
        sigma_disparity_px: float = 0.5,
    ) -> None:
        super().__init__(
            root,
            name=name,
            disparity="disp0GT.pfm",
            occluded=occluded,
            sigma_disparity_px=sigma_disparity_px,
        )
