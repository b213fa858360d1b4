"""Which weights learn at which rate: stages, decay, and what is frozen."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from depthmix.errors import ConfigError
from depthmix.models import LightDepthNet, LiteDepthNet
from depthmix.optimiser import adamw, freeze, in_order_of, parameter_groups, regrouped
from depthmix.schedule import Rates

NETS: dict[str, Callable[[], nn.Module]] = {
    "light": LightDepthNet,
    "lite": lambda: LiteDepthNet(pretrained=None, frozen=False),
}


def stages(net: nn.Module) -> tuple[nn.Module, ...]:
    found = net.stages
    assert isinstance(found, tuple)
    return found


def factors(net: nn.Module, layer_decay: float) -> dict[str, float]:
    """Return the factor of each weight that learns, by name."""
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    groups = parameter_groups(net, layer_decay)
    found = [(names[id(p)], group.factor) for group in groups for p in group.parameters]
    assert len(dict(found)) == len(found)  # nobody learns twice
    return dict(found)


@pytest.mark.parametrize("name", NETS)
def test_every_weight_is_in_one_group_and_those_that_decay_come_first(name: str):
    net = NETS[name]()
    assert factors(net, 0.5).keys() == {name for name, _ in net.named_parameters()}
    groups = parameter_groups(net, 0.5)
    assert len(groups) <= 2 * (len(stages(net)) + 1)
    assert len({(group.decays, group.factor) for group in groups}) == len(groups)
    decays = [group.decays for group in groups]
    assert decays == sorted(decays, reverse=True)
    assert all((p.ndim > 1) == group.decays for group in groups for p in group.parameters)
    assert groups[0].factor == 1  # the rate in the log


def test_each_stage_learns_more_slowly_than_the_one_behind_it():
    found = factors(LightDepthNet(widths=(8, 16, 24), bottleneck=1), 0.5)
    assert {value for key, value in found.items() if key.startswith("stem.")} == {1 / 8}
    assert {value for key, value in found.items() if key.startswith(("encoder.0.", "down.0."))} == {1 / 4}
    assert {value for key, value in found.items() if key.startswith(("encoder.1.", "down.1."))} == {1 / 2}
    decoder = {value for key, value in found.items() if not key.startswith(("stem.", "encoder.", "down."))}
    assert decoder == {1}


def test_without_layer_decay_there_are_two_groups_in_the_order_of_the_network():
    net = LightDepthNet(widths=(8, 16), bottleneck=1)
    weights, others = parameter_groups(net)
    assert [id(p) for p in weights.parameters] == [id(p) for p in net.parameters() if p.ndim > 1]
    assert [id(p) for p in others.parameters] == [id(p) for p in net.parameters() if p.ndim <= 1]
    assert (weights.decays, others.decays, weights.factor, others.factor) == (True, False, 1.0, 1.0)


@pytest.mark.parametrize("name", NETS)
def test_frozen_stages_do_not_learn_and_are_in_eval_mode(name: str):
    net = NETS[name]()
    frozen = freeze(net, 2)
    assert [len(list(stage.parameters())) for stage in frozen] == [
        len(list(stage.parameters())) for stage in stages(net)[:2]
    ]
    inside = {id(p) for stage in frozen for p in stage.parameters()}
    assert all(p.requires_grad == (id(p) not in inside) for p in net.parameters())
    assert all(not module.training for stage in frozen for module in stage.modules())
    assert not inside & {id(p) for group in parameter_groups(net, 0.9) for p in group.parameters}


@pytest.mark.parametrize("count", [-1, 6])
def test_more_stages_than_there_are_is_an_error_that_says_how_many_there_are(count: int):
    with pytest.raises(ConfigError, match=rf"model.frozen_stages: must be from 0 to 4.*got {count}"):
        freeze(LightDepthNet(), count)


def test_a_network_without_stages_is_told_what_to_add():
    with pytest.raises(ConfigError, match=r"model.layer_decay: needs a network with stages.*`stages`"):
        parameter_groups(nn.Conv2d(3, 1, 1), 0.9)
    with pytest.raises(ConfigError, match=r"model.frozen_stages: needs a network with stages, and Conv2d"):
        freeze(nn.Conv2d(3, 1, 1), 1)
    assert freeze(nn.Conv2d(3, 1, 1), 0) == ()


def test_what_the_terms_learn_does_not_decay_and_nothing_at_all_is_an_error():
    learned = nn.Parameter(torch.zeros(3, 3))
    net = nn.Conv2d(3, 1, 1)
    found = adamw(parameter_groups(net), [learned], Rates(0.1, 0.2, 0.9), fused=False).param_groups
    assert [(group["weight_decay"], group["lr"]) for group in found] == [(0.2, 0.1), (0.0, 0.1), (0.0, 0.1)]
    assert len(adamw(parameter_groups(net), [], Rates(0.1, 0.2), fused=False).param_groups) == 2
    with pytest.raises(ConfigError, match=r"model.net: no weight of the network learns; freeze less"):
        adamw(parameter_groups(net.requires_grad_(False)), [learned], Rates(0.1, 0.2), fused=False)


def stepped(net: nn.Module) -> torch.optim.AdamW:
    optimizer = adamw(parameter_groups(net), [], Rates(0.1, 0.2), fused=False)
    net(torch.rand(1, 3, 32, 32)).square().sum().backward()
    optimizer.step()
    return optimizer


def test_moments_are_numbered_by_the_place_of_their_weight_and_load_as_before():
    net = LightDepthNet(widths=(8, 16), bottleneck=1)
    net.stem.requires_grad_(False)
    optimizer = stepped(net)
    state = in_order_of(net.parameters(), optimizer, optimizer.state_dict())
    assert list(state["state"]) != sorted(state["state"])  # the groups are not in the order of the network
    for number, parameter in enumerate(net.parameters()):
        if parameter.requires_grad:
            assert torch.equal(state["state"][number]["exp_avg"], optimizer.state[parameter]["exp_avg"])
        else:
            assert number not in state["state"]
    again = adamw(parameter_groups(net), [], Rates(0.1, 0.2), fused=False)
    again.load_state_dict(state)
    for parameter in optimizer.state:
        assert torch.equal(again.state[parameter]["exp_avg"], optimizer.state[parameter]["exp_avg"])
    assert in_order_of(net.parameters(), optimizer, state) is state
    assert in_order_of([], optimizer, optimizer.state_dict()) == optimizer.state_dict()


@pytest.mark.parametrize(("before", "after"), [(2, 0), (0, 2), (1, 2)])
def test_moments_stay_with_their_weights_when_others_learn_from_now_on(before: int, after: int):
    first, net = (LightDepthNet(widths=(8, 16, 16), bottleneck=1) for _ in range(2))
    net.load_state_dict(first.state_dict())
    freeze(first, before)
    old = stepped(first)
    state = in_order_of(first.parameters(), old, old.state_dict())
    freeze(net, after)
    groups = parameter_groups(net, 0.5)
    found = regrouped(net.parameters(), groups, [], state)
    new = adamw(groups, [], Rates(0.1, 0.2, 0.5), fused=False)
    new.load_state_dict(found)
    assert [group["weight_decay"] for group in new.param_groups] == [0.2 * group.decays for group in groups]
    assert [group["lr"] for group in new.param_groups] == [0.1 * group.factor for group in groups]
    for then, now in zip(first.parameters(), net.parameters(), strict=True):
        assert (now in new.state) == (then.requires_grad and now.requires_grad)
        if now in new.state:
            assert torch.equal(new.state[now]["exp_avg"], old.state[then]["exp_avg"])
    again = in_order_of(net.parameters(), new, new.state_dict())
    assert regrouped(net.parameters(), groups, [], again) is again
