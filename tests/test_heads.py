"""Networks with an uncertainty and a sky head: routing, checks, training, checkpoints."""

from collections.abc import Sequence
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
from depthmix.errors import ConfigError
from depthmix.losses import FocalLoss, ScaleShiftInvariantLoss, SilogLoss
from depthmix.losses.base import DepthLoss
from depthmix.models import LightDepthNet
from depthmix.objective import Objective, Term, head_problems, term_problems
from depthmix.prediction import Prediction
from depthmix.sample import LabelKind
from depthmix.task import DepthTask, load_trained, predict_batch
from tests.toy import card, random_batch
from tests.toy_data import ToyData

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*"),
    pytest.mark.filterwarnings("ignore:.*Checkpoint directory .* exists and is not empty"),
]

METRIC = LabelKind.METRIC_DEPTH


class Laplace(DepthLoss):
    """Negative log likelihood of log depth under the predicted error."""

    accepts = frozenset({METRIC})
    needs = frozenset({"uncertainty"})

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Tensor:
        s, valid = prediction.log_uncertainty, self.usable(batch)
        assert s is not None
        error = (prediction.log_depth - torch.where(valid, batch.target, 1).log()).abs()
        each = torch.where(valid, error * (-s).exp() + s, 0).flatten(1).sum(1)
        return each / valid.flatten(1).sum(1).clamp_min(1)


class ValidIsGround(DepthLoss):
    """Cross entropy that calls every pixel without a label sky."""

    accepts = frozenset(LabelKind)
    needs = frozenset({"sky"})

    def forward(self, prediction: Prediction, batch: Batch, *, step: int = 0) -> Tensor:
        assert prediction.sky_logit is not None
        wanted = (~batch.valid).to(prediction.sky_logit.dtype)
        loss = nn.functional.binary_cross_entropy_with_logits(prediction.sky_logit, wanted, reduction="none")
        return torch.where(self.bears(batch)[:, None, None, None], loss, 0).flatten(1).mean(1)

    def supervised(self, batch: Batch) -> Tensor:
        return self.bears(batch)


def terms() -> dict[str, Term]:
    return {
        "ssi": Term(ScaleShiftInvariantLoss()),
        "laplace": Term(Laplace(), weight=0.5),
        "sky": Term(ValidIsGround(), weight=0.2),
    }


def net(outputs: int = 3) -> LightDepthNet:
    return LightDepthNet(widths=(8, 16), bottleneck=1, outputs=outputs)


def task(**options: Any) -> DepthTask:
    defaults = {"heads": ["sky", "uncertainty"], "learning_rate": 1e-3, "warmup_steps": 2}
    return DepthTask(net(), terms(), **(defaults | options))


def trainer(folder: Path, **options: Any) -> Trainer:
    defaults = {
        "accelerator": "cpu",
        "max_epochs": 2,
        "logger": False,
        "default_root_dir": folder,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "deterministic": True,
    }
    return Trainer(**(defaults | options))


def objective_gradient(chosen: Sequence[str], balance: str = "none") -> Tensor:
    maps = torch.randn(3, 3, 32, 40, generator=torch.Generator().manual_seed(0)).requires_grad_()
    cameras = torch.tensor([[40.0, 40.0, 19.5, 15.5]]).repeat(3, 1)
    prediction = Prediction.from_maps(maps, cameras, 50.0, ["sky", "uncertainty"])
    kinds = [METRIC, METRIC, LabelKind.AFFINE_DISPARITY]
    cards = {"kitti": card(METRIC), "web": card(LabelKind.AFFINE_DISPARITY)}
    objective = Objective({name: terms()[name] for name in chosen}, balance, cards)  # type: ignore[arg-type]
    objective(prediction, random_batch(kinds, sources=[0, 0, 1])).loss.backward()
    assert maps.grad is not None
    return maps.grad


def test_each_term_reaches_the_channels_that_it_reads_and_no_other():
    touched = {
        name: objective_gradient([name]).abs().amax((0, 2, 3)).gt(0).tolist()
        for name in ("ssi", "laplace", "sky")
    }
    assert touched == {
        "ssi": [True, False, False],
        "laplace": [True, False, True],
        "sky": [False, True, False],
    }
    assert objective_gradient(["laplace"])[2].abs().max() == 0  # the web row cannot bear it


