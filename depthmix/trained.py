"""A trained network and what its checkpoint says about it, read from the checkpoint alone."""

import json
import zlib
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile, ZipFile, is_zipfile

import torch
from jaxtyping import Float
from torch import Tensor, nn

from depthmix import __version__
from depthmix.errors import ConfigError
from depthmix.prediction import Head, Prediction

__all__ = ["Trained", "facts_of", "load_trained", "neutral_camera", "predict_batch", "read_checkpoint"]

SCHEMA = 1
MOST_FACTS = 1 << 20
# What the archive and torch's unpickler raise on damaged bytes besides an error of their own.
_DAMAGE = (
    *(BadZipFile, MemoryError, zlib.error, EOFError, OSError),
    *(RuntimeError, LookupError, ValueError, TypeError, AttributeError),
)


@dataclass(frozen=True)
class Trained:
    """Hold a network in eval mode with the facts that its predictions need.

    Args:
        net: maps RGB in [0, 1] to log canonical depth, and to a channel for each head.
        focal_canonical: focal length in pixels of the canonical camera.
        metric: whether a metric loss supervised it, so that its depth is in metres.
        height: rows of the training images.
        width: columns of the training images.
        sources: the training sources by name, with their label cards as plain values.
        heads: what the network predicts besides depth, in the order of its channels.
        spec: class path and constructor arguments of the network, as its checkpoint states them.
    """

    net: nn.Module
    focal_canonical: float
    metric: bool
    height: int
    width: int
    sources: dict[str, Any]
    heads: tuple[Head, ...] = ()
    spec: dict[str, Any] | None = None


def facts_of(trained: Trained) -> dict[str, Any]:
    """Return what a checkpoint says about its network, in the plain values that `load_trained` reads."""
    return {
        "schema": SCHEMA,
        "version": __version__,
        "focal_canonical": trained.focal_canonical,
        "net": trained.spec,
        "heads": list(trained.heads),
        "metric": trained.metric,
        "height": trained.height,
        "width": trained.width,
        "sources": trained.sources,
    }


def load_trained(path: str | Path, *, trust: bool = False) -> Trained:
    """Rebuild the network of a depthmix checkpoint, or of a `safetensors` file of `depthmix export`.

    Nothing is unpickled but tensors and plain values. The checkpoint also names the class of its network,
    and importing a class runs code: classes of depthmix are imported always, others only on `trust`.

    Args:
        path: the checkpoint.
        trust: import whatever class the checkpoint names.

    Raises:
        ConfigError: no such file, not a checkpoint of depthmix, a foreign class without `trust`, or weights
            that do not fit the class.
    """
    path = Path(path)
    facts, weights = _read_safetensors(path) if path.suffix == ".safetensors" else _read_training(path)
    if not isinstance(facts, dict) or not isinstance(weights, dict):
        raise ConfigError("is no checkpoint of depthmix", file=path, hint="give last.ckpt of a run folder")
    if facts.get("schema") != SCHEMA:
        reason = f"written in schema {facts.get('schema')!r}, this version reads schema {SCHEMA}"
        raise ConfigError(reason, file=path, hint="use the depthmix version that wrote it")
    net = _build(path, facts.get("net"), trust)
    try:
        net.load_state_dict(weights)
    except (AttributeError, RuntimeError, TypeError) as error:
        reason = f"weights do not fit {type(net).__name__}: {str(error).splitlines()[-1].strip()}"
        raise ConfigError(reason, file=path, field="state_dict") from error
    try:
        return Trained(
            net=net.eval(),
            focal_canonical=float(facts["focal_canonical"]),
            metric=bool(facts["metric"]),
            height=int(facts["height"]),
            width=int(facts["width"]),
            sources=dict(facts["sources"]),
            heads=tuple(facts.get("heads", ())),
            spec=facts["net"],
        )
    except (KeyError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"its facts are none: {error!r}"[:200], file=path, field="depthmix") from error


def _read_training(path: Path) -> tuple[Any, Any]:
    """Return what a checkpoint of a training says about its network, and the network's weights."""
    checkpoint = read_checkpoint(path)
    weights = checkpoint.get("state_dict")
    if not isinstance(weights, dict):
        return checkpoint.get("depthmix"), None
    own = {k[4:]: value for k, value in weights.items() if str(k).startswith("net.")}
    return checkpoint.get("depthmix"), own


