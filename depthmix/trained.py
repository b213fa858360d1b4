"""A trained network and what its checkpoint says about it, read from the checkpoint alone."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from depthmix import __version__
from depthmix.artefact import FACTS, SCHEMA, check_schema, read_artefact, read_checkpoint
from depthmix.canonical import Form, checked_form
from depthmix.errors import ConfigError
from depthmix.foreign import import_foreign
from depthmix.models.bounded import at_most
from depthmix.prediction import HEADS, Head, Prediction
from depthmix.sources.files import MAX_PIXELS

__all__ = [
    "Origin",
    "Trained",
    "facts_of",
    "from_facts",
    "load_trained",
    "neutral_camera",
    "predict_batch",
    "read_checkpoint",
]

ELSEWHERE = ("backbone", "model", "pretrained")  # options of networks that name files, here or on the hub


@dataclass(frozen=True)
class Origin:
    """Say which training a network comes from; what is not known is empty.

    Args:
        version: of depthmix.
        recipe: the options of model and data, where a configuration gave them.
        data: root hash of each prepared training set.
        mix: weight of each training source at the first step.
    """

    version: str = ""
    recipe: dict[str, Any] | None = None
    data: dict[str, str] = field(default_factory=dict)
    mix: dict[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> Self:
        """Return what facts state; facts that are not known here are passed over.

        Raises:
            AttributeError, TypeError, ValueError: a fact is of another type.
        """
        recipe = facts.get("recipe")
        mix = {str(name): float(weight) for name, weight in facts.get("mix", {}).items()}
        if not all(0 <= weight < math.inf for weight in mix.values()):
            raise ValueError(f"weights {mix} are none")
        return cls(
            version=str(facts.get("version", "")),
            recipe=None if recipe is None else dict(recipe),
            data=_texts(facts.get("data", {})),
            mix=mix,
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
        origin: the training that it comes from.
        form: how it was shown cameras: "label" at the size of the training images, "image" at the canonical
            focal length; see `depthmix.canonical`.
    """

    net: nn.Module
    focal_canonical: float
    metric: bool
    height: int
    width: int
    sources: dict[str, Any]
    heads: tuple[Head, ...] = ()
    spec: dict[str, Any] | None = None
    origin: Origin = field(default_factory=Origin)
    form: Form = "label"


def facts_of(trained: Trained) -> dict[str, Any]:
    """Return what a checkpoint says about its network, in the plain values that `load_trained` reads."""
    return {
        "schema": SCHEMA,
        "version": __version__,
        "focal_canonical": trained.focal_canonical,
        "net": trained.spec,
        "heads": list(trained.heads),
        "form": trained.form,
        "metric": trained.metric,
        "height": trained.height,
        "width": trained.width,
        "sources": trained.sources,
        "origin": asdict(trained.origin),
    }


def load_trained(path: str | Path, *, trust: bool = False) -> Trained:
    """Rebuild the network of a depthmix checkpoint, or of what `depthmix export` wrote.

    Nothing is unpickled but tensors and plain values. The checkpoint also names the class of its network,
    and importing a class runs code: classes of depthmix are imported always, others only on `trust`.

    Args:
        path: the checkpoint, a `safetensors` file, or a folder in the form of the Hugging Face hub.
        trust: import whatever class the checkpoint names; its module may lie in the present folder.

    Raises:
        ConfigError: no such file, not a checkpoint of depthmix, a foreign class without `trust`, or weights
            that do not fit the class.
    """
    path = Path(path)
    facts, weights = read_artefact(path)
    stored = sum(value.numel() for value in weights.values() if isinstance(value, Tensor))
    # A weight may be set twice while a network is built, and small parts of it may not be kept.
    trained = from_facts(facts, path, trust=trust, most=4 * stored + (1 << 20))
    try:
        trained.net.load_state_dict(weights)
    except (AttributeError, RuntimeError, TypeError) as error:
        kind = type(trained.net).__name__
        reason = f"weights do not fit {kind}: {str(error).splitlines()[-1].strip()}"
        raise ConfigError(reason, file=path, field="state_dict") from error
    return trained


def from_facts(facts: Mapping[str, Any], path: Path, *, trust: bool = False, most: int = 1 << 30) -> Trained:
    """Build the network that facts state, with untrained weights.

    Args:
        facts: as `facts_of` gives them.
        path: where they were read.
        trust: import whatever class they name.
        most: weights that it may have, in single numbers.

    Raises:
        ConfigError: facts of another version, a foreign class without `trust`, or no such network.
    """
    check_schema(facts, path)
    net = _build(path, facts.get("net"), trust, most)
    try:
        return Trained(
            net=net.eval(),
            focal_canonical=_positive(facts["focal_canonical"]),
            metric=bool(facts["metric"]),
            **_size(facts["height"], facts["width"]),
            sources={str(name): _texts(card) for name, card in facts["sources"].items()},
            heads=_heads(facts.get("heads", ())),
            spec=facts["net"],
            origin=Origin.read(facts.get("origin") or {}),
            form=checked_form(facts.get("form", "label")),
        )
    except (AttributeError, KeyError, OverflowError, RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"its facts are none: {error!r}"[:200], file=path, field=FACTS) from error


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


def _positive(value: Any) -> float:
    number = float(value)
    if not 0 < number < math.inf:
        raise ValueError(f"{value!r} is not positive")
    return number


def _size(height: Any, width: Any) -> dict[str, int]:
    size = {"height": int(height), "width": int(width)}
    if min(size.values()) < 1 or math.prod(size.values()) > MAX_PIXELS:
        raise ValueError(f"{height!r} x {width!r} is the size of no image")
    return size


def _texts(values: Mapping[Any, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in values.items()}


def _heads(names: Iterable[Any]) -> tuple[Head, ...]:
    heads = tuple(names)
    if unknown := [name for name in heads if name not in HEADS]:
        raise ValueError(f"head {unknown[0]!r} is not known; pip install -U depthmix")
    return heads


def _build(path: Path, spec: Any, trust: bool, most: int) -> nn.Module:
    if not isinstance(spec, dict) or not isinstance(spec.get("class_path"), str):
        reason = "does not say how its network is built"
        hint = "give the network's class a `spec` property, or train it from a configuration file"
        raise ConfigError(reason, file=path, field="net", hint=hint)
    class_path: str = spec["class_path"]
    module, _, name = class_path.rpartition(".")
    if not trust and not class_path.startswith("depthmix."):
        reason = f"the checkpoint names {class_path}, and importing it runs its code"
        raise ConfigError(reason, file=path, field="net", hint="pass trust if you know where it comes from")
    arguments = spec.get("init_args") or {}
    if not trust and isinstance(arguments, dict) and any(arguments.get(option) for option in ELSEWHERE):
        reason = f"the checkpoint lets {name} read other files, which its own weights make needless"
        raise ConfigError(reason, file=path, field="net", hint="pass trust if you know where it comes from")
    try:
        found = getattr(_imported(path, module, trust), name)
        if not (isinstance(found, type) and issubclass(found, nn.Module)):
            raise ConfigError(f"{class_path} is no torch module", file=path, field="net")
        with at_most(most):
            return found(**arguments)
    except (ImportError, AttributeError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"cannot build {class_path}: {error}", file=path, field="net") from error


def _imported(path: Path, module: str, trust: bool) -> ModuleType:
    if not trust:  # it is one of depthmix
        return import_module(module)
    try:
        return import_foreign(module)
    except ConfigError as error:
        raise ConfigError(f"{module} {error.reason}", file=path, field="net", hint=error.hint) from error
