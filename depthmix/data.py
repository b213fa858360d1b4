"""Feed prepared sources to Lightning: mixed and reproducible for training, whole for evaluation."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn

from depthmix.augment import AugmentOptions
from depthmix.batch import Batch
from depthmix.datasets import MixDataset, WholeDataset
from depthmix.device_augment import OFF, DeviceAugment, DeviceAugmentOptions
from depthmix.errors import ConfigError
from depthmix.loader import TIMEOUT, ResumableLoader, SampleLoader, must_be_same_order, name_in_flight
from depthmix.mixture import MixturePlan, MixtureSampler, Phase, tempered
from depthmix.sample import Quality
from depthmix.shapes import Shape
from depthmix.sources.base import SourceCard
from depthmix.store import ShardSet
from depthmix.store.reader import CACHE_GB
from depthmix.store.remote import below, is_url

__all__ = ["MixData", "SourceSpec"]

DEFAULT_AUGMENT = AugmentOptions()


@dataclass(frozen=True)
class SourceSpec:
    """Say how much of a prepared source goes into the mix, and where it lies.

    Args:
        weight: relative share of the source in every batch.
        path: folder of the prepared source, absolute or below the root; by default named like the source.
        device_augment: how this source is varied on the device, in place of `data.device_augment`.
    """

    weight: float = 1.0
    path: str | None = None
    device_augment: DeviceAugmentOptions | None = None


class MixData(LightningDataModule):
    """Mix prepared sources by weight inside each training batch; evaluate on whole prepared sets.

    Args:
        root: folder of the prepared sources, or its URL, such as `s3://bucket/prepared`.
        sources: name of each training source, with its weight and perhaps its path.
        temperature: weights are multiplied by the number of samples to this power: 0 leaves them alone, 1
            draws every sample of sources of one weight equally often.
        least: samples of a quality (WEAK, LOW, MIDDLE, HIGH) that every batch holds at least.
        curriculum: other weights from given steps on, counted over all epochs.
        batch_size: samples per step, over all processes together.
        steps_per_epoch: training batches per epoch.
        augment: size and variation of the training images.
        shapes: heights and widths in place of those of `augment`; every batch has one of them, in random
            order and by weight. The largest one decides how much memory a training takes.
        device_augment: further variation of training batches on the device; by default there is none.
        val_sources: name of each validation set, with its folder (absolute, or below the root).
        test_sources: name of each test set, with its folder (absolute, or below the root).
        val_limit: validate on only so many samples of each set, spread evenly.
        workers: processes that read and decode; the result does not depend on it.
        timeout: seconds that workers may take for a batch until they count as hanging.
        seed: of order and variation.
        cache_gb: how much of what is fetched from URLs is kept on this machine; 0 keeps nothing.

    Raises:
        ConfigError: at the first use: a folder is missing, or the mix cannot be made.
    """

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
        self.root, self.sources, self.cache_gb = root, sources, cache_gb
        self.batch_size, self.steps_per_epoch = batch_size, steps_per_epoch
        self.augment, self.device_augment = augment, device_augment
        self.val_sources, self.test_sources, self.val_limit = val_sources or {}, test_sources or {}, val_limit
        self.workers, self.timeout, self.seed = workers, timeout, seed
        self.temperature, self.least, self.curriculum = temperature, least or {}, curriculum or []
        self.shapes = shapes or []
        self._loader: ResumableLoader | None = None
        self._place: dict[str, int] = {}  # to go on from
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
    def source_names(self) -> list[str]:
        """Names of the training sources; `Batch.source` of a training batch counts in this order."""
        return list(self.sources)

    @property
    def val_names(self) -> list[str]:
        """Names of the validation sets, in the order of their loaders and of `Batch.source` there."""
        return list(self.val_sources)

    @property
    def test_names(self) -> list[str]:
        """Names of the test sets, in the order of their loaders and of `Batch.source` there."""
        return list(self.test_sources)

    @property
    def cards(self) -> dict[str, SourceCard]:
        """What each training source states about its labels."""
        return _cards(self.train_sets)

    @property
    def val_cards(self) -> dict[str, SourceCard]:
        """What each validation set states about its labels."""
        return _cards(self.val_sets)

    @property
    def test_cards(self) -> dict[str, SourceCard]:
        """What each test set states about its labels."""
        return _cards(self.test_sets)

    @cached_property
    def train_sets(self) -> dict[str, ShardSet]:
        """The prepared training sources."""
        return {name: self._open("sources", name, spec.path or name) for name, spec in self.sources.items()}

    @cached_property
    def val_sets(self) -> dict[str, ShardSet]:
        """The prepared validation sets."""
        return {name: self._open("val_sources", name, path) for name, path in self.val_sources.items()}

    @cached_property
    def test_sets(self) -> dict[str, ShardSet]:
        """The prepared test sets."""
        return {name: self._open("test_sources", name, path) for name, path in self.test_sources.items()}

    @cached_property
    def plan(self) -> MixturePlan:
        """The order of all training batches."""
        sizes = {name: len(shards) for name, shards in self.train_sets.items()}
        plain = {name: spec.weight for name, spec in self.sources.items()}
        weights, phases = tempered(sizes, plain, self.curriculum, self.temperature)
        tiers = {name: card.quality.name for name, card in self.cards.items()} if self.least else None
        least = self.least or None
        return MixturePlan(sizes, weights, self.batch_size, self.seed, tiers, least, phases, self.shapes)

    @property
    def identity(self) -> dict[str, object]:
        """Everything that the order and the pixels of training samples depend on, as plain values."""
        options = {name: asdict(one) for name, one in self._device_options.items() if one != OFF}
        varied = {"device_augment": options} if options else {}
        prints = {name: shards.root_hash for name, shards in self.train_sets.items()}
        return {
            **self.plan.describe(),
            "steps_per_epoch": self.steps_per_epoch,
            "data": prints,
            # An option that is not used changes no order: trainings from before it existed go on.
            "augment": {name: value for name, value in asdict(self.augment).items() if value is not None},
            **varied,
        }

    def state_dict(self) -> dict[str, Any]:
        """Return what every checkpoint remembers: the mix, and how far it was drawn."""
        place = {} if self._loader is None else self._loader.place
        return {"identity": self.identity, "place": place}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on behind the batches that were drawn; refuse to go on with another mix.

        Lightning restores the state of a loader only from a checkpoint inside an epoch, and not at all where
        a learning rate asked for the number of steps before: the loader is then made already.

        Raises:
            ConfigError: the checkpoint belongs to another order of samples.
        """
        if self.trainer is None or self.trainer.state.fn == TrainerFn.FITTING:
            must_be_same_order(state_dict["identity"], self.identity)
            self._place = state_dict["place"]
            if self._loader is not None:
                self._loader.go_on(**self._place)

    def setup(self, stage: str) -> None:
        """Open what the stage needs, so that what is missing is said before anything is computed."""
        if stage == "fit":
            _check_trainer(self.trainer)
            assert self.plan
        if stage in ("fit", "validate"):
            assert self.val_sets is not None
        if stage == "test":
            assert self.test_sets is not None

    def train_dataloader(self) -> ResumableLoader:
        """Return the loader of mixed batches; each process gets its part of every batch."""
        rank, world = (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)
        sampler = MixtureSampler(self.plan, self.steps_per_epoch, rank, world)
        varied = [replace(self.augment, height=one.height, width=one.width) for one in self.shapes]
        dataset = MixDataset(self.train_sets, varied or [self.augment], self.seed)
        options: dict[str, Any] = {"workers": self.workers, "timeout": self.timeout}
        self._loader = ResumableLoader(dataset, sampler, identity=self.identity, **options)
        self._loader.go_on(**self._place)
        self._place = {}
        return self._loader

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Vary a training batch on its device; called by Lightning."""
        return self.vary(batch) if self.trainer and self.trainer.training else batch

    @cached_property
    def vary(self) -> DeviceAugment:
        """The variation of training batches on their device."""
        return DeviceAugment(list(self._device_options.values()))

    @property
    def _device_options(self) -> dict[str, DeviceAugmentOptions]:
        return {name: spec.device_augment or self.device_augment for name, spec in self.sources.items()}

    def on_exception(self, exception: BaseException) -> None:
        """Name the samples that were being read when a worker died; called by Lightning."""
        name_in_flight(exception)

    def val_dataloader(self) -> list[SampleLoader]:
        """Return one loader per validation set, whole images in stored order."""
        return self._whole(self.val_sets, self.val_limit)

    def test_dataloader(self) -> list[SampleLoader]:
        """Return one loader per test set, whole images in stored order."""
        return self._whole(self.test_sets, None)

    def _whole(self, sets: Mapping[str, ShardSet], limit: int | None) -> list[SampleLoader]:
        options: dict[str, Any] = {"workers": self.workers, "timeout": self.timeout}
        options |= {"batch_size": self.batch_size, "rows": self.batch_size}
        return [
            SampleLoader(WholeDataset(shards, k, limit), **options) for k, shards in enumerate(sets.values())
        ]

    def _open(self, option: str, name: str, path: str) -> ShardSet:
        hint = "write it with `depthmix prepare`, or correct the path"
        if not is_url(self.root) and not Path(self.root).is_dir():
            raise ConfigError("no such folder", file=self.root, field="data.root", hint=hint)
        place = below(self.root, path)
        if isinstance(place, Path) and not place.is_dir():
            raise ConfigError("no such prepared set", file=place, field=f"data.{option}.{name}", hint=hint)
        return ShardSet(place, cache_gb=self.cache_gb)


def _cards(sets: Mapping[str, ShardSet]) -> dict[str, SourceCard]:
    return {name: SourceCard(**shards.card) for name, shards in sets.items()}


def _check_trainer(trainer: Any) -> None:
    """Refuse two options of the Trainer that would replace our sampler by one of Lightning's."""
    if trainer is None:
        return
    if trainer.overfit_batches:
        hint = "lower data.steps_per_epoch and data.sources instead"
        raise ConfigError("is not supported with a mixture", field="trainer.overfit_batches", hint=hint)
    if trainer.world_size > 1 and trainer._accelerator_connector.use_distributed_sampler:
        field = "trainer.use_distributed_sampler"
        raise ConfigError("must be false: the mixture splits batches itself", field=field)
