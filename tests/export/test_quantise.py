"""The 8-bit file keeps near the float network on real photos, holds its own figures, or is not kept."""

import json

import cv2
import numpy as np
import pytest
import torch

from depthmix.cli import main
from depthmix.errors import ConfigError, DepthmixError
from depthmix.export import Exported, export_int8, quantise
from depthmix.models import LightDepthNet
from depthmix.store import ShardSet
from tests.export.networks import real_photos, small
from tests.test_data import write_set

onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")


def trained():
    torch.manual_seed(0)
    net = LightDepthNet(widths=[32], bottleneck=1)
    for name, weight in net.named_parameters():
        if name.endswith("second_norm.weight"):
            torch.nn.init.ones_(weight)
    return small(net=net.eval(), spec=net.spec)


@pytest.fixture(scope="module")
def photos() -> torch.Tensor:
    from skimage import data

    more = [cv2.resize(image()[..., :3], (48, 32)) for image in (data.astronaut, data.chelsea, data.retina)]
    others = torch.from_numpy(np.stack(more)).permute(0, 3, 1, 2).float() / 255
    return torch.cat([real_photos(), others])


def test_an_int8_file_runs_on_any_batch_near_the_network_and_says_what_it_costs(tmp_path, photos):
    write_set(tmp_path / "kitti", "kitti", [(32, 40)] * 2)
    network = trained()
    shards = ShardSet(tmp_path / "kitti")
    found = export_int8(network, tmp_path / "out", photos, stem="net", shards=shards)
    assert found.file == tmp_path / "out" / "net.int8.onnx"
    session = onnxruntime.InferenceSession(found.file, providers=["CPUExecutionProvider"])
    for count in (1, 3):
        (depth,) = session.run(None, {"image": photos[:count].numpy()})
        expected = network.net(photos[:count]).exp().detach().numpy()
        assert 0 < np.abs(depth / expected - 1).mean() < 0.02
    change = found.change
    assert change.photos == 3
    assert change.megabytes[1] < change.megabytes[0]
    assert change.labels is not None
    assert change.labels[0] != change.labels[1]
    facts = json.loads(session.get_modelmeta().custom_metadata_map["depthmix"])
    assert facts["int8"] == change.lines()
    assert facts["meaning"].startswith("z in metres")
    types = {one.op_type for one in onnx.load(found.file).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= types


def test_a_file_that_is_far_from_the_network_is_not_kept(tmp_path, photos, monkeypatch):
    monkeypatch.setattr(quantise, "abs_rel_between", lambda *_: 0.2)
    whole = [Exported(tmp_path / "x", 0.0)]
    monkeypatch.setattr(quantise, "export_network", lambda *_, **__: whole)
    monkeypatch.setattr(quantise, "_quantised", lambda *_: b"")
    monkeypatch.setattr(quantise, "onnx_runner", lambda data: None)
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(
        DepthmixError, match=r"int8\.onnx: differs from the float network by 0\.200 on photos"
    ):
        export_int8(trained(), tmp_path / "out", photos)
    assert not (tmp_path / "out").exists()


def test_one_photo_cannot_calibrate_and_measure(tmp_path, photos):
    with pytest.raises(ConfigError, match="calibrate: needs at least 2 photos, got 1"):
        export_int8(trained(), tmp_path, photos[:1])


def test_the_command_asks_for_photos(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("depthmix.trained.load_trained", lambda path, trust: trained())
    assert main(["export", "last.ckpt", "--out", str(tmp_path), "--format", "onnx-int8"]) == 2
    assert "--calibrate: --format onnx-int8 needs photos; give a folder" in capsys.readouterr().err
