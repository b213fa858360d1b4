"""Training, logging, skipping, evaluation and checkpoints of DepthTask."""

import csv
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn

from depthmix.batch import Batch
from depthmix.doubt import Disagreement
from depthmix.errors import ConfigError, DepthmixError
from depthmix.losses import LearnedNoiseLoss, PlaneLoss, ScaleShiftInvariantLoss, SilogLoss
from depthmix.metrics import read_images
from depthmix.models import LightDepthNet
from depthmix.objective import Term
from depthmix.task import DepthTask, load_trained, predict_batch
from tests.toy import random_batch
from tests.toy_data import KINDS, ToyData

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*"),
    pytest.mark.filterwarnings("ignore:.*Checkpoint directory .* exists and is not empty"),
]


def small_net() -> LightDepthNet:
    return LightDepthNet(widths=(8, 16), bottleneck=1)


def task(net: nn.Module | None = None, **options: Any) -> DepthTask:
    terms = {
        "ssi": Term(ScaleShiftInvariantLoss()),
        "metric": Term(SilogLoss()),
        "plane": Term(PlaneLoss(min_pixels=20), weight=0.1, end=5),
    }
    return DepthTask(net or small_net(), terms, **({"learning_rate": 1e-3, "warmup_steps": 2} | options))


def trainer(folder: Path, **options: Any) -> Trainer:
    defaults = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "logger": CSVLogger(str(folder), name="", version=""),
        "default_root_dir": folder,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "log_every_n_steps": 4,
        "deterministic": True,
    }
    return Trainer(**(defaults | options))


def fit(folder: Path, net: nn.Module | None = None, **options: Any) -> DepthTask:
    seed_everything(3)
    module = task(net)
    trainer(folder, **options).fit(module, ToyData())
    return module


def log_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_two_runs_end_in_identical_weights(tmp_path: Path):
    first, second = fit(tmp_path / "a").state_dict(), fit(tmp_path / "b").state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_training_lowers_the_loss_and_logs_terms_sources_and_gradients(tmp_path: Path):
    fit(tmp_path, max_epochs=6)
    rows = [row for row in log_of(tmp_path) if row["train/loss"]]
    assert [int(row["step"]) for row in rows][:4] == [4, 8, 10, 14]
    assert float(rows[-1]["train/loss"]) < float(rows[0]["train/loss"])
    columns = set(rows[0])
    assert {
        "train/terms/ssi",
        "train/gradients/metric",
        "train/sources/ssi/web",
        "train/sources/ssi/kitti",
    } <= columns
    assert {"train/learning_rate", "train/skipped", "epoch", "val/rooms/abs_rel"} <= columns
    assert {"train/sources/metric/web", "train/sources/ssi/planes"}.isdisjoint(columns)
    for row in rows:
        mean = (float(row["train/sources/ssi/web"]) + 2 * float(row["train/sources/ssi/kitti"])) / 3
        assert float(row["train/terms/ssi"]) == pytest.approx(mean)
        pulls = [float(row[f"train/pulls/{name}"]) for name in ("web", "kitti", "planes")]
        assert sum(pulls) == pytest.approx(1)
        assert min(pulls) > 0


def test_validation_logs_every_set_with_what_it_can_bear(tmp_path: Path):
    fit(tmp_path)
    columns = {name for name in log_of(tmp_path)[0] if name.startswith("val/")}
    assert {"val/rooms/abs_rel", "val/rooms/abs_rel_aligned", "val/internet/ssi_aligned"} <= columns
    assert {name for name in columns if "walls" in name} == {"val/walls/planarity_rms"}
    assert {name for name in columns if "internet" in name} == {"val/internet/ssi_aligned"}


def test_test_writes_json_and_csv_and_shows_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = trainer(tmp_path)
    run.test(task(), ToyData())
    record = json.loads((tmp_path / "test.json").read_text())
    found = [(row["set"], row["tier"], row["alignment"], row["count"]) for row in record["rows"]]
    assert found == [
        ("rooms", "high", "none", 2),
        ("rooms", "high", "affine_inverse_depth", 2),
        ("internet", "low", "affine_inverse_depth", 2),
        ("walls", "weak", "none", 2),
    ]
    assert (tmp_path / "test.csv").is_file()
    [first, *_] = record["rows"]
    assert first["abs_rel_low"] <= first["abs_rel"] <= first["abs_rel_high"]
    images = [row["abs_rel"] for row in read_images(tmp_path / "test_images.json") if row["set"] == "rooms"]
    assert sum(images[::2]) / 2 == pytest.approx(first["abs_rel"])
    assert "rooms" in capsys.readouterr().out


