"""A student's features are drawn to those of a frozen teacher, which is neither trained nor saved."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from torch import Tensor, nn

from depthmix.errors import ConfigError
from depthmix.feature_alignment import AlignedFeatures, FeatureAlignment, feature_alignment
from depthmix.models import LightDepthNet, LiteDepthNet
from depthmix.task import load_trained
from tests.fake_cuda import fake_cuda
from tests.test_task import log_of, task, trainer
from tests.toy import random_batch
from tests.toy_data import KINDS, ToyData

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*"),
]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def light(width: int = 16, seed: int = 0) -> LightDepthNet:
    torch.manual_seed(seed)
    return LightDepthNet(widths=(8, width), bottleneck=1)


def middles(teacher: str | nn.Module, **options: Any) -> FeatureAlignment:
    return FeatureAlignment(teacher, student_layer="middle", teacher_layer="middle", **options)


@pytest.mark.parametrize("margin", [-0.5, 0.0, 0.85, 1.0])
def test_it_agrees_with_a_naive_float64_implementation(margin: float) -> None:
    student, teacher = drawn(3, 5, 4, 6), drawn(3, 5, 4, 6, seed=1)
    teacher[:, :, :2] = student[:, :, :2] + 0.1 * teacher[:, :, :2]  # some beyond any margin below 1
    expected = []
    for s, t in zip(student.double().numpy(), teacher.double().numpy(), strict=True):
        total = 0.0
        for v, u in np.ndindex(4, 6):
            a, b = s[:, v, u], t[:, v, u]
            cosine = a @ b / np.sqrt((a @ a) * (b @ b))
            total += 0.0 if cosine > margin else 1 - cosine
        expected.append(total / 24)
    np.testing.assert_allclose(feature_alignment(student, teacher, margin), expected, rtol=1e-5)


def test_known_values() -> None:
    x = drawn(2, 8, 3, 3)
    assert feature_alignment(x, x).tolist() == [0, 0]
    torch.testing.assert_close(feature_alignment(x, -2 * x), torch.tensor([2.0, 2.0]))


def test_a_place_beyond_the_margin_has_no_gradient() -> None:
    teacher = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 1, 2)
    student = torch.tensor([[0.9, 0.1], [0.1, 0.9]]).view(1, 2, 1, 2).requires_grad_()
    feature_alignment(student, teacher, 0.85).sum().backward()
    assert student.grad is not None
    assert student.grad[..., 0].abs().max() == 0
    assert student.grad[..., 1].abs().max() > 0.1


def test_features_of_zero_and_of_half_precision_are_sound() -> None:
    student = torch.zeros(1, 4, 2, 2, requires_grad=True)
    value = feature_alignment(student, drawn(1, 4, 2, 2))
    value.sum().backward()
    assert value.item() == 1
    assert student.grad is not None
    assert student.grad.isfinite().all()
    huge = drawn(1, 4, 2, 2).half() * 1e4  # the squares are beyond half precision
    assert feature_alignment(huge, -huge).dtype == torch.float32
    torch.testing.assert_close(feature_alignment(huge, -huge), torch.tensor([2.0]))


def test_it_never_waits_for_the_device() -> None:
    with fake_cuda():
        x = torch.empty(2, 4, 3, 3, device="cuda:0")
        assert feature_alignment(x, x).device.type == "cuda"


def aligned(student: nn.Module, options: FeatureAlignment, seed: int = 0) -> Tensor:
    module, batch = task(student), random_batch(list(KINDS.values()), seed)
    prediction, value = AlignedFeatures(options, student)(module.predict_rows, batch)
    torch.testing.assert_close(prediction.maps, module.predict_rows(batch).maps)
    return value


def test_a_student_that_is_its_teacher_has_nothing_to_learn() -> None:
    assert aligned(light(seed=3), middles(light(seed=3))).item() == pytest.approx(0, abs=1e-6)
    assert aligned(light(seed=3), middles(light(seed=4), margin=1.0)).item() > 0.1


def test_weight_and_margin_are_those_of_the_options() -> None:
    one, three = (aligned(light(), middles(light(seed=1), weight=w, margin=1.0)) for w in (1.0, 3.0))
    torch.testing.assert_close(3 * one, three)
    assert aligned(light(), middles(light(seed=1), margin=0.0)) < one


@pytest.mark.parametrize("width", [8, 40])
def test_unequal_widths_are_compared_through_a_projection_that_never_changes(width: int) -> None:
    assert aligned(light(width), middles(light(24, seed=1))) > 0
    found = []
    for seed in (5, 6):
        torch.manual_seed(seed)
        work = AlignedFeatures(middles(light(24, seed=1)), light(width))
        torch.manual_seed(seed)
        found.append(work._projected(drawn(1, 24, 2, 2), drawn(1, width, 2, 2)))
    assert torch.equal(*found)


def test_the_projection_to_more_channels_keeps_every_angle() -> None:
    work = AlignedFeatures(middles(light(seed=1)), light())
    narrow, wide = drawn(2, 5, 3, 3), drawn(2, 9, 3, 3)
    before = torch.nn.functional.cosine_similarity(narrow[:1], narrow[1:])
    after = torch.nn.functional.cosine_similarity(*work._projected(narrow, wide).split(1))
    torch.testing.assert_close(before, after)


def test_a_pretrained_encoder_can_be_the_teacher_of_a_student_of_another_grid() -> None:
    options = FeatureAlignment(LiteDepthNet(pretrained=None), student_layer="middle")
    student = light()
    value = aligned(student, options)
    value.backward()
    gradients = [p.grad for p in student.middle.parameters()]
    assert all(g is not None for g in gradients)
    assert max(g.abs().max() for g in gradients if g is not None) > 0
    assert student.head.weight.grad is None  # it lies behind the features


class Staged(nn.Module):
    """A network that names its stages."""

    def __init__(self, *stages: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*stages)
        self.stages = tuple(stages)

    def forward(self, image: Tensor) -> Tensor:
        maps: Tensor = self.body(image)
        return maps.mean(1, keepdim=True)


def test_the_last_stage_is_the_encoder_of_a_network_that_has_stages() -> None:
    first, last = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 6, 1)
    work = AlignedFeatures(
        FeatureAlignment(Staged(nn.Conv2d(3, 2, 1), nn.Conv2d(2, 6, 1))), Staged(first, last)
    )
    assert work._layers["student_layer"] is last


class Tokens(nn.Module):
    """A layer that gives no map."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2)


