"""The forms in which a trained network is kept, read without running code, and versions of their facts."""

import json
import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final
from zipfile import BadZipFile, ZipFile, is_zipfile

import torch
from torch import Tensor

from depthmix.errors import ConfigError
from depthmix.store.strict_json import parse

__all__ = [
    "CONFIG",
    "FACTS",
    "PREFIX",
    "SCHEMA",
    "WEIGHTS",
    "check_schema",
    "checkpoint_at",
    "read_artefact",
    "read_checkpoint",
]

FACTS: Final = "depthmix"  # the key under which each form keeps its facts
SCHEMA: Final = "1.1"  # major: a reader must know it; minor: facts were added that a reader may pass over
MOST_FACTS: Final = 1 << 20
CONFIG: Final = "config.json"  # of a folder, beside its weights
WEIGHTS: Final = "model.safetensors"
PREFIX: Final = "net."  # before the names of the network's own weights
# What the archive and torch's unpickler raise on damaged bytes besides an error of their own.
_DAMAGE = (
    *(BadZipFile, MemoryError, zlib.error, EOFError, OSError),
    *(RuntimeError, LookupError, ValueError, TypeError, AttributeError),
)


def check_schema(facts: Mapping[str, Any], path: Path) -> None:
    """Refuse facts that this version cannot read: those of another major version.

    Older minor versions lack facts that have a default; newer ones hold facts that are passed over. The
    number 1, which the first files state, is 1.0.

    Raises:
        ConfigError: it is another major version, or none.
    """
    stated = facts.get("schema")
    found = re.fullmatch(r"([0-9]{1,9})\.([0-9]{1,9})", "1.0" if stated == 1 else str(stated))
    major, own = int(found[1]) if found else None, int(SCHEMA.partition(".")[0])
    if major == own:
        return
    writer = f"depthmix {str(facts.get('version', 'of that schema'))[:20]}"
    hint = f"give a file that depthmix wrote; this one says {writer}"
    if major is not None and major > own:
        hint = f"it was written by {writer}: pip install -U depthmix"
    elif major is not None:
        hint = f"export it with {writer}, which wrote it, as ONNX, or train again"
    reason = f"written in schema {str(stated)[:40]!r}, this version reads schema {own}"
    raise ConfigError(reason, file=path, field="schema", hint=hint)


def checkpoint_at(path: Path) -> Path:
    """Return the last checkpoint of a run folder; what is no such folder is the checkpoint itself."""
    last = path / "last.ckpt"
    return last if last.is_file() else path


def read_artefact(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the facts and the weights of a network.

    Args:
        path: a checkpoint of a training, or what `depthmix export` wrote: a `safetensors` file, or a folder
            in the form of the Hugging Face hub.

    Raises:
        ConfigError: no such file, damaged, or it holds something else.
    """
    if path.is_dir():
        facts, weights = _read_folder(path)
    elif path.suffix == ".safetensors":
        facts, weights = _read_safetensors(path)
    else:
        facts, weights = _read_training(path)
    if not isinstance(facts, dict) or not isinstance(weights, dict):
        raise ConfigError("is no checkpoint of depthmix", file=path, hint="give last.ckpt of a run folder")
    return facts, weights


def _read_training(path: Path) -> tuple[Any, Any]:
    checkpoint = read_checkpoint(path)
    weights = checkpoint.get("state_dict")
    return checkpoint.get(FACTS), _of_net(weights) if isinstance(weights, dict) else None


def _read_folder(folder: Path) -> tuple[Any, dict[str, Tensor]]:
    config = folder / CONFIG
    hint = "give a checkpoint, or a folder of `depthmix export --format hf`"
    if not config.is_file():
        raise ConfigError(f"holds no {CONFIG}", file=folder, hint=hint)
    try:
        with config.open("rb") as file:
            stated = file.read(MOST_FACTS + 1)
        if len(stated) > MOST_FACTS:
            raise ValueError(f"states more than the {MOST_FACTS} bytes of facts that are read")
        found = parse(stated)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot be read: {error}", file=config) from error
    if not isinstance(found, dict) or FACTS not in found:
        raise ConfigError("says nothing of depthmix", file=config, field=FACTS, hint=hint)
    if isinstance(found[FACTS], dict) and "schema" not in found[FACTS] and "meaning" in found[FACTS]:
        reason = "is a network in the form of transformers, without the facts of its training"
        hint = "TransformersDepthNet(folder) or transformers' pipeline reads it; here give the checkpoint"
        raise ConfigError(reason, file=folder, hint=hint)
    return found[FACTS], _of_net(_read_safetensors(folder / WEIGHTS)[1])


def _of_net(weights: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the weights of the network itself, which is a part of a task or of a model of the hub."""
    return {name[len(PREFIX) :]: value for name, value in weights.items() if str(name).startswith(PREFIX)}


def _read_safetensors(path: Path) -> tuple[Any, dict[str, Tensor]]:
    if not path.is_file():
        raise ConfigError("no such checkpoint", file=path, hint="write it with `depthmix export`")
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        hint = "pip install depthmix[export]"
        raise ConfigError("safetensors is needed to read it", file=path, hint=hint) from error
    try:
        with safe_open(path, framework="pt") as file:
            stated = (file.metadata() or {}).get(FACTS, "null")
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
