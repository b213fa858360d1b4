"""A pruned network is smaller in fact, keeps what is strongest, and rebuilds from its spec."""

from dataclasses import replace

import pytest
import torch

from depthmix.cli import main
from depthmix.errors import ConfigError
from depthmix.export import export_network, measured_pruning, pruned
from depthmix.models import LightDepthNet, LiteDepthNet
from depthmix.models.blocks import Block
from depthmix.trained import load_trained
from tests.export.networks import real_photos, small


def wide(kind: type = LightDepthNet, **options):
    torch.manual_seed(0)
    net = kind(**({"widths": [16, 32], "bottleneck": 1} | options) if kind is LightDepthNet else options)
    for name, weight in net.named_parameters():
        if name.endswith("norm.weight"):
            torch.nn.init.normal_(weight)
    return small(net=net.eval(), spec=net.spec)


def blocks(net) -> list[Block]:
    return [module for module in net.modules() if isinstance(module, Block)]


@pytest.mark.parametrize(
    ("trained", "hidden"),
    [(wide(), [8, 16, 8]), (wide(LiteDepthNet, pretrained=None), [64, 64, 8, 24, 32])],
    ids=["light", "lite"],
)
def test_half_of_the_hidden_channels_are_gone_and_the_spec_says_so(tmp_path, trained, hidden):
    smaller = pruned(trained, 0.5)
    assert smaller.spec["init_args"]["hidden"] == hidden
    assert smaller.net.spec == smaller.spec  # what a training that goes on with it would save
    assert [block.first.out_channels for block in blocks(smaller.net)] == hidden
    counts = [sum(p.numel() for p in one.net.parameters()) for one in (trained, smaller)]
    assert counts[1] < counts[0]
    (one,) = export_network(smaller, tmp_path, formats=["safetensors"])
    again = load_trained(one.file)
    assert again.spec == smaller.spec
    assert torch.equal(again.net(real_photos()), smaller.net(real_photos()))


def test_channels_that_nothing_reads_go_first_and_nothing_changes():
    trained = wide()
    for block in blocks(trained.net):
        size = block.first.out_channels // 8
        for group in range(8):  # the last channel of each group is like the first one, and nothing reads it
            first, last = group * size, group * size + size - 1
            with torch.no_grad():
                block.second.weight[:, last] = 0
                if size == 2:  # the statistics of a group of equals stay as they are
                    block.first.weight[last] = block.first.weight[first]
    smaller = pruned(trained, 0.25)
    kept = [block.first.out_channels for block in blocks(smaller.net)]
    assert kept == [16, 24, 16]  # a quarter of two channels is none
    coarse = blocks(smaller.net)[1]
    assert (coarse.second.weight != 0).all()
    halved = pruned(trained, 0.5)
    fine = [blocks(one.net)[0].eval() for one in (trained, halved)]
    x = torch.randn(1, 16, 8, 8)
    torch.testing.assert_close(fine[1](x), fine[0](x), rtol=1e-5, atol=1e-5)


def test_the_network_that_was_given_stays_as_it_was():
    trained = wide()
    before = {name: value.clone() for name, value in trained.net.state_dict().items()}
    smaller = pruned(trained, 0.5)
    torch.nn.init.zeros_(smaller.net.head.weight)
    assert all(torch.equal(value, before[name]) for name, value in trained.net.state_dict().items())
    assert "hidden" not in trained.spec["init_args"]


@pytest.mark.parametrize(
    ("trained", "fraction", "said"),
    [
        (wide(), 0.0, r"prune: must be in \(0, 1\), got 0.0"),
        (wide(), float("nan"), r"must be in \(0, 1\), got nan"),
        (wide(), 0.1, "0.1 of the channels of a group is less than one"),
        (wide(widths=[8, 8]), 0.9, "less than one"),
        (replace(wide(), spec=None), 0.5, "has no blocks to prune; only LightDepthNet and LiteDepthNet"),
        (replace(wide(), spec={"class_path": "x.Net"}), 0.5, "has no blocks to prune"),
    ],
)
def test_what_cannot_be_pruned_is_said(trained, fraction, said):
    with pytest.raises(ConfigError, match=said):
        pruned(trained, fraction)


@pytest.mark.parametrize("hidden", [[8], [8, 8, 8, 8], [8, 12, 8], [8, 0, 8]])
def test_hidden_channels_that_do_not_fit_are_refused(hidden):
    with pytest.raises(ValueError, match="`hidden` must be positive multiples of 8, one for each block"):
        LightDepthNet(widths=[16, 32], bottleneck=1, hidden=hidden)


def test_what_pruning_costs_is_measured():
    trained, photos = wide(), real_photos()
    smaller, change = measured_pruning(trained, 0.5, photos)
    depths = [one.net(photos).exp().detach() for one in (trained, smaller)]
    assert change.abs_rel == pytest.approx(float((depths[1] / depths[0] - 1).abs().mean()), rel=1e-5)
    assert change.megabytes[1] < change.megabytes[0]
    assert change.photos == 3
    assert change.labels is None


def test_the_command_says_what_became_of_the_network(tmp_path, capsys, monkeypatch):
    import cv2
    from skimage import data

    monkeypatch.setattr("depthmix.trained.load_trained", lambda path, trust: wide())
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "a.png"), data.coffee())
    arguments = ["export", "last.ckpt", "--out", str(tmp_path), "--format", "hf", "--prune", "0.5"]
    assert main(arguments) == 2
    assert "--calibrate: --prune needs photos" in capsys.readouterr().err
    assert main([*arguments, "--calibrate", str(tmp_path / "photos")]) == 0
    said = capsys.readouterr().out
    assert "pruned by 0.5 and not trained anew:\n  1." in said
    assert "to the network before, on 1 photos, no alignment" in said
    assert "no figures in it: the network was pruned after its evaluation" in said
    assert load_trained(tmp_path).spec["init_args"]["hidden"] == [8, 16, 8]
