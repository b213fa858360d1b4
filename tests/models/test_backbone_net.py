"""BackboneDepthNet: a light decoder on the maps of any backbone."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from depthmix.errors import ConfigError
from depthmix.export import export_network
from depthmix.models import BackboneDepthNet
from depthmix.models.fusion import FusionDecoder, grids_of
from depthmix.trained import Trained, facts_of, load_trained
from tests.models.tiny import BACKBONES, DEPTH, lively, saved

pytest.importorskip("transformers")

ODD = (37, 50)


def made(name: str, **options: Any) -> BackboneDepthNet:
    torch.manual_seed(0)
    net = BackboneDepthNet(config=copy.deepcopy(BACKBONES[name]), **{"width": 16, **options})
    lively(net.backbone)
    return net


def images(size: tuple[int, int] = ODD, count: int = 2) -> torch.Tensor:
    coarse = torch.rand(count, 3, 6, 8, generator=torch.Generator().manual_seed(1))
    return functional.interpolate(coarse, size=size, mode="bicubic").clamp(0, 1)


@torch.no_grad()
@pytest.mark.parametrize("name", list(BACKBONES))
def test_its_maps_are_those_of_the_backbone_in_a_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # As published: the network that its pretraining saved, not the class that gives maps.
    model: Any = saved(BACKBONES[name], tmp_path, "AutoModel")
    net = BackboneDepthNet(str(tmp_path), width=16).eval()
    seen: list[Any] = []
    monkeypatch.setattr(net.decoder, "forward", lambda maps, image: seen.append(maps) or image[:, :1])
    image = images((97, 130))
    assert net(image).shape == (2, 1, 97, 130)
    size = (98, 126) if name == "dinov2" else (96, 128)
    pixels = functional.interpolate(image, size, mode="bilinear", antialias=True)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = (pixels - mean[:, None, None]) / std[:, None, None]
    (maps,) = seen
    assert len(maps) == 4
    found = model(pixels, output_hidden_states=True)
    if name in ("dinov2", "dinov3_vit"):  # the last map is what the model gives for its patches
        assert len({m.shape for m in maps}) == 1
        grid = maps[-1].shape[-2:]
        expected = found.last_hidden_state[:, -grid.numel() :].transpose(1, 2).unflatten(2, grid)
        torch.testing.assert_close(maps[-1], expected, rtol=1e-4, atol=1e-4)
        return
    assert [m.shape[-2:] for m in maps] == [(96 // s, 128 // s) for s in (4, 8, 16, 32)]
    # A normalisation that every backbone learns anew lies between; at first it has no weights.
    states = found.reshaped_hidden_states if name == "swin" else found.hidden_states
    expected = functional.layer_norm(states[-1].movedim(1, -1), states[-1].shape[1:2]).movedim(-1, 1)
    torch.testing.assert_close(maps[-1], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", list(BACKBONES))
def test_one_step_lowers_the_loss_and_every_weight_that_learns_has_a_gradient(name: str):
    net, image = made(name, outputs=2), images()
    for block in net.decoder.modules():
        if isinstance(block, nn.GroupNorm):  # half of them start at zero, and would close their branch
            nn.init.ones_(block.weight)
    y = net(image)
    assert y.shape == (2, 2, *ODD)
    before = (y - 2).square().mean()
    before.backward()
    learned = {key: p for key, p in net.named_parameters() if p.requires_grad}
    assert [key for key, p in learned.items() if p.grad is None] == []
    length = torch.stack([p.grad.norm() for p in learned.values() if p.grad is not None]).norm()
    torch.optim.SGD(net.parameters(), lr=min(1e-2, 0.1 / length.item())).step()
    assert (net(image) - 2).square().mean() < before


@pytest.mark.parametrize("name", list(BACKBONES))
def test_a_frozen_backbone_gets_no_gradient_and_drops_nothing(name: str):
    net = made(name, frozen=True).train()
    net(images()).square().sum().backward()
    assert all(p.grad is None for p in net.backbone.parameters())
    assert net.decoder.head.weight.grad is not None
    assert not any(m.training for m in net.backbone.modules())
    assert net.decoder.training


@pytest.mark.parametrize("name", list(BACKBONES))
def test_stages_hold_each_weight_of_the_backbone_once_stem_first(name: str):
    net = made(name)
    inside = [id(p) for stage in net.stages for p in stage.parameters()]
    assert len(inside) == len(set(inside))
    assert set(inside) == {id(p) for p in net.backbone.parameters()}
    assert len(net.stages) == 5  # the stem and four
    assert any(isinstance(m, nn.Conv2d) and m.in_channels == 3 for m in net.stages[0].modules())


def test_starts_near_its_initial_depth_but_not_flat():
    y = made("dinov2", initial_depth=3.0)(images())
    assert abs(y.mean().exp() - 3) < 0.5
    assert y.std() > 0.005


@pytest.mark.parametrize("name", list(BACKBONES))
def test_rows_do_not_see_each_other(name: str):
    net, image = made(name).eval(), images(count=3)
    with torch.no_grad():
        torch.testing.assert_close(net(image)[1:2], net(image[1:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["dinov2", "swin"])
def test_a_checkpoint_rebuilds_it_without_the_folder_and_meta_gives_its_shape(name: str, tmp_path: Path):
    net = made(name, outputs=2, frozen=True, side=48).eval()
    trained = Trained(net, 100.0, True, *ODD, {}, ("sky",), net.spec)
    state = {f"net.{key}": value for key, value in net.state_dict().items()}
    torch.save({"state_dict": state, "depthmix": facts_of(trained)}, tmp_path / "last.ckpt")
    again = load_trained(tmp_path / "last.ckpt")
    expected = net(images())
    assert torch.equal(again.net(images()), expected)
    (file,) = export_network(again, tmp_path, formats=["safetensors"])
    assert torch.equal(load_trained(file.file).net(images()), expected)
    with torch.device("meta"):
        assert BackboneDepthNet(**net.spec["init_args"])(torch.empty(2, 3, *ODD)).shape == expected.shape  # type: ignore[arg-type]


def test_without_pretrained_weights_only_the_configuration_is_read(tmp_path: Path):
    saved(BACKBONES["dinov2"], tmp_path, "AutoModel")
    (tmp_path / "model.safetensors").unlink()
    assert BackboneDepthNet(str(tmp_path), pretrained=False, width=16)(images()).shape == (2, 1, *ODD)
    with pytest.raises(ConfigError, match=r"cannot build dinov2: .*safetensors"):
        BackboneDepthNet(str(tmp_path))


def test_four_layers_at_equal_distances_are_read_the_last_among_them():
    for count, expected in ((2, [1, 2]), (6, [1, 3, 4, 6])):
        net = BackboneDepthNet(config={**BACKBONES["dinov2"], "num_hidden_layers": count}, width=16)
        assert net.config.out_indices == expected
        assert net(images()).shape == (2, 1, *ODD)


def test_recomputing_is_offered_where_transformers_offers_it():
    net, image = made("dinov3_vit").train(), images()
    weight = net.backbone.embeddings.patch_embeddings.weight
    torch.manual_seed(0)  # in training, DINOv3 moves its places at random
    (plain,) = torch.autograd.grad(net(image).sum(), weight)
    net.checkpoint_gradients()
    torch.manual_seed(0)
    (again,) = torch.autograd.grad(net(image).sum(), weight)
    torch.testing.assert_close(again, plain)
    with pytest.raises(ConfigError, match="cannot recompute the layers of ConvNextV2Backbone"):
        made("convnextv2").checkpoint_gradients()


def test_the_decoder_sees_where_a_cell_lies():
    decoder = FusionDecoder((8, 8), 16, 1, 5.0)
    y = decoder([torch.zeros(1, 8, 4, 4), torch.zeros(1, 8, 2, 2)], torch.full((1, 3, 16, 16), 0.5))
    assert y.shape == (1, 1, 16, 16)
    assert y[..., 6:10].std() > 1e-4


def test_maps_of_one_size_are_spread_and_others_keep_theirs():
    assert grids_of([(5, 7)] * 3) == [(20, 28), (10, 14), (5, 7)]
    assert grids_of([(8, 12), (4, 6)]) == [(8, 12), (4, 6)]
    assert grids_of([(3, 3)]) == [(3, 3)]


WRONG: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (DEPTH["relative"], {}, "depth_anything is no backbone of transformers; TransformersDepthNet takes it"),
    ({"model_type": "bert"}, {}, "backbone: bert is no backbone of transformers; dinov2, dinov3_vit"),
    (BACKBONES["dinov2"], {"backbone": "x"}, "backbone: give either `backbone` or `config`"),
    ({"model_type": "timm_backbone"}, {}, "needs timm, which brings torchvision"),
    (
        {
            "model_type": "hiera",
            "embed_dim": 8,
            "depths": [1, 1, 1, 1],
            "num_heads": [1, 1, 2, 2],
            "image_size": [64, 64],
        },
        {},
        "hiera does not run on images of 64 x 96 pixels",
    ),
]


@pytest.mark.parametrize(("config", "options", "message"), WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_what_is_no_backbone_is_named(config: dict[str, Any], options: dict[str, Any], message: str):
    with pytest.raises(ConfigError) as caught:
        BackboneDepthNet(config=copy.deepcopy(config), **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("option", "value"), [("width", 24), ("initial_depth", 0.0), ("outputs", 0)])
def test_a_number_out_of_range_is_named(option: str, value: Any):
    with pytest.raises(ValueError, match=f"`{option}` must be"):
        BackboneDepthNet(config=BACKBONES["dinov2"], **{option: value})


@pytest.mark.slow
@pytest.mark.parametrize("name", list(BACKBONES))
def test_its_exported_graph_computes_the_same(name: str, tmp_path: Path):
    net = made(name).eval()
    trained = Trained(net, 100.0, True, *ODD, {}, (), net.spec)
    for one in export_network(trained, tmp_path, formats=["pt2", "onnx"]):
        assert one.error is not None
        assert one.error < 1e-4
