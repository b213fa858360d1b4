import csv
import logging
import re
from importlib.metadata import EntryPoint
from inspect import signature
from pathlib import Path

import pytest

import depthmix.sources
from depthmix.errors import ConfigError
from depthmix.sources import registry
from depthmix.sources.base import Source
from depthmix.sources.registry import available, find
from tests.sources.contract import import_footprint

TABLE = Path(__file__).parents[2] / "docs" / "sources.csv"
SHIPPED = [
    *("ExactScenes", "KittiLidar", "MiddleburyStereo", "MotorcycleStereo"),
    *("OakPairs", "PlaneInstances", "StereoPairs", "WebStereo"),
]


class _Package:
    name = "my-package"


@pytest.fixture
def plugins(monkeypatch):
    def publish(**values: str) -> None:
        points = [EntryPoint(name, value, registry.GROUP)._for(_Package()) for name, value in values.items()]
        monkeypatch.setattr(registry, "entry_points", lambda *, group: points)

    return publish


def test_every_shipped_source_is_found_by_its_class_name(plugins):
    plugins()
    assert list(available()) == SHIPPED
    assert all(find(name) is getattr(depthmix.sources, name) for name in SHIPPED)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("WebStero", "WebStereo"), ("kittilidar", "KittiLidar"), ("stereopair", "StereoPairs")],
)
def test_a_typo_gets_the_nearest_name(name, hint):
    with pytest.raises(ConfigError, match=rf"no source is called '{name}'; did you mean .*{hint}"):
        find(name)


def test_a_name_like_no_other_gets_the_list():
    with pytest.raises(ConfigError, match=r"known are ExactScenes, KittiLidar"):
        find("xyz")


def test_a_source_of_another_package_is_found(plugins):
    plugins(Foreign="depthmix.sources.web_stereo:WebStereo")
    assert find("Foreign") is depthmix.sources.WebStereo


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_module:Thing", "cannot be imported: ModuleNotFoundError"),
        ("depthmix.sources.web_stereo:Gone", "cannot be imported: AttributeError"),
        ("pathlib:Path", "is no finished Source class"),
        ("depthmix.sources.base:Source", "is no finished Source class"),
    ],
)
def test_a_broken_plug_in_is_left_out_with_a_warning_that_names_its_package(plugins, caplog, value, message):
    plugins(Broken=value)
    with caplog.at_level(logging.WARNING):
        assert list(available()) == SHIPPED
    assert re.search(rf"package my-package: its source 'Broken' {message}", caplog.text)


def test_a_plug_in_that_fails_while_it_is_imported_is_left_out(plugins, caplog, tmp_path, monkeypatch):
    (tmp_path / "plug_in_that_fails.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    plugins(Broken="plug_in_that_fails:Thing")
    assert list(available()) == SHIPPED
    assert "ZeroDivisionError" in caplog.text


def test_a_plug_in_cannot_take_a_shipped_name(plugins, caplog):
    plugins(WebStereo="depthmix.sources.planes:PlaneInstances")
    assert find("WebStereo") is depthmix.sources.WebStereo
    assert "the name is taken" in caplog.text


def _row(name: str, source: type[Source]) -> dict[str, str]:
    card = source.card
    return {
        "name": signature(source.__init__).parameters["name"].default,
        "class": name,
        "family": card.family,
        "quality": card.quality.name,
        "kind": card.kind.name,
        "unit": card.unit,
        "licence": card.licence,
        "citation": card.citation,
    }


def test_the_table_of_sources_says_what_the_cards_say(plugins):
    plugins()
    with TABLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row.pop("read on real files") for row in rows} <= {"yes", "no"}
    assert rows == [_row(name, source) for name, source in available().items()]


def test_importing_sources_stays_light():
    heavy = {"torch", "cv2", "kornia_rs", "PIL", "open3d", "lightning", "matplotlib", "skimage"}
    assert not heavy & import_footprint("depthmix.sources.registry")
