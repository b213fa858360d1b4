"""TransformersDepthNet: its numbers are those of the network, said as log canonical depth."""

import copy
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn
from torch.nn import functional

from depthmix.cli import main
from depthmix.cli.schema import resolve_class
from depthmix.errors import ConfigError
from depthmix.export import export_network
from depthmix.losses import SkyLoss
from depthmix.models import TransformersDepthNet
from depthmix.models.encoder_stages import encoders_of
from depthmix.models.input_size import SizeRule
from depthmix.models.normalisation import normalisation_of
from depthmix.models.numbers import log_from_inverse, log_from_metric, log_from_relative
from depthmix.task import DepthTask
from depthmix.terms import Term
from depthmix.trained import Trained, facts_of, load_trained
from tests.light import import_footprint
from tests.models.tiny import BACKBONES, DEPTH, OPTIONS, lively, saved
from tests.small_run import write_sets
from tests.toy import MeanDepthLoss

pytest.importorskip("transformers")

ODD = (37, 50)
# The size at which each sees an image of that size, and mean and deviation of colours it is published with.
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
HALF = ([0.5] * 3, [0.5] * 3)
SEEN = {
    "relative": ((42, 56), IMAGENET),
    "metric": ((42, 56), IMAGENET),
    "dpt": ((32, 32), HALF),
    "dpt_on_dinov2": ((28, 56), HALF),
    "zoedepth": ((32, 64), HALF),
    "depth_pro": ((64, 64), HALF),
    "glpn": ((32, 64), ([0.0] * 3, [1.0] * 3)),
}


def made(name: str, **options: Any) -> TransformersDepthNet:
    torch.manual_seed(0)
    net = TransformersDepthNet(config=copy.deepcopy(DEPTH[name]), **{**OPTIONS.get(name, {}), **options})
    lively(net.model)
    return net


def images(size: tuple[int, int] = ODD, count: int = 2) -> torch.Tensor:
    coarse = torch.rand(count, 3, 6, 8, generator=torch.Generator().manual_seed(1))
    return functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)


def naive(model: nn.Module, name: str, image: torch.Tensor) -> torch.Tensor:
    """Call the network of transformers by hand: its own numbers, at the size of the image."""
    size, (mean, std) = SEEN[name]
    seen = functional.interpolate(image, size, mode="bilinear", antialias=True)
    pixels = torch.stack([(seen[:, c] - mean[c]) / std[c] for c in range(3)], 1)
    numbers = model(pixels).predicted_depth[:, None]
    return functional.interpolate(numbers, image.shape[-2:], mode="bilinear", antialias=True)


@torch.no_grad()
@pytest.mark.parametrize("name", list(DEPTH))
def test_gives_the_numbers_of_the_network_in_a_folder_as_log_canonical_depth(name: str, tmp_path: Path):
    model = saved(DEPTH[name], tmp_path)
    net = TransformersDepthNet(str(tmp_path), **OPTIONS.get(name, {})).eval()
    image = images()
    numbers = naive(model, name, image)
    assert numbers.std() > 1e-4
    if name in ("relative", "dpt"):
        expected = -(0.1 * numbers + 0.01).log()
    elif name == "depth_pro":
        expected = -(numbers * ODD[1] / 60).log()  # 1/z = C w / f, and canonical depth is z f_c / f
    else:
        expected = numbers.log()
    found = net(image)
    # What a network gives as 0 is as far as can be, and the logarithm of nearly 0 is mostly rounding.
    seen = numbers > 0.01 * numbers.max()
    assert seen.any()
    assert found.isfinite().all()
    torch.testing.assert_close(found[seen], expected[seen], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", list(DEPTH))
def test_one_step_lowers_the_loss_and_every_weight_that_learns_has_a_gradient(name: str):
    net = made(name, outputs=2)
    image = images()
    before = (net(image) - 2).square().mean()
    before.backward()
    learned = {key: p for key, p in net.named_parameters() if p.requires_grad}
    assert [key for key, p in learned.items() if p.grad is None] == []
    length = torch.stack([p.grad.norm() for p in learned.values() if p.grad is not None]).norm()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    torch.optim.SGD(net.parameters(), lr=min(1e-2, 0.1 / length.item())).step()
    assert (net(image) - 2).square().mean() < before


@pytest.mark.parametrize("name", list(DEPTH))
def test_stages_hold_each_weight_of_the_encoder_once_stem_first(name: str):
    net = made(name)
    inside = [id(p) for stage in net.stages for p in stage.parameters()]
    assert len(inside) == len(set(inside))
    others = [key for key, p in net.model.named_parameters() if id(p) not in set(inside)]
    heads = (
        "neck.",
        "head.",
        "relative_head.",
        "metric_head.",
        "decoder.",
        "fusion_stage.",
        "depth_pro.neck.",
    )
    assert all(key.startswith(heads) for key in others)
    stem = net.stages[0]
    assert any(isinstance(m, nn.Conv2d) and m.in_channels == 3 for m in stem.modules())
    assert len(net.stages) >= 3


@pytest.mark.parametrize("name", ["relative", "depth_pro"])
def test_a_frozen_encoder_gets_no_gradient_and_drops_nothing(name: str):
    net = made(name, frozen=True).train()
    net(images()).sum().backward()
    assert all(p.grad is None for stage in net.stages for p in stage.parameters())
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in net.model.head.parameters())
    assert all(not m.training for encoder in encoders_of(net.model) for m in encoder.modules())
    assert net.model.head.training


