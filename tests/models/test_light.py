"""LightDepthNet: sizes, place, start and repeatability."""

import pytest
import torch

from depthmix.models import LightDepthNet


@pytest.mark.parametrize("size", [(32, 32), (48, 64), (33, 47), (50, 91)])
def test_any_size_comes_back_as_one_map_of_it(size: tuple[int, int]):
    y = LightDepthNet()(torch.rand(2, 3, *size))
    assert y.shape == (2, 1, *size)
    assert y.isfinite().all()


def test_starts_near_its_initial_depth_but_not_flat():
    torch.manual_seed(0)
    y = LightDepthNet(initial_depth=3.0)(torch.rand(4, 3, 48, 64))
    assert abs(y.mean().exp() - 3) < 0.5
    assert 0.005 < y.std() < 0.3


def test_stays_small():
    count = sum(p.numel() for p in LightDepthNet().parameters())
    assert 300_000 <= count <= 1_500_000


def test_rows_do_not_see_each_other():
    net, images = LightDepthNet(), torch.rand(3, 3, 32, 48)
    torch.testing.assert_close(net(images)[1:2], net(images[1:2]), rtol=1e-4, atol=1e-5)


def test_sees_where_a_pixel_lies():
    net, grey = LightDepthNet(), torch.full((1, 3, 64, 64), 0.5)
    before = net(grey)
    with torch.no_grad():
        net.stem.weight[:, 12:] = 0  # the two channels of places
    assert (net(grey) - before).abs().max() > 1e-3


def test_learns_a_vertical_ramp_within_a_few_steps():
    torch.manual_seed(0)
    net, images = LightDepthNet(), torch.rand(4, 3, 32, 32)
    ramp = torch.linspace(2, 0.5, 32)[None, None, :, None].expand(4, 1, 32, 32)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        loss = (net(images) - ramp).abs().mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.15


def test_every_parameter_gets_a_gradient():
    net = LightDepthNet()
    for module in net.modules():
        if isinstance(module, torch.nn.GroupNorm):  # half of them start at zero, and would close their branch
            torch.nn.init.ones_(module.weight)
    net(torch.rand(1, 3, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_spec_rebuilds_the_same_network():
    net = LightDepthNet(widths=(8, 16), bottleneck=1, initial_depth=2.0)
    assert net.spec["class_path"] == "depthmix.models.LightDepthNet"
    again = LightDepthNet(**net.spec["init_args"])
    again.load_state_dict(net.state_dict())
    images = torch.rand(1, 3, 40, 40)
    assert torch.equal(net(images), again(images))


def test_heads_are_further_channels_around_zero():
    torch.manual_seed(0)
    net, images = LightDepthNet(initial_depth=9.0, outputs=3), torch.rand(2, 3, 40, 48)
    y = net(images)
    assert y.shape == (2, 3, 40, 48)
    assert abs(y[:, 0].mean().exp() - 9) < 1
    assert 0 < y[:, 1:].abs().max() < 1
    assert LightDepthNet(**net.spec["init_args"])(images).shape == y.shape


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": (12, 16)}, "`widths` must be positive multiples of 8"),
        ({"widths": ()}, "`widths` must be"),
        ({"initial_depth": 0.0}, "`initial_depth` must be positive"),
        ({"outputs": 0}, "`outputs` must be at least 1, got 0"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        LightDepthNet(**arguments)


def test_too_small_an_image_is_named():
    with pytest.raises(ValueError, match="at least 32 x 32 pixels, got 31 x 64"):
        LightDepthNet()(torch.rand(1, 3, 31, 64))
