"""What training options ask of the networks: stages, gradient checkpointing, a head in float32."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from depthmix.models import LightDepthNet, LiteDepthNet
from depthmix.models.lite_encoder import STAGES

Net = LightDepthNet | LiteDepthNet

NETS: dict[str, Callable[[], Net]] = {
    "light": lambda: LightDepthNet(widths=(8, 16, 16), bottleneck=2),
    "lite": lambda: LiteDepthNet(pretrained=None, frozen=False),
    "lite, frozen": lambda: LiteDepthNet(pretrained=None),
}


@pytest.fixture(params=list(NETS))
def net(request: pytest.FixtureRequest) -> Net:
    torch.manual_seed(0)
    return NETS[request.param]()


def test_stages_are_the_encoder_from_the_image_inwards():
    light = LightDepthNet(widths=(8, 16, 24), bottleneck=1)
    assert light.stages[0] is light.stem
    assert [list(stage) for stage in light.stages[1:]] == [  # type: ignore[call-overload]
        [light.encoder[0], light.down[0]],
        [light.encoder[1], light.down[1]],
    ]
    for size in ("lite0", "lite1", "lite2"):
        lite = LiteDepthNet(pretrained=None, size=size)  # type: ignore[arg-type]
        assert len(lite.stages) == 1 + len(STAGES)
        assert [id(p) for stage in lite.stages for p in stage.parameters()] == [
            id(p) for p in lite.encoder.parameters()
        ]
        strides = [stage[0].stride for stage in lite.stages[1:]]  # type: ignore[index]
        assert strides == [stage.stride for stage in STAGES]


def test_asking_for_stages_adds_nothing_to_the_state(net: Net):
    before = list(net.state_dict())
    assert net.stages
    assert list(net.state_dict()) == before


def gradients(net: nn.Module, image: Tensor) -> dict[str, Tensor]:
    net.zero_grad()
    net(image).square().sum().backward()
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


class Kept:
    """Count the bytes that are kept for the backward pass."""

    def __init__(self) -> None:
        self.bytes = 0

    def pack(self, x: Tensor) -> Tensor:
        self.bytes += 0 if isinstance(x, nn.Parameter) else x.numel() * x.element_size()
        return x

    def of(self, net: nn.Module, image: Tensor) -> int:
        with torch.autograd.graph.saved_tensors_hooks(self.pack, lambda x: x):
            net(image)
        return self.bytes


def test_checkpointed_gradients_are_the_same_and_less_is_kept(net: Net):
    image = torch.rand(1, 3, 32, 32)
    before, kept = gradients(net, image), Kept().of(net, image)
    net.checkpoint_gradients()
    after = gradients(net, image)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert Kept().of(net, image) < 0.9 * kept
    assert "checkpoint" not in str(net.spec)  # an option of the training, not of the network


def test_under_autocast_the_prediction_is_not_rounded_to_bfloat16():
    net, image, seen = NETS["light"](), torch.rand(1, 3, 48, 64), []
    for part in (net.stem, net.head):
        part.register_forward_hook(lambda module, x, y: seen.append(y.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert net(image).dtype == torch.float32
    assert seen == [torch.bfloat16, torch.float32]
    assert net.double()(image.double()).dtype == torch.float64
