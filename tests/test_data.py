"""Training sees the same pixels in the same order, whatever the workers, the ranks and the interruptions."""

import hashlib
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonargparse
import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from depthmix.augment import AugmentOptions
from depthmix.batch import Batch
from depthmix.data import MixData, SourceSpec
from depthmix.errors import ConfigError, CorruptShard, StorageError
from depthmix.loader import SampleLoader
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.shapes import Shape
from depthmix.sources.base import SourceCard
from depthmix.store import CodecOptions, ShardWriter, encode_sample

STEPS = 4
KINDS = {
    "web": (Quality.LOW, LabelKind.AFFINE_DISPARITY),
    "kitti": (Quality.HIGH, LabelKind.METRIC_DEPTH),
    "planes": (Quality.WEAK, LabelKind.NONE),
}


def drawn(source: str, number: int, size: tuple[int, int]) -> Sample:
    draw = np.random.default_rng([number, len(source)])
    quality, kind = KINDS[source]
    return Sample(
        image=draw.integers(0, 256, (*size, 3), dtype=np.uint8),
        target=draw.random(size, dtype=np.float32) + 1,
        valid=np.full(size, kind is not LabelKind.NONE),
        sky=np.zeros(size, np.bool_),
        planes=draw.integers(1, 4, size).astype(np.int32),
        sigma=None,
        intrinsics=Intrinsics(20.0, 20.0, 12.0, 9.0),
        quality=quality,
        kind=kind,
        source=source,
        key=f"{number:03d}",
    )


def write_set(folder: Path, source: str, sizes: list[tuple[int, int]]) -> None:
    folder.mkdir(parents=True)
    quality, kind = KINDS[source]
    card = SourceCard("synthetic", quality, kind, "m", "dense", "", "CC0-1.0", "nobody")
    codec = CodecOptions(image="png", label="float32")
    options = {"codec": asdict(codec)}
    metadata = {"name": source, "card": card.plain(), "size": None, "options": options}
    writer = ShardWriter(folder, {**metadata, "samples_per_shard": len(sizes)})
    samples = [encode_sample(drawn(source, number, size), codec) for number, size in enumerate(sizes)]
    writer.write(0, samples, [str(number) for number in range(len(sizes))])
    writer.close()


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three prepared sources to train on and two sets to evaluate on."""
    folder = tmp_path_factory.mktemp("prepared")
    for source, count in {"web": 9, "kitti": 4, "planes": 6}.items():
        write_set(folder / source, source, [(18 + number % 2, 24) for number in range(count)])
    write_set(folder / "eval" / "wide", "kitti", [(10, 30)] * 7)
    write_set(folder / "eval" / "tall", "web", [(30, 10)] * 2)
    return folder


def mixed(root: Path, **options: Any) -> MixData:
    sources = {"web": SourceSpec(2.0), "kitti": SourceSpec(), "planes": SourceSpec(0.5)}
    basic = {"batch_size": 4, "steps_per_epoch": STEPS, "workers": 0, "seed": 5}
    augment = AugmentOptions(height=12, width=16)
    return MixData(str(root), **{"sources": sources, "augment": augment, **basic, **options})


def digest(batch: Batch) -> str:
    """Hash every byte of a batch, names included."""
    hashed = hashlib.sha256(repr((batch.names, batch.draws)).encode())
    for tensor in batch.tensors().values():
        hashed.update(tensor.numpy().tobytes())
    return hashed.hexdigest()


def seen(data: MixData, epochs: int = 2) -> list[str]:
    """Run through the training loader as Lightning does and hash each batch."""
    loader = data.train_dataloader()
    found = []
    for epoch in range(epochs):
        loader.mixture.set_epoch(epoch)
        found += [digest(batch) for batch in loader]
    return found


class Recorder(LightningModule):
    """Learn nothing and remember what was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.shown: list[str] = []
        self.validated: list[tuple[int, int]] = []

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.shown.append(digest(batch))
        return self.weight.sum()

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        self.validated.append((dataloader_idx, len(batch)))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