def test_the_focal_head_learns_from_its_own_term_on_rows_with_a_camera():
    maps = torch.randn(3, 2, 32, 40, generator=torch.Generator().manual_seed(0)).requires_grad_()
    batch = random_batch([METRIC, METRIC, LabelKind.AFFINE_DISPARITY], sources=[0, 0, 1])
    cameras = batch.camera_or(torch.tensor([50.0, 50.0, 19.5, 15.5]))
    prediction = Prediction.from_maps(maps, cameras, 50.0, ["focal"])
    objective = Objective({"focal": Term(FocalLoss())}, "none")
    objective(prediction, batch).loss.backward()
    assert maps.grad is not None
    pulled = maps.grad.abs().amax((2, 3)) > 0
    assert pulled.tolist() == [[False, True], [False, True], [False, False]]
    assert maps.grad[0, 1].abs().sum().item() == pytest.approx(1 / 2)  # a slope of 1, a mean over two rows


def test_a_source_of_cameras_alone_is_no_source_of_depth():
    cards = {"web": card(LabelKind.AFFINE_DISPARITY)}
    (problem,) = term_problems({"focal": Term(FocalLoss())}, cards)
    assert problem.startswith("sources.web: no term learns from it")
    assert term_problems({"focal": Term(FocalLoss()), "ssi": Term(ScaleShiftInvariantLoss())}, cards) == []


def test_the_gradient_of_the_heads_is_that_of_the_plain_sum():
    maps = torch.randn(3, 3, 32, 40, generator=torch.Generator().manual_seed(0)).requires_grad_()
    cameras = torch.tensor([[40.0, 40.0, 19.5, 15.5]]).repeat(3, 1)
    prediction = Prediction.from_maps(maps, cameras, 50.0, ["sky", "uncertainty"])
    batch = random_batch([METRIC, METRIC, LabelKind.AFFINE_DISPARITY], sources=[0, 0, 1])
    laplace = 0.5 * Laplace()(prediction, batch)[:2].mean()
    (laplace + 0.2 * ValidIsGround()(prediction, batch).mean()).backward()
    torch.testing.assert_close(objective_gradient(["laplace", "sky"]), maps.grad, rtol=1e-5, atol=1e-9)


def test_a_balanced_term_pulls_by_its_weight_over_all_channels():
    gradient = objective_gradient(["laplace"], "gradient")
    assert gradient.norm().item() == pytest.approx(0.5 / (3 * 32 * 40) ** 0.5, rel=1e-5)


def test_a_term_without_its_head_is_refused_with_the_way_out():
    (problem,) = head_problems({"one": Term(Laplace()), "ssi": Term(ScaleShiftInvariantLoss())}, [])
    assert problem == (
        "terms.one: Laplace needs the head 'uncertainty', which the network lacks; "
        "set `model.heads: [uncertainty]`, or drop the term"
    )
    assert all("set `model.heads: [uncertainty, sky]`" in problem for problem in head_problems(terms(), []))
    with pytest.raises(ConfigError, match=r"terms.sky: .* set `model.heads: \[uncertainty, sky\]`"):
        task(heads=["uncertainty"])


def test_a_head_that_no_term_trains_is_refused():
    said = "model.heads: no term trains the head 'sky'; add a term whose loss does, or leave the head out"
    assert head_problems({"ssi": Term(ScaleShiftInvariantLoss())}, ["sky"]) == [said]
    assert head_problems({"sky": Term(ValidIsGround(), weight=0.0)}, ["sky"]) == [said]
    with pytest.raises(ConfigError, match="no term trains the head 'sky'"):
        DepthTask(net(2), {"ssi": Term(ScaleShiftInvariantLoss())}, heads=["sky"])


def test_heads_and_channels_of_the_network_must_agree(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"model.net: gives 1 channels.*are 3.*set `outputs: 3`"):
        DepthTask(net(1), terms(), heads=["uncertainty", "sky"])
    with pytest.raises(ConfigError, match=r"gives 2 channels, but depth and heads \[\] are 1"):
        DepthTask(net(2), {"ssi": Term(ScaleShiftInvariantLoss())})
    plain = DepthTask(nn.Conv2d(3, 1, 3, padding=1), terms(), heads=["uncertainty", "sky"])
    with pytest.raises(ConfigError, match=r"must give a map of shape \(2, 3, 32, 40\), got \(2, 1, 32, 40\)"):
        trainer(tmp_path).fit(plain, ToyData())


