"""A folder in the form of the hub gives back the network, to depthmix, to the hub and to transformers."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from depthmix.cli import main
from depthmix.errors import ConfigError
from depthmix.export import export_network
from depthmix.export.folder import is_native, write_folder
from depthmix.models import LiteDepthNet
from depthmix.predict import predict_image
from depthmix.trained import load_trained
from tests.export.networks import real_photos, small

hub = pytest.importorskip("depthmix.export.hub")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("hub") / "network"
    (one,) = export_network(small(), out, formats=["hf"])
    assert one.file == out
    return out


def copied(folder: Path, tmp_path: Path, **config: object) -> Path:
    new = Path(shutil.copytree(folder, tmp_path / "copy"))
    old = json.loads((new / "config.json").read_text())
    (new / "config.json").write_text(json.dumps({**old, "depthmix": {**old["depthmix"], **config}}))
    return new


def test_a_folder_holds_what_the_hub_expects(folder):
    names = ["README.md", "config.json", "model.safetensors", "preprocessor_config.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert json.loads((folder / "config.json").read_text())["model_type"] == "depthmix"


def test_a_folder_gives_back_all_facts_and_the_same_bits(folder):
    again, photos = load_trained(folder), real_photos()
    assert replace(again, net=None) == replace(small(), net=None)
    assert torch.equal(again.net(photos), small().net(photos))


def test_a_network_of_another_class_with_heads_comes_back(tmp_path):
    torch.manual_seed(1)
    net = LiteDepthNet(pretrained=None, outputs=2).eval()
    trained = small(net=net, spec=net.spec, heads=("sky",))
    write_folder(trained, tmp_path)
    again = load_trained(tmp_path)
    assert again.heads == ("sky",)
    assert torch.equal(again.net(real_photos()), net(real_photos()))


def test_the_hub_class_gives_the_same_maps_and_saves_them_again(folder, tmp_path):
    net, photos = hub.HubDepthModel.from_pretrained(folder), real_photos()
    assert not net.training
    assert torch.equal(net(photos), small().net(photos))
    net.save_pretrained(tmp_path / "again")
    for name in ("config.json", "model.safetensors", "preprocessor_config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
    assert (tmp_path / "again" / "README.md").is_file()
    assert torch.equal(hub.HubDepthModel.from_pretrained(tmp_path / "again")(photos), net(photos))


def test_a_name_on_the_hub_fetches_configuration_and_weights_alone(folder, monkeypatch):
    asked = {}

    def fetch(name: str, **options: object) -> str:
        asked.update(options, name=name)
        return str(folder)

    monkeypatch.setattr(hub, "snapshot_download", fetch)
    net = hub.HubDepthModel.from_pretrained("me/network", revision="v1", token=False)
    assert torch.equal(net(real_photos()), small().net(real_photos()))
    assert (asked["name"], asked["revision"], asked["token"]) == ("me/network", "v1", False)
    assert asked["allow_patterns"] == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("name", ["no such/name at all", "gone/for-ever"])
def test_a_name_that_is_not_there_is_one_error(name, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError, match="is no folder, and cannot be fetched from the hub"):
        hub.HubDepthModel.from_pretrained(name, local_files_only=True, cache_dir=tmp_path)


def test_the_pipeline_of_transformers_runs_it_without_remote_code(folder, recwarn):
    from PIL import Image
    from skimage import data
    from transformers import pipeline

    import depthmix.export.pipeline  # noqa: F401

    photo = data.coffee()
    found = pipeline("depth-estimation", model=str(folder))(Image.fromarray(photo))
    expected = predict_image(small(), photo).values
    np.testing.assert_allclose(found["predicted_depth"].numpy(), expected, rtol=1e-5)
    assert found["depth"].size == (photo.shape[1], photo.shape[0])
    assert "torchvision" not in sys.modules
    assert not recwarn.list


def test_options_of_transformers_that_would_be_ignored_are_refused(folder):
    from depthmix.export.pipeline import DepthmixForDepthEstimation

    with pytest.raises(ConfigError, match="device_map: is not supported"):
        DepthmixForDepthEstimation.from_pretrained(folder, device_map="auto")
    half = DepthmixForDepthEstimation.from_pretrained(folder, dtype=torch.bfloat16)
    assert half.net.head.weight.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"net": {"class_path": "evil_code.Net"}}, "names evil_code.Net, and importing it runs its code"),
        ({"net": {"class_path": "depthmix.cli.main.main"}}, "is no torch module"),
        (
            {"net": {"class_path": "depthmix.models.LightDepthNet", "init_args": {"widths": [8, 24]}}},
            "weights do not fit LightDepthNet",
        ),
        (
            {"net": {"class_path": "depthmix.models.LiteDepthNet", "init_args": {"pretrained": "imagenet"}}},
            "lets LiteDepthNet read other files",
        ),
        (
            {"net": {"class_path": "depthmix.models.Other", "init_args": {"backbone": "them/theirs"}}},
            "lets Other read other files",
        ),
        (
            {"net": {"class_path": "depthmix.models.LightDepthNet", "init_args": {"widths": [8, 80_000]}}},
            "would have more than",
        ),
        (
            {"net": {"class_path": "depthmix.models.LightDepthNet", "init_args": {"bottleneck": 10**9}}},
            "would have more than",
        ),
        ({"schema": "9.0"}, "pip install -U depthmix"),
        ({"height": "tall"}, "its facts are none"),
    ],
)
def test_a_folder_of_a_stranger_is_refused_in_every_way_to_load_it(folder, tmp_path, facts, said):
    from depthmix.export.pipeline import DepthmixForDepthEstimation

    place = copied(folder, tmp_path, **facts)
    for load in (
        load_trained,
        hub.HubDepthModel.from_pretrained,
        DepthmixForDepthEstimation.from_pretrained,
    ):
        with pytest.raises(ConfigError, match=said) as caught:
            load(place)
        assert str(place) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.json", b"{}", "config.json: depthmix: says nothing of depthmix"),
        ("config.json", b"[1]", "says nothing of depthmix"),
        ("config.json", b"{", "config.json: cannot be read"),
        ("config.json", b'{"depthmix": {}, "depthmix": {}}', "is given twice"),
        ("config.json", b'{"depthmix": NaN}', "NaN is no number"),
        ("config.json", b" " * (1 << 20) + b"{}", "states more than the 1048576 bytes of facts"),
        ("config.json", b'{"depthmix": 3}', "is no checkpoint of depthmix"),
        ("config.json", None, "holds no config.json; give a checkpoint, or a folder of `depthmix export"),
        ("model.safetensors", None, "no such checkpoint"),
        ("model.safetensors", b"junk", "cannot be read"),
    ],
)
def test_damaged_folders_are_named(folder, tmp_path, name, content, said):
    place = copied(folder, tmp_path)
    (place / name).unlink()
    if content is not None:
        (place / name).write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        load_trained(place)
    assert str(place) in str(caught.value)


def test_weights_of_a_pickle_are_not_read(folder, tmp_path):
    place = copied(folder, tmp_path)
    (place / "model.safetensors").rename(place / "pytorch_model.bin")
    for load in (load_trained, hub.HubDepthModel.from_pretrained):
        with pytest.raises(ConfigError, match="no such checkpoint"):
            load(place)


def test_a_network_that_cannot_be_rebuilt_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="does not say how its network is built"):
        write_folder(small(spec=None), tmp_path)


def test_networks_of_transformers_are_known_by_their_class():
    assert is_native(small(spec={"class_path": "depthmix.models.TransformersDepthNet"}))
    assert not is_native(small())
    assert not is_native(small(spec=None))


def test_a_network_of_transformers_writes_its_folder_itself_and_gets_a_card(tmp_path, monkeypatch):
    import depthmix.models

    asked = {}

    def write(net: object, folder: Path, *, size: tuple[int, int]) -> None:
        asked.update(net=net, folder=folder, size=size)

    monkeypatch.setattr(depthmix.models, "save_pretrained_folder", write, raising=False)
    trained = small(spec={"class_path": "depthmix.models.TransformersDepthNet", "init_args": {}})
    export_network(trained, tmp_path, formats=["hf"])
    assert asked == {"net": trained.net, "folder": tmp_path, "size": (32, 48)}
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert "library_name: transformers" in (tmp_path / "README.md").read_text()


def test_the_commands_write_a_folder_and_predict_with_it(folder, tmp_path, capsys):
    import cv2
    from skimage import data

    assert main(["export", str(folder), "--out", str(tmp_path / "again"), "--format", "hf"]) == 0
    said = capsys.readouterr().out
    assert "again: 0.0 MB, the weights with a model card, no figures in it: no test.json beside" in said
    weights = [(place / "model.safetensors").read_bytes() for place in (folder, tmp_path / "again")]
    assert weights[0] == weights[1]
    photo = str(tmp_path / "photo.png")
    cv2.imwrite(photo, data.coffee()[..., ::-1])
    arguments = ["--ckpt", str(folder), "--out", str(tmp_path / "seen"), "--format", "npy"]
    assert main(["predict", photo, *arguments]) == 0
    expected = predict_image(small(), data.coffee()).values
    np.testing.assert_array_equal(np.load(tmp_path / "seen" / "photo_depth.npy"), expected)
