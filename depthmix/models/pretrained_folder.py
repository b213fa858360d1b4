"""Write a depth network of transformers as a folder that transformers loads by itself."""

import json
from pathlib import Path
from typing import Any, Final

from depthmix.errors import ConfigError, StorageError
from depthmix.models.input_size import side_of
from depthmix.models.numbers import SMALLEST
from depthmix.models.pretrained import quiet
from depthmix.models.transformers_net import TransformersDepthNet

__all__ = ["save_pretrained_folder"]

BILINEAR: Final = 2  # as the image processors count the filters of Pillow
CANONICAL: Final = "z in metres = canonical depth * fx / focal_canonical, fx in pixels of the image"


def save_pretrained_folder(
    net: TransformersDepthNet, folder: Path, *, size: tuple[int, int] | None = None
) -> None:
    """Write config.json, model.safetensors and preprocessor_config.json.

    `transformers.pipeline("depth-estimation", model=folder)` and `TransformersDepthNet(folder)` load it. The
    weights are those of the network, and `predicted_depth` are its own numbers: what they have to do with
    canonical depth stands under `depthmix` in config.json, with the scale and the shift that were learned.
    Further heads are not part of a network of transformers and are left out.

    The image processor is the one of DPT whatever the network is, because it runs with Pillow alone where
    there is no torchvision. It sees an image at the size at which the network would see it.

    Args:
        net: whole depth network; one on a backbone has a decoder that transformers does not know.
        folder: made where it is missing; files of these names are replaced.
        size: height and width of the training images, to which the pipeline brings images of networks that
            see them at their own size; by default the size that the network was made for.

    Raises:
        ConfigError: the network is no `TransformersDepthNet`.
        StorageError: the folder cannot be written.
    """
    if not isinstance(net, TransformersDepthNet):
        reason = f"{type(net).__name__} is no network of transformers"
        raise ConfigError(reason, field="net", hint="only TransformersDepthNet becomes such a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with quiet():
            net.model.save_pretrained(folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        _write(folder / "config.json", {**config, "depthmix": _facts(net)})
        _write(folder / "preprocessor_config.json", _preprocessor(net, size))
    except OSError as error:
        raise StorageError(error.strerror or str(error), file=error.filename or folder) from error


def _facts(net: TransformersDepthNet) -> dict[str, Any]:
    """Return what `predicted_depth` means, in words and in numbers."""
    facts: dict[str, Any] = {"meaning": net.meaning}
    scale_shift = net.scale_shift
    if scale_shift is not None:
        scale, shift = scale_shift
        relation = "1 / canonical depth = scale * predicted_depth + shift"
        return {**facts, "scale": scale, "shift": shift, "predicted_depth": relation, "depth": CANONICAL}
    number = f"max(predicted_depth, {SMALLEST:g})"
    depth = number if net.meaning == "metric" else f"1 / {number}"
    if net.focal_canonical is None or net.focal_per_width is None:
        return {**facts, "predicted_depth": f"canonical depth = {depth}", "depth": CANONICAL}
    facts |= {"focal_canonical": net.focal_canonical, "focal_per_width": net.focal_per_width}
    relation = f"canonical depth = {depth} * focal_canonical / (focal_per_width * image width)"
    return {**facts, "predicted_depth": relation, "depth": CANONICAL}


def _preprocessor(net: TransformersDepthNet, size: tuple[int, int] | None) -> dict[str, Any]:
    side = net.rule.side or side_of(net.config)
    height, width = (side, side) if net.rule.side or size is None else size
    return {
        "image_processor_type": "DPTImageProcessor",
        "do_resize": True,
        "size": {"height": height, "width": width},
        "keep_aspect_ratio": not net.rule.square,
        "ensure_multiple_of": net.rule.multiple,
        "resample": BILINEAR,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(net.normalisation.mean),
        "image_std": list(net.normalisation.std),
    }


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
