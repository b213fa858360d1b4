"""Make networks of depthmix known to transformers, for its pipeline "depth-estimation", by importing this.

No code of the folder runs: configuration, network and preprocessing are the classes below. Nothing here needs
torchvision.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from depthmix.artefact import CONFIG, FACTS
from depthmix.errors import ConfigError
from depthmix.export.hub import hub_folder
from depthmix.predict import network_image, network_size
from depthmix.trained import Trained, from_facts, load_trained, predict_batch

try:  # at the top for once: base classes cannot wait until a function is called
    from transformers import (
        AutoConfig,
        AutoImageProcessor,
        AutoModelForDepthEstimation,
        BaseImageProcessor,
        BatchFeature,
        PreTrainedConfig,
        PreTrainedModel,
    )
    from transformers.modeling_outputs import DepthEstimatorOutput
    from transformers.models.auto.modeling_auto import MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES
except ImportError as error:
    raise ConfigError(f"{error.name} is not installed", hint="pip install depthmix[hub]") from error

__all__ = ["DepthmixConfig", "DepthmixForDepthEstimation", "DepthmixImageProcessor"]

FETCHING: Final = ("force_download", "token", "cache_dir", "local_files_only", "revision")


class DepthmixConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Hold what `config.json` says; `depthmix` in it are the facts of the network."""

    model_type = "depthmix"


class DepthmixForDepthEstimation(PreTrainedModel):  # type: ignore[no-untyped-call]
    """Predict relative inverse depth as transformers' relative networks do: larger is nearer.

    Metres need the focal length of each photo, which the pipeline does not hand on: see
    `depthmix.predict.predict_image`.

    Args:
        config: of a folder; alone it gives an untrained network.
        trained: the network that it describes.

    Raises:
        ConfigError: its facts are those of no network of depthmix.
    """

    config_class = DepthmixConfig
    main_input_name = "pixel_values"

    def __init__(self, config: DepthmixConfig, trained: Trained | None = None) -> None:
        super().__init__(config)
        facts, where = getattr(config, FACTS, None), Path(str(config.name_or_path)) / CONFIG
        if not isinstance(facts, dict):
            raise ConfigError("says nothing of depthmix", file=where, field=FACTS)
        self.trained = from_facts(facts, where) if trained is None else trained
        self.net = self.trained.net
        self.post_init()  # type: ignore[no-untyped-call]

    @classmethod
    def from_pretrained(  # type: ignore[override]  # options of other forms are passed over
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        config: DepthmixConfig | None = None,
        dtype: str | torch.dtype = "auto",
        device_map: object = None,
        quantization_config: object = None,
        **options: Any,
    ) -> Self:
        """Return the network of a folder or name, loaded by `load_trained` with all its checks.

        What transformers itself does leaves values that a network keeps beside its weights unset.

        Args:
            pretrained_model_name_or_path: the folder, or its name on the hub.
            config: as it was read from there.
            dtype: of the weights; "auto" is as they are stored.
            device_map: is refused; move the network with `to`.
            quantization_config: is refused.
            options: of `HubDepthModel.from_pretrained`; others of transformers are passed over.

        Raises:
            ConfigError: as `load_trained`, or an option that is refused.
        """
        for name, value in {"device_map": device_map, "quantization_config": quantization_config}.items():
            if value is not None:
                hint = "move the network with `to`, quantise with `depthmix export --format onnx-int8`"
                raise ConfigError("is not supported", field=name, hint=hint)
        known = {name: options[name] for name in FETCHING if name in options}
        folder = hub_folder(pretrained_model_name_or_path, **known)
        about = config or DepthmixConfig.from_pretrained(folder)
        model = cls(about, load_trained(folder))
        torch.nn.Module.eval(model)
        if isinstance(dtype, torch.dtype):
            torch.nn.Module.to(model, dtype=dtype)
        return model

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Leave modules alone: they set their own weights, and a folder holds all of them."""

    def forward(self, pixel_values: Float[Tensor, "b 3 h w"], **_: Any) -> DepthEstimatorOutput:
        """Return inverse depth of unknown scale and shift [b h w] for RGB in [0, 1]."""
        depth = predict_batch(self.trained, pixel_values.float()).inverse_depth
        return DepthEstimatorOutput(predicted_depth=depth[:, 0])


class DepthmixImageProcessor(BaseImageProcessor):
    """Bring an image to the area that the network was trained on, and its prediction back to the image.

    Args:
        height: rows of the training images.
        width: columns of the training images.
        options: of transformers.
    """

    model_input_names = ["pixel_values"]  # noqa: RUF012  # transformers' own name and kind

    def __init__(self, height: int = 96, width: int = 128, **options: Any) -> None:
        super().__init__(**options)
        self.height, self.width = height, width

    def __call__(  # type: ignore[override]  # options of other processors are passed over
        self, images: Any, return_tensors: Any = "pt", **_: Any
    ) -> BatchFeature:
        """Return `pixel_values` of one RGB image, or of several that have one size."""
        given = images if isinstance(images, list | tuple) else [images]
        arrays = [np.asarray(image.convert("RGB") if hasattr(image, "convert") else image) for image in given]
        rows = [
            network_image(array, network_size(array.shape[:2], self.height, self.width)) for array in arrays
        ]
        return BatchFeature({"pixel_values": torch.stack(rows)}, tensor_type=return_tensors)

    def post_process_depth_estimation(
        self, outputs: DepthEstimatorOutput, target_sizes: Sequence[tuple[int, int]] | None = None
    ) -> list[dict[str, Tensor]]:
        """Return the maps at the sizes of the photos, interpolated in log depth, as `predict_image` does."""
        predicted: Tensor = outputs.predicted_depth  # type: ignore[assignment]  # ours always has it
        maps = [found[None, None] for found in predicted]
        sizes = target_sizes or [(found.shape[-2], found.shape[-1]) for found in maps]
        enlarged = [
            interpolate(found.log(), size=tuple(size), mode="bilinear", align_corners=False).exp()[0, 0]
            for found, size in zip(maps, sizes, strict=True)
        ]
        return [{"predicted_depth": found} for found in enlarged]


AutoConfig.register("depthmix", DepthmixConfig, exist_ok=True)
AutoModelForDepthEstimation.register(DepthmixConfig, DepthmixForDepthEstimation, exist_ok=True)
AutoImageProcessor.register(
    DepthmixConfig, image_processor_classes={"pil": DepthmixImageProcessor}, exist_ok=True
)
# The pipeline looks at this table of names, too, and would say that the network is not supported.
MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES["depthmix"] = "DepthmixForDepthEstimation"
