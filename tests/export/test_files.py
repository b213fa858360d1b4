"""Exported files compute what the network computes, say what it means, and are refused where they differ."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from depthmix.cli import main
from depthmix.errors import ConfigError, DepthmixError
from depthmix.export import export_network, files
from depthmix.export.graph import describe
from depthmix.models import LightDepthNet
from depthmix.predict import predict_image
from depthmix.sample import Intrinsics
from depthmix.trained import Origin, Trained, load_trained

CARD = {"licence": "CC BY 4.0", "kind": "METRIC_DEPTH"}


def small(**changes) -> Trained:
    torch.manual_seed(0)
    net = LightDepthNet(widths=[8, 16], bottleneck=1)
    whole = Trained(net.eval(), 80.0, True, 32, 48, {"kitti": CARD}, spec=net.spec)
    return replace(whole, **changes)


@pytest.fixture(scope="module")
def photos() -> torch.Tensor:
    """Three real photos at the size of the network."""
    import cv2
    from skimage import data

    found = [cv2.resize(image()[..., :3], (48, 32)) for image in (data.cat, data.coffee, data.rocket)]
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).float() / 255


def test_a_pt2_file_runs_without_depthmix_on_batches_of_any_size(tmp_path, photos):
    trained = small()
    (one,) = export_network(trained, tmp_path / "new", formats=["pt2"])
    assert one.file == tmp_path / "new" / "model.pt2"
    assert one.error is not None
    assert one.error < 1e-6
    about = {"depthmix.json": ""}
    module = torch.export.load(one.file, extra_files=about).module()
    for count in (1, 3):
        expected = trained.net(photos[:count]).exp()
        torch.testing.assert_close(module(photos[:count]), expected, rtol=1e-5, atol=0)
    facts = json.loads(about["depthmix.json"])
    assert facts["meaning"].startswith("z in metres = canonical_depth * fx / focal_canonical")
    assert (facts["focal_canonical"], facts["height"], facts["width"]) == (80.0, 32, 48)
    assert facts["licences of the training data"] == ["CC BY 4.0"]


def test_an_onnx_file_runs_in_onnxruntime_and_says_what_it_gives(tmp_path, photos):
    onnxruntime = pytest.importorskip("onnxruntime")
    trained = small(metric=False)
    (one,) = export_network(trained, tmp_path, stem="mine", formats=["onnx"], size=(40, 56))
    assert one.file.name == "mine.onnx"
    assert one.error is not None
    assert one.error < 1e-5
    session = onnxruntime.InferenceSession(one.file, providers=["CPUExecutionProvider"])
    wider = torch.nn.functional.interpolate(photos, (40, 56))
    for count in (1, 3):
        (found,) = session.run(["canonical_depth"], {"image": wider[:count].numpy()})
        expected = trained.net(wider[:count]).exp().detach().numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    facts = json.loads(session.get_modelmeta().custom_metadata_map["depthmix"])
    assert facts["meaning"].endswith("no metres")
    assert facts["input"] == "image: RGB in [0, 1], float32 [batch, 3, 40, 56]"


def test_weights_come_back_with_all_that_is_known_about_them(tmp_path):
    trained = small()
    (one,) = export_network(trained, tmp_path, formats=["safetensors"])
    again = load_trained(one.file)
    assert replace(again, net=trained.net) == trained
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    camera = Intrinsics(60.0, 60.0, 24.5, 19.5)
    expected = predict_image(trained, image, camera)
    assert predict_image(again, image, camera).values.tolist() == expected.values.tolist()


def test_folders_of_the_machine_that_trained_are_not_published(tmp_path):
    recipe = {"data": {"root": "/home/me/sets", "sources": {"a": {"weight": 1.0, "path": "C:\\sets"}}}}
    trained = small(origin=Origin("0.1.0", recipe | {"model": {"heads": ["sky"]}}, {"a": "ff"}, {"a": 1.0}))
    for one in export_network(trained, tmp_path, formats=["pt2", "safetensors"]):
        content = one.file.read_bytes()
        assert b"/home/me" not in content
        assert b"C:" not in content
    kept = load_trained(tmp_path / "model.safetensors").origin
    bare = {"data": {"root": None, "sources": {"a": {"weight": 1.0, "path": None}}}}
    assert kept == replace(trained.origin, recipe=bare | {"model": {"heads": ["sky"]}})
    assert trained.origin.recipe["data"]["root"] == "/home/me/sets"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be read"),
        (b"\x08" + b"\0" * 7 + b'{"a": 1}', "cannot be read"),
        (b"\xff" * 64, "cannot be read"),
        (b"\x02" + b"\0" * 7 + b"{}", "is no checkpoint of depthmix"),
    ],
)
def test_files_that_hold_something_else_are_named(tmp_path, content, said):
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        load_trained(tmp_path / "x.safetensors")
    assert "x.safetensors" in str(caught.value)


def test_facts_that_would_fill_the_memory_are_not_read(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    facts = {"depthmix": "[" + "[]," * 400_000 + "[]]"}
    (tmp_path / "x.safetensors").write_bytes(safetensors.save({"a": torch.zeros(1)}, facts))
    with pytest.raises(ConfigError, match="states 1200004 bytes of facts, at most 1048576 are read"):
        load_trained(tmp_path / "x.safetensors")


def test_a_missing_file_says_how_it_is_written(tmp_path):
    with pytest.raises(ConfigError, match="no such checkpoint; write it with `depthmix export`"):
        load_trained(tmp_path / "x.safetensors")


def test_a_file_that_computes_something_else_is_not_kept(tmp_path, monkeypatch):
    class Other(nn.Module):
        def module(self):
            return lambda image: torch.full((len(image), 1, 32, 48), 5.0)

    monkeypatch.setattr(files.torch.export, "load", lambda file: Other())
    with pytest.raises(DepthmixError, match=r"model\.pt2: computes other numbers than the network: off by"):
        export_network(small(), tmp_path, formats=["pt2"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"formats": ["tflite"]}, "format: unknown format 'tflite'; use onnx, pt2, safetensors"),
        ({"formats": ["safetensors", "hf"]}, "{out}: format: both forms would write model.safetensors;"),
        ({"size": (8, 8)}, "size: the network does not take 8 x 8 pixels: `image` must be at least 32 x 32"),
    ],
)
def test_impossible_wishes_are_named(tmp_path, options, said):
    with pytest.raises(ConfigError) as caught:
        export_network(small(), tmp_path, **options)
    assert str(caught.value).startswith(said.format(out=tmp_path))
    assert not list(tmp_path.iterdir())


def test_weights_of_a_network_that_cannot_be_rebuilt_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="does not say how its network is built"):
        export_network(small(spec=None), tmp_path, formats=["safetensors"])


def test_the_command_names_the_files_and_how_far_they_are_off(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("depthmix.trained.load_trained", lambda path, trust: small())
    formats = ["--format", "onnx", "pt2", "safetensors"]
    assert main(["export", "runs/last.ckpt", "--out", str(tmp_path), *formats]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [Path(line.split(":")[0]).name for line in lines]
    assert names == ["last.onnx", "last.pt2", "last.safetensors"]
    for line in lines[:2]:
        assert re.search(r"differs from the network by at most \d\.\de[+-]\d\d in batches of 1 and 3$", line)
    assert lines[2].endswith("the weights")
    assert main(["export", "runs/last.ckpt", "--out", str(tmp_path), "--size", "32"]) == 2


@pytest.mark.parametrize("form", ["label", "image"])
def test_a_file_says_when_images_were_brought_to_one_focal_length(form):
    said = json.loads(describe(small(form=form), 32, 48))["input"]
    assert ("best at fx = focal_canonical" in said) == (form == "image")


@pytest.mark.parametrize("kind", ["onnx", "pt2"])
def test_a_network_that_torch_cannot_trace_is_one_line_and_no_file(tmp_path, kind):
    class Stubborn(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image[:, :1] * (2.0 if image.sum() > 0 else 1.0)  # a branch that follows from the pixels

    with pytest.raises(DepthmixError, match=r"cannot write a graph of .* can go as safetensors or hf"):
        export_network(small(net=Stubborn()), tmp_path, formats=[kind])
    assert list(tmp_path.iterdir()) == []