class SaveAlways(Callback):
    """Write a checkpoint after every batch and after every epoch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        trainer.save_checkpoint(self.folder / f"step{trainer.global_step}.ckpt")

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        trainer.save_checkpoint(self.folder / f"epoch{trainer.current_epoch}.ckpt")


def fit(
    data: MixData, *, checkpoint: Path | None = None, save: Path | None = None, **options: Any
) -> Recorder:
    module = Recorder()
    trainer = Trainer(
        max_epochs=3,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[SaveAlways(save)] if save else [],
        num_sanity_val_steps=0,
        **options,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice on workers, logging intervals and precision
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True if checkpoint else None)
    return module


@pytest.fixture(scope="module")
def unbroken(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """What an uninterrupted training saw, and its checkpoints."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return fit(mixed(root), save=folder).shown, folder


def test_a_batch_holds_the_samples_of_the_plan(root: Path) -> None:
    data = mixed(root)
    for step, batch in enumerate(data.train_dataloader()):
        slots = data.plan.batch(step)
        assert batch.image.shape == (4, 3, 12, 16)
        assert batch.names == tuple(f"{slot.source}/{slot.index:03d}" for slot in slots)
        assert [data.source_names[number] for number in batch.source] == [slot.source for slot in slots]
        assert [LabelKind(kind) for kind in batch.kind.tolist()] == [KINDS[s.source][1] for s in slots]


def test_workers_change_neither_order_nor_pixels(root: Path) -> None:
    alone = seen(mixed(root))
    assert len(set(alone)) == 2 * STEPS
    assert seen(mixed(root, workers=1)) == alone
    assert seen(mixed(root, workers=2)) == alone


SHAPES = [Shape(12, 16), Shape(16, 10), Shape(8, 8, 0.5)]


def test_every_batch_has_the_shape_that_the_plan_gives_it(root: Path) -> None:
    data = mixed(root, shapes=SHAPES, steps_per_epoch=10)
    batches = list(data.train_dataloader())
    sides = [(SHAPES[k].height, SHAPES[k].width) for k in map(data.plan.shape, range(10))]
    assert [tuple(batch.image.shape[2:]) for batch in batches] == sides
    assert [tuple(batch.planes.shape[2:]) for batch in batches] == sides
    assert len(set(sides)) == 3
    plain = mixed(root, steps_per_epoch=10)
    assert [batch.names for batch in batches] == [batch.names for batch in plain.train_dataloader()]


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_of_several_shapes_are_the_same_for_any_number_of_workers(root: Path, workers: int) -> None:
    assert seen(mixed(root, shapes=SHAPES, workers=workers)) == seen(mixed(root, shapes=SHAPES))


def test_training_on_several_shapes_goes_on_with_the_next_batch(root: Path, tmp_path: Path) -> None:
    whole = fit(mixed(root, shapes=SHAPES), save=tmp_path)
    again = fit(mixed(root, shapes=SHAPES, workers=2), checkpoint=tmp_path / f"step{STEPS + 1}.ckpt")
    assert again.shown == whole.shown[STEPS + 1 :]
    with pytest.raises(ConfigError, match="another order of samples: shapes was "):
        fit(mixed(root, shapes=SHAPES[:2]), checkpoint=tmp_path / "step1.ckpt")


def test_another_seed_gives_other_batches(root: Path) -> None:
    assert not set(seen(mixed(root, seed=6))) & set(seen(mixed(root)))


def test_the_global_random_state_is_left_alone(root: Path) -> None:
    before = torch.random.get_rng_state()
    seen(mixed(root))
    assert torch.equal(before, torch.random.get_rng_state())


def test_lightning_shows_what_the_loader_gives_and_reaches_every_epoch(
    root: Path, unbroken: tuple[list[str], Path]
) -> None:
    assert unbroken[0] == seen(mixed(root), epochs=3)


@pytest.mark.parametrize("name", [*(f"step{n}" for n in range(1, 3 * STEPS)), "epoch0", "epoch1"])
def test_training_goes_on_with_the_next_batch(
    root: Path, unbroken: tuple[list[str], Path], name: str
) -> None:
    shown, folder = unbroken
    taken = int(name[4:]) if name.startswith("step") else (int(name[5:]) + 1) * STEPS
    assert fit(mixed(root), checkpoint=folder / f"{name}.ckpt").shown == shown[taken:]