class Broken(nn.Module):
    """A network that gives NaN on chosen calls and learns one number."""

    def __init__(self, broken: set[int]) -> None:
        super().__init__()
        self.level, self.broken, self.calls = nn.Parameter(torch.ones(1)), broken, 0
        self.seen: list[float] = []

    def forward(self, image: Tensor) -> Tensor:
        if self.training:
            self.seen.append(self.level.item())
        y = image.mean(1, keepdim=True) + self.level
        self.calls += self.training
        return y * torch.nan if self.training and self.calls - 1 in self.broken else y


def test_a_step_without_a_finite_gradient_changes_nothing_and_is_counted(tmp_path: Path):
    net = Broken({3, 4})
    module = fit(tmp_path, net)
    assert net.seen[3] == net.seen[4] == net.seen[5] != net.seen[2]
    assert module.guard.skipped == 2
    assert torch.isfinite(net.level)
    rows = [row for row in log_of(tmp_path) if row["train/skipped"]]
    assert [float(row["train/skipped"]) for row in rows] == [1, 2, 2]
    assert all(row["train/loss"] and row["train/terms/ssi"] for row in rows)  # of the sound steps


class Overflow(torch.autograd.Function):
    """The identity, with a gradient that is not finite."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return gradient * torch.inf


class Exploding(Broken):
    """A network whose output is sound, but whose gradient overflows on chosen calls."""

    def forward(self, image: Tensor) -> Tensor:
        if not self.training:
            return image.mean(1, keepdim=True) + self.level
        self.seen.append(self.level.item())
        self.calls += 1
        level = Overflow.apply(self.level) if self.calls - 1 in self.broken else self.level
        return image.mean(1, keepdim=True) + level


def test_a_gradient_that_overflows_on_its_way_to_the_weights_changes_nothing(tmp_path: Path):
    net = Exploding({3})
    module = fit(tmp_path, net)
    assert net.seen[3] == net.seen[4] != net.seen[2]
    assert module.guard.skipped == 1
    (line,) = (tmp_path / "skipped.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "step": 3,
        "not_finite": [],
        "suspects": [],
        "samples": [f"toy/3-{row}" for row in range(4)],
    }


def test_one_broken_batch_of_several_that_are_accumulated_spoils_their_step_only(tmp_path: Path):
    net = Broken({2})  # followed by a sound one, with which it makes up the second step
    module = fit(tmp_path, net, accumulate_grad_batches=2)
    assert torch.isfinite(net.level)
    assert net.seen[2] == net.seen[4] != net.seen[6]
    assert module.guard.skipped == 1


def test_ten_broken_steps_in_a_row_end_training_with_the_samples_named(tmp_path: Path):
    with pytest.raises(DepthmixError, match=r"toy/9-0, toy/9-1.*no finite gradient in 10 steps in a row"):
        fit(tmp_path, Broken(set(range(100))))


def test_a_network_of_another_shape_is_named(tmp_path: Path):
    with pytest.raises(
        ConfigError, match=r"model.net: must give a map of shape \(2, 1, 32, 40\), got \(2, 1, 30, 38\)"
    ):
        fit(tmp_path, nn.Sequential(nn.Conv2d(3, 1, 3), nn.Tanh()))


def test_images_that_the_network_does_not_take_are_named():
    with pytest.raises(
        ConfigError, match=r"model.net: refuses a batch of \(1, 3, 16, 20\): .* at least 32 x 32"
    ):
        task()(torch.zeros(1, 3, 16, 20))


def test_terms_that_the_sources_cannot_bear_stop_before_training(tmp_path: Path):
    module = task()
    module.terms["wrong"] = Term(SilogLoss(), sources=["web"])
    with pytest.raises(ConfigError, match=r"terms.wrong: SilogLoss needs metric depth, but source 'web'"):
        trainer(tmp_path).fit(module, ToyData())


def test_without_a_datamodule_it_says_so(tmp_path: Path):
    with pytest.raises(ConfigError, match="needs a datamodule"):
        trainer(tmp_path).test(task(), ToyData().train_dataloader())


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    seed_everything(3)
    folder = tmp_path_factory.mktemp("run")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = trainer(folder, logger=False)
        run.fit(task(), ToyData())
    run.save_checkpoint(folder / "last.ckpt")
    return folder / "last.ckpt"


def test_a_checkpoint_is_plain_and_rebuilds_the_network(checkpoint: Path):
    path = checkpoint
    facts = torch.load(path, weights_only=True)["depthmix"]
    assert json.loads(json.dumps(facts)) == facts
    assert facts["sources"]["web"]["kind"] == "AFFINE_DISPARITY"
    trained = load_trained(path)
    assert (trained.height, trained.width, trained.metric, trained.focal_canonical) == (32, 40, True, 100.0)
    assert not trained.net.training
    module = task()
    module.load_state_dict(torch.load(path, weights_only=True)["state_dict"], strict=False)
    image = torch.rand(2, 3, 40, 48)
    prediction = predict_batch(trained, image)
    assert torch.equal(prediction.log_canonical, module.net(image))
    torch.testing.assert_close(prediction.log_depth, prediction.log_canonical)
    camera = torch.tensor([[200.0, 200.0, 20.0, 20.0]])
    torch.testing.assert_close(predict_batch(trained, image, camera).depth, 2 * prediction.depth)


class MixedSizes(ToyData):
    """Batches of two sizes, the smaller one last."""

    def train_batches(self) -> list[Batch]:
        kinds, sources = [*KINDS.values(), KINDS["kitti"]], [0, 1, 2, 2]
        return [random_batch(kinds, 0, size, sources) for size in ((40, 48), (32, 40))]


def test_batches_of_several_sizes_train_one_network_and_the_largest_one_is_remembered(tmp_path: Path):
    module, run = task(), trainer(tmp_path, logger=False)
    run.fit(module, MixedSizes())
    run.save_checkpoint(tmp_path / "last.ckpt")
    trained = load_trained(tmp_path / "last.ckpt")
    assert (trained.height, trained.width) == (40, 48)


def test_resuming_from_a_checkpoint_gives_the_weights_of_an_uninterrupted_run(tmp_path: Path):
    whole = fit(tmp_path / "whole", max_epochs=2)
    seed_everything(3)
    keep = ModelCheckpoint(dirpath=tmp_path / "half", filename="{epoch}", save_top_k=-1)
    run = trainer(tmp_path / "half", max_epochs=2, enable_checkpointing=True, callbacks=[keep])
    run.fit(task(), ToyData())
    resumed = task()
    again = trainer(tmp_path / "again", max_epochs=2, enable_checkpointing=True, callbacks=[keep])
    again.fit(resumed, ToyData(), ckpt_path=tmp_path / "half" / "epoch=0.ckpt", weights_only=True)
    for name, value in whole.net.state_dict().items():
        assert torch.equal(value, resumed.net.state_dict()[name])


def test_options_that_were_changed_for_a_resumed_training_hold_and_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    seed_everything(3)
    run = trainer(tmp_path / "half", max_epochs=1)
    run.fit(task(), ToyData())
    run.save_checkpoint(tmp_path / "half.ckpt")
    rates, said = {}, {}
    changes: dict[str, dict[str, Any]] = {
        "none": {},
        "rate": {"learning_rate": 4e-3},
        "decay": {"weight_decay": 0.25},
    }
    for name, options in changes.items():
        caplog.clear()
        module = task(**options)
        again = trainer(tmp_path / name, max_epochs=2)
        again.fit(module, ToyData(), ckpt_path=tmp_path / "half.ckpt", weights_only=True)
        rates[name] = [
            float(row["train/learning_rate"]) for row in log_of(tmp_path / name) if row["train/loss"]
        ]
        said[name] = [record.message for record in caplog.records if record.name == "depthmix.task"]
        decays = [group["weight_decay"] for group in again.optimizers[0].param_groups]
        assert decays == [options.get("weight_decay", 0.01), 0.0]
    assert rates["rate"] == pytest.approx([4 * rate for rate in rates["none"]])
    assert rates["decay"] == rates["none"]
    assert said == {
        "none": [],
        "rate": [
            "model.learning_rate: 0.004 holds from here on, the checkpoint had 0.001; "
            "give that value again to go on as it was"
        ],
        "decay": [
            "model.weight_decay: 0.25 holds from here on, the checkpoint had 0.01; "
            "give that value again to go on as it was"
        ],
    }


def test_frozen_stages_stay_in_eval_mode_when_the_network_trains():
    module = task(frozen_stages=1)
    for _ in range(2):
        assert module.net.head.training
        assert not module.net.stem.training
        module.eval()
        assert not module.net.head.training
        module.train()


@pytest.mark.filterwarnings("ignore:.*module.s. in eval mode at the start")
def test_stages_can_be_freed_and_slowed_for_a_training_that_goes_on(tmp_path: Path):
    seed_everything(3)
    first = task(frozen_stages=2)
    before = {name: value.clone() for name, value in first.net.state_dict().items()}
    run = trainer(tmp_path, max_epochs=1, logger=False)
    run.fit(first, ToyData())
    run.save_checkpoint(tmp_path / "half.ckpt")
    still = {name for name, value in first.net.state_dict().items() if torch.equal(value, before[name])}
    assert still == {name for name in before if name.startswith(("stem.", "encoder.0.", "down.0."))}
    module = task(layer_decay=0.5)
    again = trainer(tmp_path, max_epochs=2, logger=False)
    again.fit(module, ToyData(), ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    rates = [group["lr"] for group in again.optimizers[0].param_groups]
    assert sorted({rate / rates[0] for rate in rates}) == pytest.approx([0.25, 0.5, 1.0])
    steps = {int(state["step"]) for state in again.optimizers[0].state.values()}
    assert steps == {10, 20}
    after = module.net.state_dict()
    assert all(not torch.equal(after[name], before[name]) for name in still)


def test_a_network_that_never_saw_a_metric_loss_is_relative(tmp_path: Path):
    module = task()
    del module.terms["metric"]
    run = trainer(tmp_path)
    run.fit(module, ToyData())
    run.save_checkpoint(tmp_path / "last.ckpt")
    assert not load_trained(tmp_path / "last.ckpt").metric


def changed(checkpoint: Path, folder: Path, **facts: Any) -> Path:
    content = torch.load(checkpoint, weights_only=True)
    content["depthmix"] |= facts
    torch.save(content, folder / "changed.ckpt")
    return folder / "changed.ckpt"


def test_a_foreign_class_is_imported_only_on_trust(checkpoint: Path, tmp_path: Path):
    spec = {"class_path": "tests.foreign_net.ForeignNet", "init_args": {}}
    path = changed(checkpoint, tmp_path, net=spec)
    with pytest.raises(
        ConfigError, match=r"names tests.foreign_net.ForeignNet, and importing it runs its code"
    ):
        load_trained(path)
    with pytest.raises(ConfigError, match=r"ckpt: net: tests.foreign_net cannot be imported: No module"):
        load_trained(path, trust=True)


def test_a_class_in_the_present_folder_is_found_on_trust(checkpoint: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])  # restores it afterwards
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net_of_mine.py").write_text(
        "from depthmix.models import LightDepthNet\nclass Mine(LightDepthNet): pass\n"
    )
    path = changed(checkpoint, tmp_path, net=small_net().spec | {"class_path": "net_of_mine.Mine"})
    assert type(load_trained(path, trust=True).net).__name__ == "Mine"


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"net": {"class_path": "depthmix.batch.Batch"}}, "is no torch module"),
        ({"net": {"class_path": "depthmix.models.Nothing"}}, "cannot build depthmix.models.Nothing"),
        ({"net": None}, "does not say how its network is built"),
        ({"net": small_net().spec | {"init_args": {"widths": [8, 24]}}}, "weights do not fit LightDepthNet"),
        ({"schema": 2}, "this version reads schema 1"),
    ],
)
def test_a_checkpoint_that_cannot_be_used_says_why(
    checkpoint: Path, tmp_path: Path, facts: dict, message: str
):
    with pytest.raises(ConfigError, match=message):
        load_trained(changed(checkpoint, tmp_path, **facts))


def test_files_that_are_no_checkpoints_are_named(tmp_path: Path):
    with pytest.raises(ConfigError, match="no such checkpoint"):
        load_trained(tmp_path / "none.ckpt")
    (tmp_path / "text.ckpt").write_text("hello")
    with pytest.raises(ConfigError, match=r"text.ckpt"):
        load_trained(tmp_path / "text.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(ConfigError, match="is no checkpoint of depthmix"):
        load_trained(tmp_path / "other.ckpt")
    torch.save({"depthmix": Path("x")}, tmp_path / "pickle.ckpt")
    with pytest.raises(ConfigError, match="more than tensors and plain values"):
        load_trained(tmp_path / "pickle.ckpt")


CONFIG = {
    "seed_everything": 0,
    "model": {
        "net": {
            "class_path": "depthmix.models.LightDepthNet",
            "init_args": {"widths": [8, 16], "bottleneck": 1},
        },
        "focal_canonical": 120.0,
        "terms": {
            "ssi": {"loss": {"class_path": "depthmix.losses.ScaleShiftInvariantLoss"}, "weight": 1.0},
            "metric": {"loss": {"class_path": "depthmix.losses.SilogLoss"}, "tiers": ["high", "middle"]},
            "plane": {
                "loss": {"class_path": "depthmix.losses.PlaneLoss", "init_args": {"min_pixels": 20}},
                "weight": 0.1,
                "end": 5,
                "sources": ["planes"],
            },
        },
    },
    "data": {"steps": 3},
}


# Lightning itself calls what jsonargparse deprecates.
@pytest.mark.filterwarnings("ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning")
def test_the_lightning_cli_trains_from_yaml_and_its_checkpoint_is_plain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.argv", ["depthmix"])
    config = CONFIG | {
        "trainer": {
            "default_root_dir": str(tmp_path),
            "max_epochs": 1,
            "accelerator": "cpu",
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
        }
    }
    (tmp_path / "mix.yaml").write_text(yaml.safe_dump(config))
    cli = LightningCLI(
        DepthTask, ToyData, args=["fit", "--config", str(tmp_path / "mix.yaml")], save_config_callback=None
    )
    cli.trainer.save_checkpoint(tmp_path / "last.ckpt")
    trained = load_trained(tmp_path / "last.ckpt")
    assert trained.focal_canonical == 120.0
    assert isinstance(trained.net, LightDepthNet)
    assert trained.net.widths == (8, 16)
    assert cli.model.terms["plane"].end == 5
    assert cli.model.terms["plane"].loss.min_pixels == 20


def test_a_network_that_counts_in_another_canonical_focal_length_is_refused():
    net = LightDepthNet(widths=(8, 8), bottleneck=1)
    net.focal_canonical = 50.0
    with pytest.raises(ConfigError, match=r"focal_canonical: is 100.0, but the network's own .* is 50.0"):
        DepthTask(net, {"metric": Term(SilogLoss())}, focal_canonical=100.0)
    DepthTask(net, {"metric": Term(SilogLoss())}, focal_canonical=50.0)


def test_what_terms_and_sources_have_taught_is_logged_saved_and_no_part_of_the_network(tmp_path: Path):
    seed_everything(3)
    terms = {"ssi": Term(ScaleShiftInvariantLoss()), "noise": Term(LearnedNoiseLoss())}
    terms["plane"] = Term(PlaneLoss())
    module = DepthTask(small_net(), terms, disagreement=Disagreement(warmup=2))
    run = trainer(tmp_path)
    run.fit(module, ToyData())
    rows = [row for row in log_of(tmp_path) if row["train/loss"]]
    columns = {name for name, value in rows[-1].items() if value}
    assert {"train/noise/noise/kitti", "train/trust/web", "train/trust/planes"} <= columns
    run.save_checkpoint(tmp_path / "end.ckpt")
    state = torch.load(tmp_path / "end.ckpt", weights_only=True)["state_dict"]
    assert state["objective.losses.noise.scales"].shape == (3, 8)
    assert state["objective.doubt.seen"].sum() > 0
    again = DepthTask(small_net(), terms, disagreement=Disagreement(warmup=2))
    trainer(tmp_path / "again", max_epochs=2).fit(again, ToyData(), ckpt_path=tmp_path / "end.ckpt")
    assert again.objective.doubt is not None
    assert (again.objective.doubt.seen.sum(1) == 2 * state["objective.doubt.seen"].sum(1)).all()
    trainer(tmp_path / "test").test(task(), ToyData(), ckpt_path=tmp_path / "end.ckpt")