@pytest.mark.parametrize("name", ["relative", "zoedepth"])
def test_recomputed_layers_give_the_same_gradients(name: str):
    net, image = made(name).train(), images(count=1)
    stem = [p for p in net.stages[0].parameters() if p.requires_grad]
    torch.manual_seed(0)  # BEiT drops branches at random
    plain = torch.autograd.grad(net(image).sum(), stem)
    runs = []
    inside = next(m for m in net.stages[2].modules() if isinstance(m, nn.Linear))
    inside.register_forward_pre_hook(lambda *_: runs.append(1))
    net.checkpoint_gradients()
    torch.manual_seed(0)
    again = torch.autograd.grad(net(image).sum(), stem)
    assert len(runs) == 2  # once on the way there, and once on the way back
    assert all(one.abs().sum() > 0 for one in plain)
    torch.testing.assert_close(again, plain)


def test_recomputing_is_refused_where_transformers_does_not_offer_it():
    with pytest.raises(ConfigError, match="cannot recompute the layers of GLPNForDepthEstimation"):
        made("glpn").checkpoint_gradients()


def test_a_checkpoint_of_a_training_rebuilds_it_without_the_folder(tmp_path: Path):
    saved(DEPTH["relative"], tmp_path / "pretrained")
    net = TransformersDepthNet(str(tmp_path / "pretrained"), scale=0.3, shift=0.02, outputs=2, side=42)
    (tmp_path / "pretrained").rename(tmp_path / "gone")
    facts = facts_of(Trained(net, 100.0, True, *ODD, {}, ("sky",), net.spec))
    state = {f"net.{name}": value for name, value in net.state_dict().items()}
    torch.save({"state_dict": state, "depthmix": facts}, tmp_path / "last.ckpt")
    expected = net.eval()(images())
    trained = load_trained(tmp_path / "last.ckpt")
    assert torch.equal(trained.net(images()), expected)
    (exported,) = export_network(trained, tmp_path, formats=["safetensors"])
    assert torch.equal(load_trained(exported.file).net(images()), expected)


def test_a_task_trains_it_and_keeps_a_spec_in_plain_values():
    net = made("relative", outputs=2)
    terms = {"depth": Term(loss=MeanDepthLoss(), weight=1.0), "sky": Term(loss=SkyLoss(), weight=1.0)}
    task = DepthTask(net, terms, heads=["sky"])
    assert task(images()).shape == (2, 2, *ODD)
    assert json.loads(json.dumps(net.spec)) == net.spec
    config = net.spec["init_args"]["config"]
    assert isinstance(config, dict)
    assert config["model_type"] == "depth_anything"
    assert "_name_or_path" not in config


@pytest.mark.parametrize("name", ["relative", "depth_pro"])
def test_shapes_come_without_values_on_the_meta_device(name: str):
    with torch.device("meta"):
        net = TransformersDepthNet(config=DEPTH[name], **OPTIONS.get(name, {}))
        y = net(torch.empty(2, 3, *ODD))
    assert y.shape == (2, 1, *ODD)
    assert all(p.is_meta for p in net.parameters())


