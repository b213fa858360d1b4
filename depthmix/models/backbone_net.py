"""A depth network on any backbone of transformers."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from depthmix.errors import ConfigError
from depthmix.models.encoder_stages import stages_of
from depthmix.models.fusion import FusionDecoder
from depthmix.models.input_size import resized, size_rule
from depthmix.models.normalisation import normalisation_of
from depthmix.models.pretrained import (
    Stated,
    build,
    config_of,
    load,
    plain,
    read_stated,
    recompute,
    transformers_package,
)
from depthmix.models.unused import unused_weights

__all__ = ["BackboneDepthNet"]

MAPS = 4  # that the decoder joins


class BackboneDepthNet(nn.Module):
    """Predict log canonical depth with a backbone of transformers and a light decoder.

    Any backbone class of transformers will do: DINOv2, DINOv3, BEiT, whose maps all have one size, or
    ConvNeXt V2, Swin, ResNet, whose maps halve it stage by stage. Four layers at equal distances are read,
    the last among them.

    Args:
        backbone: folder of the backbone, or its name on the Hugging Face hub.
        pretrained: whether its weights are read; else only its configuration is, and it starts at random.
        frozen: whether the backbone keeps its weights; it then costs no backward pass.
        width: channels of the decoder, a multiple of 16.
        side: pixels to which a side of the image is brought; None sees images at their own size.
        initial_depth: canonical depth in metres around which an untrained network predicts.
        outputs: channels of the prediction: log canonical depth, then one for each head.
        mean: of RGB in [0, 1]; by default from preprocessor_config.json, or that of ImageNet.
        std: of RGB in [0, 1]; goes with `mean`.
        config: configuration in plain values in the place of `backbone`, which starts at random. So a
            checkpoint rebuilds it without the folder.

    Raises:
        ConfigError: transformers is not installed, there is no such network, it is no backbone, or its
            weights are damaged or incomplete.
        ValueError: a number is out of its range.
    """

    def __init__(
        self,
        backbone: str | None = None,
        pretrained: bool = True,
        frozen: bool = False,
        width: int = 64,
        side: int | None = None,
        initial_depth: float = 5.0,
        outputs: int = 1,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        config: dict[str, object] | None = None,
    ) -> None:
        super().__init__()
        if width <= 0 or width % 16:
            raise ValueError(f"`width` must be a positive multiple of 16, got {width}")
        if not initial_depth > 0:
            raise ValueError(f"`initial_depth` must be positive, got {initial_depth}")
        if outputs < 1:
            raise ValueError(f"`outputs` must be at least 1, got {outputs}")
        if (backbone is None) == (config is None):
            raise ConfigError("give either `backbone` or `config`", field="backbone")
        self.frozen, self.width, self.side = frozen, width, side
        self.initial_depth, self.outputs = initial_depth, outputs
        stated = Stated(dict(config)) if config is not None else read_stated(str(backbone), "backbone")
        self.config = _backbone_config(stated.config)
        self.rule = size_rule(self.config, side)
        self.normalisation = normalisation_of(self.config.model_type, stated.preprocessor, mean, std)
        self.mean, self.std = self.normalisation.buffers()
        classes = transformers_package().MODEL_FOR_BACKBONE_MAPPING
        self.backbone: Any = (
            load(classes, backbone, self.config, "backbone")
            if backbone is not None and pretrained
            else build(classes, self.config, "backbone")
        )
        unused, channels = _tried(json.dumps(plain(self.config)))
        for name in unused:
            self.backbone.get_parameter(name).requires_grad_(False)
        if frozen:
            self.backbone.requires_grad_(False)
        self.decoder = FusionDecoder(channels, width, outputs, initial_depth)

    @property
    def spec(self) -> dict[str, object]:
        """Class path and constructor arguments that rebuild this network around a state of its own."""
        arguments = {
            "config": plain(self.config),
            "frozen": self.frozen,
            "width": self.width,
            "side": self.side,
            "initial_depth": self.initial_depth,
            "outputs": self.outputs,
            "mean": list(self.normalisation.mean),
            "std": list(self.normalisation.std),
        }
        return {"class_path": "depthmix.models.BackboneDepthNet", "init_args": arguments}

    @property
    def stages(self) -> tuple[nn.Module, ...]:
        """The backbone from the image inwards, stem first."""
        return stages_of(self.backbone)

    def checkpoint_gradients(self) -> None:
        """Compute the backbone's layers again on the way back instead of keeping what they gave.

        Raises:
            ConfigError: transformers does not offer it for this backbone.
        """
        recompute(self.backbone)

    def train(self, mode: bool = True) -> Self:
        """Set the mode, except of a frozen backbone: it drops nothing while the decoder learns."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b outputs h w"]:
        """Predict log canonical depth, and the heads behind it, for RGB in [0, 1]."""
        height, width = image.shape[-2:]
        seen = resized(image, self.rule.of(height, width))
        maps = self.backbone((seen - self.mean) / self.std).feature_maps
        return resized(self.decoder(maps, seen), (height, width))


def _backbone_config(stated: Mapping[str, Any]) -> Any:
    transformers_package()
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_BACKBONE_MAPPING_NAMES,
        MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES,
    )

    config = config_of(stated, "backbone")
    if config.model_type not in MODEL_FOR_BACKBONE_MAPPING_NAMES:
        name = ", ".join(config.architectures or [config.model_type])
        whole = config.model_type in MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES
        hint = (
            "TransformersDepthNet takes it" if whole else "dinov2, dinov3_vit, convnextv2 and swin are some"
        )
        raise ConfigError(f"{name} is no backbone of transformers", field="backbone", hint=hint)
    layers = [index for index, name in enumerate(config.stage_names) if name != "stem"]
    count = min(MAPS, len(layers))
    config.out_indices = [layers[len(layers) * (number + 1) // count - 1] for number in range(count)]
    if hasattr(config, "reshape_hidden_states"):
        config.reshape_hidden_states = True
    return config


@lru_cache(maxsize=64)
def _tried(config: str) -> tuple[frozenset[str], tuple[int, ...]]:
    """Return the weights that the maps do not depend on, and the channels of each map."""
    found = config_of(json.loads(config), "config")
    classes = transformers_package().MODEL_FOR_BACKBONE_MAPPING
    channels: tuple[int, ...] = ()

    def run(net: nn.Module, image: Tensor) -> Tensor:
        nonlocal channels
        maps: Sequence[Tensor] = net(image).feature_maps
        channels = tuple(one.shape[1] for one in maps)
        return torch.stack([one.sum() for one in maps]).sum()

    size = size_rule(found).of(64, 96)
    try:
        return unused_weights(lambda: build(classes, found, "config"), run, size), channels
    except RuntimeError as error:
        reason = f"{found.model_type} does not run on images of {size[0]} x {size[1]} pixels: {error}"
        raise ConfigError(reason[:300], field="backbone", hint="take one that takes any size") from error
