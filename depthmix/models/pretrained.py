"""Networks of transformers from a folder or the hub: no code of strangers, no other downloads."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from depthmix.errors import ConfigError

__all__ = [
    "Stated",
    "build",
    "config_of",
    "load",
    "plain",
    "quiet",
    "read_stated",
    "recompute",
    "transformers_package",
]

MOST: Final = 1 << 20  # bytes of a configuration
LEVELS: Final = 16  # of mappings and lists in it
NAME: Final = re.compile(r"[\w.-]+(/[\w.-]+)?")
EXTRA: Final = "pip install depthmix[hub]"
# Weights that checkpoints of other tasks lack by design: a token that only pretraining uses, and the
# normalisation behind each stage, which every backbone learns anew.
NEW: Final = ("mask_token", "hidden_states_norms.")


@dataclass(frozen=True, slots=True)
class Stated:
    """Hold what a folder or repository says of its network, as plain values.

    Args:
        config: `config.json`.
        preprocessor: `preprocessor_config.json`; empty where there is none.
    """

    config: dict[str, Any]
    preprocessor: dict[str, Any] = field(default_factory=dict)


def transformers_package() -> Any:
    """Import transformers.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise ConfigError("transformers is needed for this network", hint=EXTRA) from error
    return transformers


def read_stated(name: str, option: str) -> Stated:
    """Read the configuration of a network in a local folder, or else in a repository of the hub.

    Args:
        name: the folder, or `owner/repository`.
        option: of the constructor, for messages.

    Raises:
        ConfigError: there is neither, or what it holds is no configuration.
    """
    file = _found(name, "config.json", option)
    if file is None:
        hint = "save it with save_pretrained of transformers"
        raise ConfigError("holds no config.json", file=name, field=option, hint=hint)
    preprocessor = _found(name, "preprocessor_config.json", option)
    return Stated(_json(file), _json(preprocessor) if preprocessor else {})