def test_a_folder_on_the_meta_device_reads_no_weights(tmp_path: Path):
    saved(DEPTH["relative"], tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with torch.device("meta"):
        assert TransformersDepthNet(str(tmp_path)).model.head.conv1.weight.is_meta


@torch.no_grad()
@pytest.mark.parametrize("width", [50, 100])
def test_metres_become_canonical_by_the_focal_length_that_they_hold_for(width: int):
    net, image = made("metric").eval(), images((37, width))
    canonical = made("metric", focal_canonical=80.0, focal_per_width=0.8).eval()
    # A camera of 0.8 image widths is the one of its training: there its metres are right.
    depth = canonical(image).exp() * (0.8 * width) / 80.0
    torch.testing.assert_close(depth, net(image).exp())


@torch.no_grad()
def test_depth_pro_is_canonical_whatever_the_width():
    net, image = made("depth_pro").eval(), images((64, 64))
    c = net.model((image - 0.5) / 0.5).predicted_depth[:, None]
    c = functional.interpolate(c, (64, 64), mode="bilinear", antialias=True).clamp(min=1e-5)
    z = 90.0 / (64 * c)  # f / (w C), seen through a camera of 90 pixels
    torch.testing.assert_close(net(image).exp() * 90.0 / 60.0, z, rtol=1e-4, atol=1e-5)
    assert net.model.fov_model is None


@torch.no_grad()
def test_fit_finds_scale_and_shift_of_relative_numbers():
    net = made("relative").eval()
    image = images()
    r, _ = net._numbers(image)
    r = functional.interpolate(r, ODD, mode="bilinear", antialias=True)
    depth, valid = 1 / (2.5 * r + 0.04), torch.rand(2, 1, *ODD) < 0.5
    found = net.fit(image, torch.where(valid, depth, 0), valid)
    assert found == pytest.approx((2.5, 0.04), rel=1e-2)
    assert net.scale_shift == pytest.approx(found, rel=1e-5)
    torch.testing.assert_close(net(image).exp(), depth, rtol=1e-3, atol=1e-3)


def test_fit_refuses_what_it_cannot_fit():
    net, image = made("relative").eval(), images()
    depth = net._numbers(image)[0].detach()
    depth = 1 + functional.interpolate(depth, ODD, mode="bilinear")  # grows where inverse depth should
    everywhere = torch.ones(2, 1, *ODD, dtype=torch.bool)
    for valid in (everywhere, ~everywhere):
        with pytest.raises(ValueError, match="needs valid pixels whose inverse depth rises"):
            net.fit(image, depth, valid)
    with pytest.raises(ValueError, match="those of this network are metric"):
        made("metric").fit(image, depth, everywhere)
    assert net.scale_shift == pytest.approx((0.1, 0.01), rel=1e-5)


def test_no_number_of_the_network_gives_a_depth_that_is_not_finite():
    numbers = torch.tensor([0.0, -3.0, 1e-30, 1e30]).reshape(1, 1, 2, 2).requires_grad_()
    scale, shift = torch.tensor(0.1).log(), torch.tensor(0.01).log()
    for y in (
        log_from_metric(numbers),
        log_from_inverse(numbers),
        log_from_relative(numbers, scale, shift),
    ):
        (gradient,) = torch.autograd.grad(y.sum(), numbers)
        assert y.isfinite().all()
        assert gradient.isfinite().all()


def test_scale_and_shift_learn():
    net = made("relative")
    net(images()).sum().backward()
    assert net.affine is not None
    assert net.affine.grad is not None
    assert (net.affine.grad != 0).all()


def test_half_precision_takes_the_logarithm_in_float32():
    net = made("relative")
    with torch.autocast("cpu", torch.bfloat16):
        y = net(images())
    assert y.dtype == torch.float32


def test_a_copy_reads_its_own_features():
    net = made("relative", outputs=2).eval()
    copied = copy.deepcopy(net)
    with torch.no_grad():
        net.model.head.conv1.weight.zero_()
    expected = made("relative", outputs=2)
    expected.load_state_dict(copied.state_dict())
    assert torch.equal(copied(images()), expected.eval()(images()))
    assert not any(module._forward_pre_hooks for module in copied.model.head.modules())  # none stays


def test_a_side_brings_images_to_a_size_as_the_image_processor_of_dpt_does():
    from transformers.models.dpt.image_processing_pil_dpt import get_resize_output_image_size

    for height, width in ((37, 50), (480, 640), (640, 480), (50, 300), (5, 5)):
        for side, multiple in ((56, 14), (100, 16), (30, 32)):
            theirs = get_resize_output_image_size(torch.zeros(3, height, width), (side, side), True, multiple)
            mine = SizeRule(multiple, side).of(height, width)
            assert mine == tuple(max(length, multiple) for length in (theirs.height, theirs.width))


def test_importing_the_networks_imports_no_transformers():
    found = import_footprint("depthmix.models")
    assert "torch" in found
    assert not found & {"transformers", "huggingface_hub", "safetensors", "torchvision"}


def test_its_short_name_is_known_to_configurations():
    for name in ("TransformersDepthNet", "BackboneDepthNet"):
        assert resolve_class(name, nn.Module) is resolve_class(f"depthmix.models.{name}", nn.Module)


WRONG: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"meaning": None}, "does not say what its numbers mean; say it, metric: depth z in metres; inverse"),
    ({}, {"meaning": "deep"}, "must be one of metric, inverse, relative, got 'deep'"),
    ({}, {"focal_per_width": 0.8}, "focal_per_width: relative numbers hold for any focal length"),
    ({}, {"meaning": "metric", "focal_per_width": 0.8}, "focal_canonical: the other focal length needs it"),
    ({}, {"meaning": "metric", "focal_canonical": 0.8}, "focal_per_width: the other focal length needs it"),
    (
        {},
        {"meaning": "metric", "focal_canonical": -1.0, "focal_per_width": 1.0},
        "focal_canonical: must be positive, got -1",
    ),
    (
        {},
        {"meaning": "metric", "shift": 0.1},
        "shift: is for relative numbers, those of this network are metric",
    ),
    ({}, {"scale": 0.0}, "scale: must be positive, got 0"),
    ({}, {"side": 0}, "side: must be at least 1, got 0"),
    ({}, {"mean": [0.5] * 3}, "mean, std: one needs the other"),
    ({}, {"mean": [0.5], "std": [0.5]}, "mean, std: must be three numbers"),
    ({}, {"model": "x"}, "give either `model` or `config`"),
    ({"model_type": "deep"}, {}, "its model_type 'deep' is unknown to transformers 5"),
    ({"hidden_size": "wide"}, {}, "its configuration is none of dpt: "),
    ({"depthmix": {"scale": "wide", "shift": -1.0}}, {}, "shift: must be positive, got -1"),
    ({"num_attention_heads": 3}, {}, "cannot build dpt: "),
    ({"backbone": "resnet50"}, {}, "takes its backbone 'resnet50' from elsewhere"),
    ({"use_timm_backbone": True}, {}, "needs timm, which brings torchvision; depthmix runs without both"),
    (
        DEPTH["metric"],
        {},
        "meaning: is 'relative', but depth_anything says that its numbers are 'metric'",
    ),
    (DEPTH["depth_pro"], {"meaning": None}, "focal_canonical: the other focal length needs it"),
    (
        DEPTH["depth_pro"],
        {"meaning": None, "focal_canonical": 9.0, "side": 96},
        "side: depth_pro takes squares of 64 pixels only, got 96",
    ),
    (
        {**DEPTH["zoedepth"], "bin_configurations": [{}, {}]},
        {},
        "has several heads, and all images of a batch vote for one of them",
    ),
    (BACKBONES["dinov2"], {}, "model: dinov2 is no depth network; depth networks of transformers are"),
]