@pytest.mark.parametrize("net", [LightDepthNet((8, 16, 24), 1), LiteDepthNet(pretrained=None)])
def test_the_last_module_of_the_encoder_is_compared_where_nothing_is_named(net: nn.Module) -> None:
    batch = random_batch(list(KINDS.values()))
    aligned = AlignedFeatures(FeatureAlignment(deepcopy(net)), net)
    _, distance = aligned(lambda batch: net(batch.image_float), batch)
    assert distance.item() == 0
    last = net.stages[-1][-1]
    assert aligned._layers["student_layer"] is last


def test_compiled_code_would_pass_it_over_so_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="compile: cannot go with `feature_alignment`"):
        task(compile=True, feature_alignment=middles(light()))


def test_layers_that_cannot_be_compared_are_named() -> None:
    with pytest.raises(ConfigError, match=r"student_layer: LightDepthNet has no module 'midle'.*middle"):
        AlignedFeatures(FeatureAlignment(light(), student_layer="midle", teacher_layer="middle"), light())
    with pytest.raises(ConfigError, match=r"teacher_layer: Sequential does not say what its encoder is"):
        AlignedFeatures(FeatureAlignment(nn.Sequential(nn.Conv2d(3, 2, 1)), student_layer="middle"), light())
    with pytest.raises(
        ConfigError, match=r"teacher_layer: must give a map of features \[b c h w\], gave a tensor"
    ):
        aligned(light(), FeatureAlignment(Staged(Tokens()), student_layer="middle"))
    with pytest.raises(ConfigError, match=r"student_layer: must give a map .*, gave no tensor"):
        aligned(light(), FeatureAlignment(light(), student_layer="encoder", teacher_layer="middle"))
    with pytest.raises(ConfigError, match="no such checkpoint"):
        AlignedFeatures(FeatureAlignment("nowhere.ckpt"), light())


def test_options_out_of_range_are_named() -> None:
    with pytest.raises(ConfigError, match=r"feature_alignment\.margin: must be in \(-1, 1\], got 1.5"):
        FeatureAlignment("x", margin=1.5)
    with pytest.raises(
        ConfigError, match=r"feature_alignment\.weight: must be finite and not negative, got nan"
    ):
        FeatureAlignment("x", weight=float("nan"))


@pytest.mark.parametrize(
    "teacher",
    [
        "runs/teacher/last.ckpt",
        {"class_path": "depthmix.models.LightDepthNet", "init_args": {"bottleneck": 1}},
    ],
)
def test_a_configuration_names_a_checkpoint_or_a_network(teacher: Any) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--feature_alignment", type=FeatureAlignment | None)
    read = parser.parse_object({"feature_alignment": {"teacher": teacher, "weight": 0.5}})
    built = parser.instantiate(read).feature_alignment
    assert built.weight == 0.5
    assert built.teacher == teacher if isinstance(teacher, str) else isinstance(built.teacher, LightDepthNet)


def test_training_draws_the_features_near_and_leaves_the_teacher_alone(tmp_path: Path) -> None:
    teacher = light(seed=7)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    teacher.train()
    aligned_to = middles(teacher, weight=10.0, margin=1.0)
    module = task(light(), feature_alignment=aligned_to, learning_rate=1e-2)
    trainer(tmp_path, max_epochs=3).fit(module, ToyData())
    column = [float(row["train/feature_alignment"]) for row in log_of(tmp_path) if row["train/loss"]]
    assert column[-1] < 0.5 * column[0]
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert not teacher.training
    trained = {id(p) for group in module.optimizers().param_groups for p in group["params"]}
    assert trained == {id(p) for p in module.net.parameters()}
    assert not any("teacher" in name or "aligned" in name for name in module.state_dict())


def test_a_checkpoint_of_the_student_needs_no_teacher_and_can_be_one(tmp_path: Path) -> None:
    def fitted(folder: Path, teacher: str | nn.Module) -> nn.Module:
        module = task(light(), feature_alignment=middles(teacher))
        run = trainer(folder)
        run.fit(module, ToyData())
        run.save_checkpoint(folder / "last.ckpt")
        return module.net

    student = fitted(tmp_path / "one", light(seed=7))
    loaded = load_trained(tmp_path / "one" / "last.ckpt").net
    assert all(torch.equal(a, b) for a, b in zip(student.parameters(), loaded.parameters(), strict=True))
    fitted(tmp_path / "two", str(tmp_path / "one" / "last.ckpt"))
