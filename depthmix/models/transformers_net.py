"""A whole depth network of transformers that gives log canonical depth."""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Self

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from depthmix.alignment import align_scale_shift
from depthmix.errors import ConfigError
from depthmix.models.blocks import start_near
from depthmix.models.encoder_stages import encoders_of, stages_of
from depthmix.models.input_size import resized, size_rule
from depthmix.models.normalisation import normalisation_of
from depthmix.models.numbers import (
    Meaning,
    focal_shift,
    focals,
    log_from_inverse,
    log_from_metric,
    log_from_relative,
    meaning_of,
    scale_shift,
)
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

__all__ = ["TransformersDepthNet"]

FASTER: Final = 10.0  # than other weights log scale and log shift move: at a small rate theirs is a long way
FARTHEST: Final = 1e4  # canonical metres, that a fitted shift allows
# What a folder of our own states, and of which type.
KEPT: Final[Mapping[str, Any]] = {
    "meaning": str,
    "focal_canonical": float | int,
    "focal_per_width": float | int,
    "scale": float | int,
    "shift": float | int,
}


class TransformersDepthNet(nn.Module):
    """Predict log canonical depth with a depth network of transformers: DepthAnything, DPT, ZoeDepth, ...

    The image is brought to a size and to the colours that the network takes, and the map back to the image.
    What its numbers mean is read from its configuration, or must be said where that does not say it:

    - "metric": z in metres, y = log z. A network that knows no camera gives the metres that are right for the
      camera of its training. `focal_per_width` says which that was, as focal length over image width (about
      0.81 for NYU, 0.58 for KITTI); its depth is then made canonical, and right for any camera whose focal
      length is known. Without it the metres count as canonical depth: they are right for images of focal
      length f_c, and others wait for training to find the factor.
    - "inverse": 1/z in 1/metres, y = -log(1/z). DepthPro gives f / (w z) for an image of width w, which is
      1/z for a focal length of one image width: `focal_per_width` is 1 for it, and its field of view, which
      only metres without a known camera need, is not computed.
    - "relative": r, inverse depth up to scale and shift: y = -log(s r + t). s and t are positive and learned;
      losses that leave scale and shift open do not see them, so they matter where a metric loss is.

    Args:
        model: folder of the network, or its name on the Hugging Face hub.
        meaning: of its numbers, where its configuration does not say it.
        focal_canonical: f_c in pixels, as the training has it; goes with `focal_per_width`.
        focal_per_width: focal length over image width of the camera that its metres hold for.
        scale: s at the start, in 1/metres for each unit of r; 0.1 by default.
        shift: t at the start, in 1/metres; 0.01 by default.
        side: pixels to which a side of the image is brought; None sees images at their own size.
        frozen: whether the encoder keeps its weights.
        outputs: channels of the prediction: log canonical depth, then one for each head. Heads read what the
            last layer of the depth head reads.
        mean: of RGB in [0, 1]; by default from preprocessor_config.json, or that of its kind.
        std: of RGB in [0, 1]; goes with `mean`.
        config: configuration in plain values in the place of `model`: the network starts at random. So a
            checkpoint rebuilds it without the folder.

    Raises:
        ConfigError: transformers is not installed, there is no such network, it is no depth network, its
            weights are damaged or incomplete, what its numbers mean is not known, or options do not go
            together.
        ValueError: `outputs` is not positive.

    Convention: pixels are square, as f / w is meant along a row.

    Reference: Yang et al., Depth Anything (arXiv 2401.10891); Ranftl et al., DPT (arXiv 2103.13413); Bhat et
    al., ZoeDepth (arXiv 2302.12288); Bochkovskii et al., Depth Pro (arXiv 2410.02073), section 3.
    """

    def __init__(
        self,
        model: str | None = None,
        meaning: Meaning | None = None,
        focal_canonical: float | None = None,
        focal_per_width: float | None = None,
        scale: float | None = None,
        shift: float | None = None,
        side: int | None = None,
        frozen: bool = False,
        outputs: int = 1,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        config: dict[str, object] | None = None,
    ) -> None:
        super().__init__()
        if outputs < 1:
            raise ValueError(f"`outputs` must be at least 1, got {outputs}")
        self.outputs, self.frozen, self.side = outputs, frozen, side
        stated, kept = _stated(model, config)
        given: dict[str, Any] = {
            "meaning": meaning,
            "focal_canonical": focal_canonical,
            "focal_per_width": focal_per_width,
            "scale": scale,
            "shift": shift,
        }
        options = {name: kept.get(name) if value is None else value for name, value in given.items()}
        self.config = _depth_config(stated.config)
        self.meaning = meaning_of(self.config, options["meaning"])
        self.focal_canonical, self.focal_per_width = focals(self.config, self.meaning, options)
        self.scale, self.shift = scale_shift(self.meaning, options)
        self.rule = size_rule(self.config, side)
        self.normalisation = normalisation_of(self.config.model_type, stated.preprocessor, mean, std)
        self.mean, self.std = self.normalisation.buffers()
        self._make(model)

    def _make(self, model: str | None) -> None:
        """Build the modules."""
        classes = transformers_package().MODEL_FOR_DEPTH_ESTIMATION_MAPPING
        self.model: Any = (
            build(classes, self.config, "config")
            if model is None
            else load(classes, model, self.config, "model")
        )
        for name in _unused(json.dumps(plain(self.config))):
            self.model.get_parameter(name).requires_grad_(False)
        if self.frozen:
            if not encoders_of(self.model):
                reason = f"it is not known which part of {self.config.model_type} is the encoder"
                raise ConfigError(reason, field="frozen", hint="leave it trainable")
            for encoder in encoders_of(self.model):
                encoder.requires_grad_(False)
        self.affine: nn.Parameter | None = None
        if self.scale is not None and self.shift is not None:
            self.affine = nn.Parameter(torch.tensor([self.scale, self.shift]).log() / FASTER)
        self.further: nn.Conv2d | None = None
        if self.outputs > 1:
            self.further = nn.Conv2d(_last(self.model).in_channels, self.outputs - 1, 3, padding=1)
            start_near(self.further, 1.0)

    @property
    def spec(self) -> dict[str, object]:
        """Class path and constructor arguments that rebuild this network around a state of its own."""
        arguments = {
            "config": plain(self.config),
            "meaning": self.meaning,
            "focal_canonical": self.focal_canonical,
            "focal_per_width": self.focal_per_width,
            "scale": self.scale,
            "shift": self.shift,
            "side": self.side,
            "frozen": self.frozen,
            "outputs": self.outputs,
            "mean": list(self.normalisation.mean),
            "std": list(self.normalisation.std),
        }
        return {"class_path": "depthmix.models.TransformersDepthNet", "init_args": arguments}

    @property
    def stages(self) -> tuple[nn.Module, ...]:
        """The encoder from the image inwards, stem first; empty where it is not known which part that is."""
        return stages_of(*encoders_of(self.model))

    def checkpoint_gradients(self) -> None:
        """Compute the encoder's layers again on the way back instead of keeping what they gave.

        Raises:
            ConfigError: transformers does not offer it for this network.
        """
        recompute(self.model)

    def train(self, mode: bool = True) -> Self:
        """Set the mode, except of a frozen encoder: it drops nothing while the rest learns."""
        super().train(mode)
        if self.frozen:
            for encoder in encoders_of(self.model):
                encoder.eval()
        return self

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b outputs h w"]:
        """Predict log canonical depth, and the heads behind it, for RGB in [0, 1]."""
        height, width = image.shape[-2:]
        numbers, read = self._numbers(image)
        y = self._log_canonical(resized(numbers.float(), (height, width)), width)
        if self.further is None:
            return y
        return torch.cat([y, resized(self.further(read).float(), (height, width))], 1)

    @torch.no_grad()
    def fit(
        self,
        image: Float[Tensor, "b 3 h w"],
        canonical_depth: Float[Tensor, "b 1 h w"],
        valid: Bool[Tensor, "b 1 h w"],
    ) -> tuple[float, float]:
        """Fit scale and shift of relative numbers to labels, by least squares over inverse depth.

        Training finds them, too, but from far away only after thousands of steps.

        Args:
            image: RGB in [0, 1].
            canonical_depth: metric depth times f_c over the focal length of its image.
            valid: where it may be read.

        Returns:
            The scale and the shift that the network has from now on.

        Raises:
            ValueError: the numbers are not relative, no pixel is valid, or they do not rise with inverse
                depth.
        """
        if self.affine is None:
            raise ValueError(f"`fit` is for relative numbers, those of this network are {self.meaning}")
        numbers, _ = self._numbers(image)
        r = resized(numbers.float(), (image.shape[-2], image.shape[-1])).reshape(1, -1)
        inverse = 1 / canonical_depth.where(valid, canonical_depth.new_ones(())).float().reshape(1, -1)
        scale, shift = (x.item() for x in align_scale_shift(r, inverse, valid.reshape(1, -1)))
        if not bool(valid.any()) or not scale > 0:
            raise ValueError("`fit` needs valid pixels whose inverse depth rises with the network's numbers")
        shift = max(shift, 1 / FARTHEST)
        self.affine.copy_(torch.tensor([scale, shift]).log() / FASTER)
        return scale, shift

    @property
    def scale_shift(self) -> tuple[float, float] | None:
        """The factors s and t of relative numbers, as they are now; None for others."""
        if self.affine is None:
            return None
        scale, shift = (self.affine.detach() * FASTER).exp().tolist()
        return scale, shift

    def _numbers(
        self, image: Float[Tensor, "b 3 h w"]
    ) -> tuple[Float[Tensor, "b 1 rows columns"], Tensor | None]:
        """Return the network's own numbers, and for further heads what its last layer reads."""
        pixels = (resized(image, self.rule.of(image.shape[-2], image.shape[-1])) - self.mean) / self.std
        if self.further is None:
            numbers: Tensor = self.model(pixel_values=pixels).predicted_depth[:, None]
            return numbers, None
        read: list[Tensor] = []
        # For one call only: a copy of this module would share a hook that stays.
        hook = _last(self.model).register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
        try:
            numbers = self.model(pixel_values=pixels).predicted_depth[:, None]
        finally:
            hook.remove()
        return numbers, read[-1]

    def _log_canonical(self, numbers: Float[Tensor, "b 1 h w"], width: int) -> Float[Tensor, "b 1 h w"]:
        if self.affine is not None:
            log_scale, log_shift = FASTER * self.affine
            return log_from_relative(numbers, log_scale, log_shift)
        log_depth = log_from_metric(numbers) if self.meaning == "metric" else log_from_inverse(numbers)
        return log_depth + focal_shift(self.focal_canonical, self.focal_per_width, width)


