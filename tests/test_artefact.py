"""A stored network says which version its facts have, and which training it comes from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from depthmix.artefact import SCHEMA
from depthmix.errors import ConfigError
from depthmix.models import LightDepthNet
from depthmix.trained import Origin, Trained, facts_of, load_trained

ORIGIN = Origin("0.1.0", {"model": {"learning_rate": 0.1}, "data": {}}, {"kitti": "ab12"}, {"kitti": 2.0})


def small(**changes: Any) -> Trained:
    torch.manual_seed(0)
    net = LightDepthNet(widths=(8,), bottleneck=0)
    card = {"licence": "MIT", "kind": "METRIC_DEPTH"}
    whole = Trained(net.eval(), 80.0, True, 32, 48, {"kitti": card}, spec=net.spec, origin=ORIGIN)
    return replace(whole, **changes)


def saved(folder: Path, without: str = "", **facts: Any) -> Path:
    trained = small()
    stated = {**facts_of(trained), **facts}
    stated.pop(without, None)
    weights = {f"net.{name}": value for name, value in trained.net.state_dict().items()}
    torch.save({"depthmix": stated, "state_dict": weights}, folder / "last.ckpt")
    return folder / "last.ckpt"


def test_all_facts_come_back(tmp_path: Path):
    again = load_trained(saved(tmp_path))
    assert replace(again, net=None) == replace(small(), net=None)


@pytest.mark.parametrize("schema", [1, "1.0"])
def test_the_oldest_files_load_without_an_origin(tmp_path: Path, schema: object):
    again = load_trained(saved(tmp_path, without="origin", schema=schema))
    assert again.origin == Origin()
    assert again.focal_canonical == 80.0


def test_facts_of_a_newer_minor_version_are_passed_over(tmp_path: Path):
    major, minor = map(int, SCHEMA.split("."))
    facts = {
        "schema": f"{major}.{minor + 7}",
        "colour": [1, 2],
        "origin": {"version": "3", "weather": "fine"},
    }
    assert load_trained(saved(tmp_path, **facts)).origin == Origin("3")


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("2.0", "reads schema 1; it was written by depthmix 7.1: pip install -U depthmix"),
        ("0.9", "reads schema 1; export it with depthmix 7.1, which wrote it, as ONNX, or train again"),
        (2, "written in schema '2', this version reads schema 1; give a file that depthmix wrote"),
        ("1", "written in schema '1', "),
        ("1.1.1", "written in schema '1.1.1', "),
        ("1.x", "written in schema '1.x', "),
        (None, "written in schema 'None', "),
        ([1], "written in schema '[1]', "),
    ],
)
def test_other_schemas_are_refused_with_the_next_step(tmp_path: Path, schema: object, said: str):
    with pytest.raises(ConfigError) as caught:
        load_trained(saved(tmp_path, schema=schema, version="7.1"))
    assert said in str(caught.value)
    assert "last.ckpt: schema: " in str(caught.value)


@pytest.mark.parametrize(
    "facts",
    [
        {"focal_canonical": float("nan")},
        {"focal_canonical": -1},
        {"height": 0},
        {"height": 1 << 20, "width": 1 << 20},
        {"sources": {"kitti": 3}},
        {"sources": [1]},
        {"heads": ["smell"]},
        {"heads": [[]]},
        {"origin": [1]},
        {"origin": {"mix": {"kitti": -1.0}}},
        {"origin": {"mix": {"kitti": "much"}}},
        {"origin": {"data": 5}},
        {"origin": {"recipe": 5}},
    ],
)
def test_facts_of_another_kind_are_one_error_that_names_the_file(tmp_path: Path, facts: dict[str, Any]):
    with pytest.raises(ConfigError, match=r"last\.ckpt: depthmix: its facts are none"):
        load_trained(saved(tmp_path, **facts))