def _read_safetensors(path: Path) -> tuple[Any, dict[str, Tensor]]:
    """Return the same of a file that `depthmix export` wrote."""
    if not path.is_file():
        raise ConfigError("no such checkpoint", file=path, hint="write it with `depthmix export`")
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        hint = "pip install depthmix[export]"
        raise ConfigError("safetensors is needed to read it", file=path, hint=hint) from error
    try:
        with safe_open(path, framework="pt") as file:
            stated = (file.metadata() or {}).get("depthmix", "null")
            if len(stated) > MOST_FACTS:  # as objects they would take thirty times their bytes
                raise ValueError(f"states {len(stated)} bytes of facts, at most {MOST_FACTS} are read")
            return json.loads(stated), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot be read: {error}", file=path) from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of whatever origin onto the CPU; no code in it runs.

    Raises:
        ConfigError: no such file, damaged, or it holds more than tensors and plain values.
    """
    if not path.is_file():
        raise ConfigError("no such checkpoint", file=path, hint="train with `depthmix fit` first")
    try:
        if not is_zipfile(path):
            raise ConfigError("is no torch checkpoint, or is cut short", file=path)
        _check_stored(path)
        with ZipFile(path) as archive:
            damaged = archive.testzip()  # torch writes checksums, but does not look at them
        if damaged is not None:
            raise ConfigError("the bytes differ from their checksum", file=path, field=damaged)
        # Said aloud, so that no environment variable can turn it off.
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        reason = "holds more than tensors and plain values, or is damaged; it was not loaded"
        raise ConfigError(reason, file=path) from error
    except _DAMAGE as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ConfigError(f"cannot be read: {reason}", file=path) from error
    return checkpoint if isinstance(checkpoint, dict) else {}


def predict_batch(
    trained: Trained, image: Float[Tensor, "b 3 h w"], intrinsics: Float[Tensor, "b 4"] | None = None
) -> Prediction:
    """Predict RGB in [0, 1]; without a camera the depth is canonical, not metres."""
    if intrinsics is None:
        height, width = image.shape[-2:]
        intrinsics = neutral_camera(height, width, trained.focal_canonical).to(image)
        intrinsics = intrinsics.expand(len(image), 4)
    return Prediction.from_maps(trained.net(image), intrinsics, trained.focal_canonical, trained.heads)


def neutral_camera(height: int, width: int, focal_canonical: float) -> Float[Tensor, " 4"]:
    """Return the camera under which canonical depth is depth: the canonical focal length, centred."""
    return torch.tensor([focal_canonical, focal_canonical, (width - 1) / 2, (height - 1) / 2])


def _check_stored(path: Path) -> None:
    """Refuse what unpacks to more than the file holds: torch stores its archives without compression.

    Raises:
        ConfigError: it does, or it is no archive.
    """
    try:
        with ZipFile(path) as archive:
            members = archive.infolist()
    except (BadZipFile, OSError, ValueError) as error:
        raise ConfigError(f"is no torch checkpoint: {error}", file=path) from error
    unpacked, size = sum(member.file_size for member in members), path.stat().st_size
    if unpacked > size:
        reason = f"unpacks to {unpacked} bytes from a file of {size}, which no checkpoint does"
        raise ConfigError(reason, file=path, hint="it is damaged, or made to fill your memory")


def _build(path: Path, spec: Any, trust: bool) -> nn.Module:
    if not isinstance(spec, dict) or not isinstance(spec.get("class_path"), str):
        reason = "does not say how its network is built"
        hint = "give the network's class a `spec` property, or train it from a configuration file"
        raise ConfigError(reason, file=path, field="net", hint=hint)
    class_path: str = spec["class_path"]
    module, _, name = class_path.rpartition(".")
    if not trust and not class_path.startswith("depthmix."):
        reason = f"the checkpoint names {class_path}, and importing it runs its code"
        raise ConfigError(reason, file=path, field="net", hint="pass trust if you know where it comes from")
    try:
        found = getattr(import_module(module), name)
        if not (isinstance(found, type) and issubclass(found, nn.Module)):
            raise ConfigError(f"{class_path} is no torch module", file=path, field="net")
        return found(**(spec.get("init_args") or {}))
    except (ImportError, AttributeError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"cannot build {class_path}: {error}", file=path, field="net") from error