def test_training_goes_on_with_another_number_of_workers(
    root: Path, unbroken: tuple[list[str], Path]
) -> None:
    shown, folder = unbroken
    again = fit(mixed(root, workers=2), checkpoint=folder / f"step{STEPS + 2}.ckpt")
    assert again.shown == shown[STEPS + 2 :]


def test_what_workers_read_ahead_is_not_counted(root: Path, tmp_path: Path) -> None:
    first = fit(mixed(root, workers=2), save=tmp_path)
    for step in (1, STEPS):
        assert fit(mixed(root), checkpoint=tmp_path / f"step{step}.ckpt").shown == first.shown[step:]


def test_an_epoch_that_the_trainer_cuts_short_is_resumed_too(root: Path, tmp_path: Path) -> None:
    first = fit(mixed(root), save=tmp_path, limit_train_batches=2)
    assert len(first.shown) == 6
    for name, taken in {"step1": 1, "step2": 2, "step3": 3, "epoch0": 2, "epoch1": 4}.items():
        again = fit(mixed(root), checkpoint=tmp_path / f"{name}.ckpt", limit_train_batches=2)
        assert again.shown == first.shown[taken:], name


def test_validation_between_batches_does_not_disturb_resuming(root: Path, tmp_path: Path) -> None:
    sets = {"wide": "eval/wide"}
    first = fit(mixed(root, val_sources=sets), save=tmp_path)
    assert first.validated == [(0, 4), (0, 3)] * 3
    again = fit(mixed(root, val_sources=sets), checkpoint=tmp_path / f"step{STEPS}.ckpt")
    assert again.shown == first.shown[STEPS:]


@pytest.mark.parametrize("taken", [0, 1, STEPS])
def test_a_loader_without_lightning_goes_on_in_its_epoch(root: Path, taken: int) -> None:
    loader, again = mixed(root).train_dataloader(), mixed(root).train_dataloader()
    loader.mixture.set_epoch(3)
    whole = []
    for batch in loader:
        if len(whole) == taken:
            again.load_state_dict({**loader.state_dict(), "taken": taken})
        whole.append(digest(batch))
    if taken == STEPS:
        again.load_state_dict(loader.state_dict())
    assert [digest(batch) for batch in again] == whole[taken:]
    assert [digest(batch) for batch in again] == whole


def test_a_checkpoint_between_two_epochs_counts_nothing_twice(root: Path) -> None:
    loader = mixed(root).train_dataloader()
    list(loader)
    assert loader.state_dict()["taken"] == STEPS
    loader.mixture.set_epoch(1)
    assert (loader.state_dict()["epoch"], loader.state_dict()["taken"]) == (1, 0)


@pytest.mark.parametrize("name", ["step2", "epoch0"])
def test_a_checkpoint_of_another_mix_is_refused(
    root: Path, unbroken: tuple[list[str], Path], name: str
) -> None:
    other = mixed(root, sources={"web": SourceSpec(1.0), "kitti": SourceSpec(), "planes": SourceSpec(0.5)})
    with pytest.raises(ConfigError) as caught:
        fit(other, checkpoint=unbroken[1] / f"{name}.ckpt")
    reason = (
        "data: the checkpoint was trained on another order of samples: weights.web was 2.0, is 1.0; restore"
    )
    assert str(caught.value).startswith(reason)


@pytest.mark.parametrize("options", [{"batch_size": 8}, {"steps_per_epoch": 5}, {"seed": 6}])
def test_every_change_of_the_order_is_named(root: Path, options: dict[str, int]) -> None:
    state = mixed(root).train_dataloader().state_dict()
    (name,) = options
    with pytest.raises(ConfigError, match=rf"samples: {name} was \d+, is {options[name]};"):
        mixed(root, **options).train_dataloader().load_state_dict(state)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"augment": AugmentOptions(12, 20, mirror=0.0)},
            "mirror was 0.5, is 0.0, augment.width was 16",
        ),
        (
            {"sources": {"web": SourceSpec(2.0), "kitti": SourceSpec()}},
            "planes was [0-9a-f]{64}, is None",
        ),
        ({"temperature": 0.5}, r"weights.kitti was 1.0, is 2.0, weights.planes was 0.5, is [\d.]+"),
        ({"least": {"HIGH": 1}}, "least was None, is"),
    ],
)
def test_a_training_is_not_gone_on_with_under_another_mix(root: Path, options: dict, said: str) -> None:
    state = mixed(root).state_dict()
    mixed(root, workers=3, val_limit=1).load_state_dict(state)  # what changes no sample is allowed
    with pytest.raises(ConfigError, match=said):
        mixed(root, **options).load_state_dict(state)


