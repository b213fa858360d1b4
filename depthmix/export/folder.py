"""A network as a folder in the form of the Hugging Face hub."""

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from depthmix.artefact import CONFIG, FACTS, PREFIX, WEIGHTS
from depthmix.errors import ConfigError
from depthmix.export.card import model_card
from depthmix.export.graph import public_facts
from depthmix.store.record import commit, storage_errors
from depthmix.trained import Trained

__all__ = ["CARD", "is_native", "packed_weights", "write_card", "write_folder"]

CARD: Final = "README.md"
PREPROCESSING: Final = "preprocessor_config.json"
MODEL_TYPE: Final = "depthmix"
NATIVE: Final = "depthmix.models.TransformersDepthNet"


def write_folder(trained: Trained, folder: Path) -> None:
    """Write configuration, weights and preprocessing; a network of transformers is written in its own form.

    Args:
        trained: the network; it must say how it is built.
        folder: is made where it is missing; files in it are replaced, the configuration last.

    Raises:
        ConfigError: the network does not say how it is built, or a package is missing.
        StorageError: the file system refuses.
    """
    if trained.spec is None:
        raise ConfigError("the checkpoint does not say how its network is built", field="format hf")
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if is_native(trained):
        size = (trained.height, trained.width)
        import_module("depthmix.models").save_pretrained_folder(trained.net, folder, size=size)
        return
    weights = {PREFIX + name: value for name, value in trained.net.state_dict().items()}
    commit(folder / WEIGHTS, packed_weights(weights, {"format": "pt"}, field="format hf"))
    seen = {"height": trained.height, "width": trained.width}
    commit(folder / PREPROCESSING, _json({"image_processor_type": "DepthmixImageProcessor", **seen}))
    about = {"model_type": MODEL_TYPE, "architectures": ["DepthmixForDepthEstimation"]}
    commit(folder / CONFIG, _json({**about, "dtype": "float32", FACTS: public_facts(trained)}))


def write_card(
    trained: Trained, folder: Path, *, rows: Sequence[Mapping[str, Any]] = (), without: str | None = None
) -> None:
    """Write the model card beside them.

    Args:
        trained: the network.
        folder: its name is the title.
        rows: of its evaluation.
        without: why there are no rows.

    Raises:
        StorageError: the file system refuses.
    """
    name = folder.resolve().name
    card = model_card(trained, name, rows=rows, without=without, native=is_native(trained))
    commit(folder / CARD, card.encode())


def is_native(trained: Trained) -> bool:
    """Tell whether transformers loads the folder of this network without depthmix."""
    return (trained.spec or {}).get("class_path") == NATIVE


def packed_weights(weights: Mapping[str, Any], facts: dict[str, str], *, field: str) -> bytes:
    """Return the bytes of a `safetensors` file.

    Raises:
        ConfigError: the package is not installed.
    """
    try:
        from safetensors.torch import save
    except ImportError as error:
        hint = "pip install depthmix[export]"
        raise ConfigError("safetensors is not installed", field=field, hint=hint) from error
    # Copies: weights may share memory, which this format cannot say.
    return save({name: value.detach().clone().contiguous() for name, value in weights.items()}, facts)


def _json(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, allow_nan=False) + "\n").encode()