@pytest.mark.parametrize(("config", "options", "message"), WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_what_does_not_go_together_is_named(config: dict[str, Any], options: dict[str, Any], message: str):
    whole = config if len(config) > 3 else {**DEPTH["dpt"], **config}
    with pytest.raises(ConfigError) as caught:
        TransformersDepthNet(**{"config": copy.deepcopy(whole), "meaning": "relative", **options})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_outputs_must_be_positive():
    with pytest.raises(ValueError, match="`outputs` must be at least 1, got 0"):
        TransformersDepthNet(config=DEPTH["glpn"], outputs=0)


def test_without_transformers_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "transformers", None)
    for name in (str(tmp_path), "some/network"):
        with pytest.raises(ConfigError, match=r"transformers is needed .*; pip install depthmix\[hub\]"):
            TransformersDepthNet(name)


def test_what_is_neither_folder_nor_on_the_hub_is_named(monkeypatch: pytest.MonkeyPatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        ConfigError, match="some/network: model: no such folder, and the hub does not give it"
    ):
        TransformersDepthNet("some/network")
    with pytest.raises(ConfigError, match="/no/such/folder: model: no such folder"):
        TransformersDepthNet("/no/such/folder")


BROKEN: dict[str, tuple[str, bytes | None, str]] = {
    "no_config": ("config.json", None, "holds no config.json"),
    "no_json": ("config.json", b"{", "config.json: cannot be read"),
    "deep_json": ("config.json", b"[" * 100_000, "config.json: cannot be read"),
    "no_object": ("config.json", b"[]", "config.json: must hold an object of JSON"),
    "large": ("config.json", b" " * (2 << 20), "config.json: has 2097152 bytes, at most 1048576 are read"),
    "colours": (
        "preprocessor_config.json",
        b'{"image_mean": "grey", "image_std": [1, 1, 1]}',
        "preprocessor_config.json states no mean and deviation of colours",
    ),
    "no_weights": ("model.safetensors", None, "cannot build depth_anything: "),
    "cut_weights": ("model.safetensors", b"\xff" * 50, "cannot build depth_anything: "),
}