def test_a_set_that_was_prepared_in_another_way_is_noticed(root: Path, tmp_path: Path) -> None:
    for source in KINDS:
        shutil.copytree(root / source, tmp_path / source)
    state = mixed(root).state_dict()
    mixed(tmp_path).load_state_dict(state)  # moved
    shutil.rmtree(tmp_path / "web")
    write_set(tmp_path / "web", "web", [(20, 24)] * 9)  # of the same raw files, in another size
    with pytest.raises(ConfigError, match=r"samples: data\.web was [0-9a-f]{64}, is [0-9a-f]{64};"):
        mixed(tmp_path).load_state_dict(state)


def test_the_state_of_another_loader_is_refused(root: Path) -> None:
    with pytest.raises(ConfigError, match="another order of samples"):
        mixed(root).train_dataloader().load_state_dict({"_num_yielded": 3})


def test_data_prepared_anew_are_noticed(root: Path) -> None:
    state = mixed(root).train_dataloader().state_dict()
    state["identity"]["data"] = {**state["identity"]["data"], "web": "another"}
    with pytest.raises(ConfigError, match=r"samples: data\.web was another, is [0-9a-f]{64};"):
        mixed(root).train_dataloader().load_state_dict(state)


def test_a_training_from_before_the_image_form_goes_on_and_one_in_another_form_does_not(root: Path) -> None:
    state = mixed(root).train_dataloader().state_dict()
    assert "canonical_focal" not in state["identity"]["augment"]
    resized = AugmentOptions(height=12, width=16, canonical_focal=20.0)
    with pytest.raises(ConfigError, match=r"augment\.canonical_focal"):
        mixed(root, augment=resized).train_dataloader().load_state_dict(state)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_sample_is_named_whoever_reads_it(root: Path, tmp_path: Path, workers: int) -> None:
    write_set(tmp_path / "web", "web", [(18, 24)] * 3)
    (shard,) = tmp_path.glob("web/*.h5")
    damaged = bytearray(shard.read_bytes())
    data = mixed(tmp_path, sources={"web": SourceSpec()}, workers=workers)
    for place in range(len(damaged) // 3, len(damaged), 64):
        damaged[place] ^= 255
    shard.write_bytes(damaged)
    with pytest.raises(CorruptShard) as caught:
        list(data.train_dataloader())
    assert caught.value.file == shard
    assert str(caught.value.sample).startswith("web/00")
    assert "\n" not in str(caught.value)


def test_a_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        mixed(tmp_path / "nowhere").setup("fit")
    hint = "write it with `depthmix prepare`, or correct the path"
    assert str(caught.value) == f"{tmp_path / 'nowhere'}: data.root: no such folder; {hint}"


@pytest.mark.parametrize("workers", [0, 2])
def test_a_root_behind_a_url_gives_the_same_batches(
    root: Path, tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert seen(mixed(f"file://{root}", workers=workers)) == seen(mixed(root))
    assert any(path.is_file() for path in (tmp_path / "depthmix").rglob("*"))


def test_a_missing_set_is_named(root: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"eval/none: data\.test_sources\.rooms: no such prepared set; write"
    ):
        mixed(root, test_sources={"rooms": "eval/none"}).setup("test")
    with pytest.raises(ConfigError, match=r"data\.sources\.oak: no such prepared set"):
        mixed(root, sources={"oak": SourceSpec()}).setup("fit")
    with pytest.raises(StorageError, match=r"index\.json: no prepared set here; run `depthmix prepare`"):
        mixed(root, val_sources={"all": "eval"}).setup("validate")


@pytest.mark.parametrize("name", ["batch_size", "workers", "val_limit"])
def test_an_impossible_number_is_named(root: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"data\.{name}: must be at least \d, got -1"):
        mixed(root, **{name: -1})


def test_options_that_would_replace_the_mixture_are_refused(root: Path) -> None:
    data = mixed(root)
    data.trainer = SimpleNamespace(overfit_batches=2)  # type: ignore[assignment]
    with pytest.raises(ConfigError, match=r"trainer\.overfit_batches: is not supported"):
        data.setup("fit")


@pytest.mark.parametrize(
    ("world", "lightning_splits", "refused"), [(1, True, False), (2, False, False), (2, True, True)]
)
def test_only_one_of_us_splits_batches_over_processes(
    root: Path, world: int, lightning_splits: bool, refused: bool
) -> None:
    data = mixed(root)
    connector = SimpleNamespace(use_distributed_sampler=lightning_splits)
    data.trainer = SimpleNamespace(world_size=world, overfit_batches=0.0, _accelerator_connector=connector)  # type: ignore[assignment]
    if refused:
        with pytest.raises(
            ConfigError, match=r"trainer\.use_distributed_sampler: must be false: the mixture"
        ):
            data.setup("fit")
    else:
        data.setup("fit")


def test_ranks_share_out_every_batch(root: Path) -> None:
    whole = mixed(root)
    parts = []
    for rank in (0, 1):
        data = mixed(root)
        data.trainer = SimpleNamespace(global_rank=rank, world_size=2)  # type: ignore[assignment]
        parts.append([batch.names for batch in data.train_dataloader()])
    for batch, even, odd in zip(whole.train_dataloader(), *parts, strict=True):
        assert (even, odd) == (batch.names[::2], batch.names[1::2])


def batches(loaders: list[SampleLoader]) -> Iterator[list[Batch]]:
    return (list(loader) for loader in loaders)


def test_evaluation_sets_come_whole_and_in_order(root: Path) -> None:
    data = mixed(root, test_sources={"wide": "eval/wide", "tall": str(root / "eval" / "tall")})
    wide, tall = batches(data.test_dataloader())
    assert [len(batch) for batch in wide] == [4, 3]
    names = [name for batch in wide for name in batch.names]
    assert names == [f"kitti/{number:03d}" for number in range(7)]
    assert wide[0].image.shape == (4, 3, 10, 30)
    assert tall[0].image.shape == (2, 3, 30, 10)
    assert data.test_names == ["wide", "tall"]
    assert set(tall[0].source.tolist()) == {1}
    stored = drawn("kitti", 5, (10, 30))
    np.testing.assert_array_equal(wide[1].image[1].numpy(), stored.image.transpose(2, 0, 1))
    np.testing.assert_array_equal(wide[1].target[1, 0].numpy(), stored.target)


def test_a_limit_spreads_validation_over_the_set(root: Path) -> None:
    data = mixed(root, val_sources={"wide": "eval/wide", "tall": "eval/tall"}, val_limit=3)
    wide, tall = batches(data.val_dataloader())
    assert [name for batch in wide for name in batch.names] == ["kitti/000", "kitti/002", "kitti/004"]
    assert sum(map(len, tall)) == 2


def test_cards_say_what_the_sets_are(root: Path) -> None:
    data = mixed(root, val_sources={"tall": "eval/tall"}, test_sources={"wide": "eval/wide"})
    assert {name: card.kind for name, card in data.cards.items()} == {
        n: KINDS[n][1] for n in data.source_names
    }
    assert data.val_cards["tall"].quality is Quality.LOW
    assert data.test_cards["wide"].licence == "CC0-1.0"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # newer jsonargparse renames instantiate_classes
def test_the_command_line_reads_it_from_yaml(root: Path, tmp_path: Path) -> None:
    config = tmp_path / "mix.yaml"
    config.write_text(
        f"data: {{root: {root}, sources: {{web: {{weight: 2}}, kitti: {{weight: 1}}}}, batch_size: 12,"
        " augment: {height: 96, width: 128}, val_sources: {wide: eval/wide}}"
    )
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_class_arguments(MixData, "data")
    arguments = parser.parse_args([f"--config={config}", "--data.sources.web.weight=0.25"])
    data = parser.instantiate_classes(arguments).data
    assert data.sources == {"web": SourceSpec(0.25), "kitti": SourceSpec(1.0)}
    assert data.augment == AugmentOptions(height=96, width=128)
    assert data.plan.expected_share() == {"kitti": 0.8, "web": 0.2}
    assert data.val_names == ["wide"]