def _stated(model: str | None, config: dict[str, object] | None) -> tuple[Stated, dict[str, Any]]:
    """Return what the folder says of the network, and what it says if depthmix wrote it."""
    if (model is None) == (config is None):
        raise ConfigError("give either `model` or `config`", field="model")
    stated = Stated(dict(config)) if config is not None else read_stated(str(model), "model")
    kept = stated.config.pop("depthmix", None)
    kept = kept if isinstance(kept, dict) else {}
    return stated, {name: kept[name] for name, kind in KEPT.items() if isinstance(kept.get(name), kind)}


def _depth_config(stated: Mapping[str, Any]) -> Any:
    transformers_package()
    from transformers.models.auto.modeling_auto import MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES as KNOWN

    config = config_of(stated, "model")
    if config.model_type not in KNOWN:
        name = ", ".join(config.architectures or [config.model_type])
        hint = f"depth networks of transformers are {', '.join(KNOWN)}; others fit BackboneDepthNet"
        raise ConfigError(f"{name} is no depth network", field="model", hint=hint)
    if len(getattr(config, "bin_configurations", None) or ()) > 1:
        reason = "this ZoeDepth has several heads, and all images of a batch vote for one of them"
        raise ConfigError(reason, field="model", hint="give one with a single head, such as zoedepth-nyu")
    if config.model_type == "depth_pro":
        config.use_fov_model = False
    return config


def _last(model: nn.Module) -> nn.Conv2d:
    """Return the layer that gives the numbers, or what goes into them."""
    head = getattr(model, "relative_head", None) or getattr(model, "head", None)
    found = [m for m in head.modules() if isinstance(m, nn.Conv2d)] if isinstance(head, nn.Module) else []
    if not found:
        reason = f"it is not known what further heads of {type(model).__name__} would read"
        raise ConfigError(reason, field="outputs", hint="train it without heads")
    return found[-1]


@lru_cache(maxsize=64)
def _unused(config: str) -> frozenset[str]:
    found = config_of(json.loads(config), "config")
    classes = transformers_package().MODEL_FOR_DEPTH_ESTIMATION_MAPPING

    def run(net: nn.Module, image: Tensor) -> Tensor:
        numbers: Tensor = net(pixel_values=image).predicted_depth
        return numbers.sum()

    try:
        return unused_weights(lambda: build(classes, found, "config"), run, size_rule(found).of(64, 64))
    except RuntimeError:  # it looks at values; whoever trains it on several devices will hear of the rest
        return frozenset()