@pytest.mark.parametrize("case", list(BROKEN))
def test_a_damaged_folder_is_named(case: str, tmp_path: Path):
    saved(DEPTH["relative"], tmp_path)
    name, content, message = BROKEN[case]
    (tmp_path / name).unlink(missing_ok=True)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        TransformersDepthNet(str(tmp_path))
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value) or case == "colours"


@pytest.mark.parametrize("deep", ['{"in": ' * 500 + "{}" + "}" * 500, "[" * 500 + "]" * 500])
def test_a_configuration_of_many_levels_is_refused(deep: str, tmp_path: Path):
    (tmp_path / "config.json").write_text(f'{{"model_type": "dpt", "in": {deep}}}')
    with pytest.raises(ConfigError, match="model: its configuration has more than 16 levels"):
        TransformersDepthNet(str(tmp_path), meaning="relative")


def test_weights_of_another_network_are_refused(tmp_path: Path):
    from safetensors.torch import load_file, save_file

    saved(DEPTH["relative"], tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {key: value for key, value in weights.items() if not key.startswith("head.conv3")}
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match=r"lacks 2 weights of DepthAnything\w+, such as head\.conv3\.bias"):
        TransformersDepthNet(str(tmp_path))
    save_file(
        {**weights, "head.conv3.bias": torch.zeros(7)}, tmp_path / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(ConfigError, match="cannot build depth_anything"):
        TransformersDepthNet(str(tmp_path))


def test_pickled_weights_are_not_read(tmp_path: Path):
    model = saved(DEPTH["relative"], tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="safetensors"):
        TransformersDepthNet(str(tmp_path))


@torch.no_grad()
@pytest.mark.parametrize(
    ("stated", "mean", "std"),
    [
        ({"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 3]}, (0.1, 0.2, 0.3), (1, 2, 3)),
        ({"do_normalize": False}, (0, 0, 0), (1, 1, 1)),
        ({"do_normalize": False, "do_rescale": False}, (0, 0, 0), (1 / 255,) * 3),
        ({"image_mean": 127.5, "image_std": [127.5], "rescale_factor": 1.0}, (0.5,) * 3, (0.5,) * 3),
    ],
)
def test_colours_are_those_that_the_folder_states(
    stated: dict[str, Any], mean: tuple[float, ...], std: tuple[float, ...]
):
    found = normalisation_of("dpt", stated)
    assert found.mean == pytest.approx(mean)
    assert found.std == pytest.approx(std)


# Lightning itself calls what jsonargparse deprecates, and advises on workers.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", ["TransformersDepthNet", pytest.param("BackboneDepthNet", marks=pytest.mark.slow)]
)
def test_a_configuration_trains_it_by_its_short_name(name: str, tmp_path: Path):
    write_sets(tmp_path / "prepared")
    folder = str(tmp_path / "net")
    if name == "TransformersDepthNet":
        saved(DEPTH["relative"], tmp_path / "net")
        arguments: dict[str, Any] = {"model": folder, "scale": 0.2, "mean": [0.4] * 3, "std": [0.3] * 3}
    else:
        saved(BACKBONES["dinov2"], tmp_path / "net", "AutoModel")
        arguments = {"backbone": folder, "width": 16}
    config = {
        "trainer": {"max_epochs": 1, "default_root_dir": str(tmp_path / "run"), "accelerator": "cpu"},
        "model": {
            "net": {"class_path": name, "init_args": arguments},
            "focal_canonical": 20.0,
            "terms": {"ssi": {"loss": "ScaleShiftInvariantLoss"}},
        },
        "data": {
            "root": str(tmp_path / "prepared"),
            "sources": {"web": {}, "kitti": {}},
            "batch_size": 4,
            "steps_per_epoch": 2,
            "workers": 0,
            "augment": {"height": 32, "width": 32},
        },
    }
    file = tmp_path / "mix.yaml"
    file.write_text(yaml.safe_dump(config))
    assert main(["check", str(file)]) == 0
    assert main(["fit", "--config", str(file), "--trainer.enable_progress_bar=false"]) == 0
    shutil.rmtree(tmp_path / "net")
    assert load_trained(tmp_path / "run" / "last.ckpt").net(images()).shape == (2, 1, *ODD)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["relative", "metric", "dpt", "glpn"])
def test_its_exported_graph_computes_the_same(name: str, tmp_path: Path):
    net = made(name).eval()
    trained = Trained(net, 100.0, True, *ODD, {}, (), net.spec)
    for one in export_network(trained, tmp_path, formats=["pt2", "onnx"]):
        assert one.error is not None
        assert one.error < 1e-4