@pytest.mark.parametrize(
    ("heads", "said"),
    [
        (["sky", "sky", "uncertainty"], "a head is named twice"),
        (["skyy"], "'skyy' is not one of uncertainty, sky, focal; did you mean 'sky'?"),
    ],
)
def test_wrong_heads_are_named(heads: list[str], said: str):
    with pytest.raises(ConfigError, match=r"model\.heads") as caught:
        task(heads=heads)
    assert said in str(caught.value)


@pytest.mark.parametrize("balance", ["gradient", "uncertainty"])
def test_heads_train_resume_and_come_back_from_the_checkpoint(tmp_path: Path, balance: str):
    seed_everything(3)
    keep = ModelCheckpoint(dirpath=tmp_path, filename="{epoch}", save_top_k=-1)
    whole = task(balance=balance)
    before = {name: value.clone() for name, value in whole.net.state_dict().items()}
    trainer(tmp_path, enable_checkpointing=True, callbacks=[keep]).fit(whole, ToyData(steps=4))
    moved = [not torch.equal(value, before[name]) for name, value in whole.net.state_dict().items()]
    assert all(moved)

    resumed = task(balance=balance)
    again = trainer(tmp_path, enable_checkpointing=True, callbacks=[keep])
    again.fit(resumed, ToyData(steps=4), ckpt_path=tmp_path / "epoch=0.ckpt", weights_only=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name

    trained = load_trained(tmp_path / "epoch=1.ckpt")
    assert trained.heads == ("sky", "uncertainty")
    image = torch.rand(2, 3, 40, 48)
    prediction, maps = predict_batch(trained, image), whole.net.eval()(image)
    assert torch.equal(prediction.log_canonical, maps[:, :1])
    assert prediction.sky_logit is not None
    assert torch.equal(prediction.sky_logit, maps[:, 1:2])

    # An evaluation has no use for learned weights, and does not stumble over them.
    seen = trainer(tmp_path, enable_checkpointing=True, callbacks=[keep])
    seen.test(task(balance=balance), ToyData(), ckpt_path=tmp_path / "epoch=1.ckpt", verbose=False)


# Lightning itself calls what jsonargparse deprecates.
@pytest.mark.filterwarnings("ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning")
def test_heads_and_balance_come_from_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.argv", ["depthmix"])
    small = {"widths": [8, 16], "bottleneck": 1, "outputs": 2}
    model = {
        "net": {"class_path": "depthmix.models.LightDepthNet", "init_args": small},
        "heads": ["uncertainty"],
        "balance": "pareto_sources",
        "terms": {
            "ssi": {"loss": {"class_path": "depthmix.losses.ScaleShiftInvariantLoss"}, "start": 1, "end": 2},
            "plane": {"loss": {"class_path": "depthmix.losses.PlaneLoss"}},
            "laplace": {"loss": {"class_path": "tests.test_heads.Laplace"}},
        },
    }
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    run = quiet | {"enable_checkpointing": False, "accelerator": "cpu", "max_epochs": 1}
    config = {"trainer": run | {"default_root_dir": str(tmp_path)}, "model": model, "data": {"steps": 3}}
    (tmp_path / "mix.yaml").write_text(yaml.safe_dump(config))
    cli = LightningCLI(
        DepthTask, ToyData, args=["fit", "--config", str(tmp_path / "mix.yaml")], save_config_callback=None
    )
    cli.trainer.save_checkpoint(tmp_path / "last.ckpt")
    assert load_trained(tmp_path / "last.ckpt").heads == ("uncertainty",)
    assert cli.model.objective.balance == "pareto_sources"


def test_learned_weights_move_and_are_logged_without_decay(tmp_path: Path):
    module = task(balance="uncertainty")
    run = trainer(tmp_path, logger=CSVLogger(str(tmp_path), name="", version=""), log_every_n_steps=2)
    run.fit(module, ToyData(steps=4))
    learned = module.objective.log_variances
    assert learned is not None
    assert learned.detach().ne(0).all()
    (group,) = [g for g in run.optimizers[0].param_groups if any(p is learned for p in g["params"])]
    assert group["weight_decay"] == 0
    columns = (tmp_path / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {f"train/weights/{name}" for name in terms()} <= set(columns)


def test_a_silog_task_without_heads_keeps_one_channel():
    plain = DepthTask(net(1), {"metric": Term(SilogLoss())})
    assert plain(torch.rand(1, 3, 32, 40)).shape == (1, 1, 32, 40)