def config_of(stated: Mapping[str, Any], option: str) -> Any:
    """Build the configuration object of transformers from its plain values.

    Raises:
        ConfigError: an unknown kind of network, impossible values, or a part that would be fetched.
    """
    mapping = transformers_package().CONFIG_MAPPING
    from huggingface_hub.errors import StrictDataclassError

    kind = stated.get("model_type")
    if not isinstance(kind, str) or kind not in mapping:
        version = transformers_package().__version__
        reason = f"its model_type {kind!r} is unknown to transformers {version}"
        raise ConfigError(reason, field=option, hint="a newer version may know it")
    _refuse_levels(stated, option)
    _refuse_downloads(stated, option)
    try:
        return mapping[kind].from_dict(dict(stated))
    except (
        StrictDataclassError,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        raise ConfigError(f"its configuration is none of {kind}: {_line(error)}", field=option) from error


def plain(config: Any) -> dict[str, object]:
    """Return a configuration as the plain values that `config_of` reads."""
    values: dict[str, object] = json.loads(json.dumps(config.to_dict(), default=str))
    return {name: value for name, value in values.items() if name not in ("_name_or_path", "auto_map")}


def build(classes: Any, config: Any, option: str) -> nn.Module:
    """Build a network with weights at random.

    Args:
        classes: the mapping of transformers from configurations to classes of networks, one of
            `MODEL_FOR_DEPTH_ESTIMATION_MAPPING` and `MODEL_FOR_BACKBONE_MAPPING`. Its own way from there,
            `AutoBackbone`, asks the hub even for what lies in a folder.
        config: of the network.
        option: of our constructor, for messages.

    Raises:
        ConfigError: it cannot be built.
    """
    with quiet(), _refusing(config, option):
        net: nn.Module = classes[type(config)](config)
    return net


def load(classes: Any, name: str, config: Any, option: str) -> nn.Module:
    """Build a network with the weights of a folder or repository; arguments as in `build`.

    Under `torch.device("meta")` there is no place for weights, and none are read.

    Raises:
        ConfigError: it cannot be built, or the weights are damaged, of another network, or not there.
    """
    if torch.get_default_device().type == "meta":
        return build(classes, config, option)
    local = Path(name).is_dir()
    with quiet(), _refusing(config, option, name):
        net, found = classes[type(config)].from_pretrained(
            name,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=local,
            output_loading_info=True,
        )
    missing = sorted(key for key in found["missing_keys"] if not any(part in key for part in NEW))
    if missing:
        reason = f"lacks {len(missing)} weights of {type(net).__name__}, such as {missing[0]}"
        raise ConfigError(reason, file=name, field=option, hint="give a checkpoint of this very network")
    loaded: nn.Module = net
    return loaded


def recompute(net: nn.Module) -> None:
    """Let a network of transformers compute its layers again on the way back instead of keeping them.

    Raises:
        ConfigError: transformers does not offer it for this network.
    """
    model: Any = net
    if not model.supports_gradient_checkpointing:
        reason = f"transformers cannot recompute the layers of {type(net).__name__}"
        raise ConfigError(reason, hint="train it without gradient checkpointing")
    # The second name is the one before transformers 5.24.
    named = "activation_checkpointing_enable", "gradient_checkpointing_enable"
    enable = next(getattr(model, name) for name in named if hasattr(model, name))
    enable({"use_reentrant": False})


def _found(name: str, file: str, option: str) -> Path | None:
    folder = Path(name)
    if folder.is_dir():
        return folder / file if (folder / file).is_file() else None
    if not NAME.fullmatch(name):
        raise ConfigError("no such folder", file=name, field=option)
    transformers_package()
    from transformers.utils.hub import cached_file

    required = file == "config.json"
    try:
        path = cached_file(name, file, _raise_exceptions_for_missing_entries=required)
    except (OSError, ValueError) as error:
        reason = f"no such folder, and the hub does not give it: {_line(error)}"
        hint = "check name and connection, or download it and give the folder"
        raise ConfigError(reason, file=name, field=option, hint=hint) from error
    return Path(path) if path else None


def _json(file: Path) -> dict[str, Any]:
    try:
        if file.stat().st_size > MOST:
            raise ConfigError(f"has {file.stat().st_size} bytes, at most {MOST} are read", file=file)
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot be read: {_line(error)}", file=file) from error
    if not isinstance(values, dict):
        raise ConfigError("must hold an object of JSON", file=file)
    return values


def _refuse_levels(stated: Mapping[str, Any], option: str) -> None:
    """Refuse what is nested more deeply than Python copies."""
    layer: list[Any] = [stated]
    for _ in range(LEVELS):
        inside = [value for one in layer for value in (one.values() if isinstance(one, Mapping) else one)]
        layer = [value for value in inside if isinstance(value, Mapping | list | tuple)]
    if layer:
        raise ConfigError(f"its configuration has more than {LEVELS} levels", field=option)


def _refuse_downloads(stated: Mapping[str, Any], option: str) -> None:
    """Refuse what transformers would look up on the hub, or build with timm, which needs torchvision."""
    parts: list[Mapping[str, Any]] = [stated]
    for part in parts:  # which grows
        parts += [value for value in part.values() if isinstance(value, Mapping)]
        if part.get("use_timm_backbone") or part.get("model_type") in ("timm_backbone", "timm_wrapper"):
            reason = "needs timm, which brings torchvision; depthmix runs without both"
            raise ConfigError(reason, field=option, hint="give a network of transformers itself")
        if part.get("backbone") is not None and not part.get("backbone_config"):
            reason = f"takes its backbone {str(part['backbone'])[:60]!r} from elsewhere"
            hint = "load it with transformers once and save it again, which puts all into one folder"
            raise ConfigError(reason, field=option, hint=hint)


@contextmanager
def _refusing(config: Any, option: str, file: str | None = None) -> Iterator[None]:
    """Turn what transformers raises into one line."""
    from safetensors import SafetensorError

    try:
        yield
    except ImportError as error:
        reason = f"transformers needs another package for it: {_line(error)}"
        hint = "depthmix uses neither timm nor torchvision; give another network"
        raise ConfigError(reason, file=file, field=option, hint=hint) from error
    except (
        *(OSError, SafetensorError, MemoryError, RuntimeError),
        *(ArithmeticError, AttributeError, AssertionError, LookupError, TypeError, ValueError),
    ) as error:
        reason = f"cannot build {config.model_type}: {_line(error)}"
        raise ConfigError(reason, file=file, field=option) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from drawing bars and from listing weights that were not expected."""
    logging: Any = transformers_package().utils.logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _line(error: BaseException) -> str:
    """Return the first line that says something, and not too much of it."""
    lines: Sequence[str] = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
