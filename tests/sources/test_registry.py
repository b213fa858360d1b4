import logging
import re
from pathlib import Path

import pytest

import depthmix.sources
from depthmix.cli import main
from depthmix.cli.catalogue import read_catalogue
from depthmix.cli.sources import CATALOGUE
from depthmix.errors import ConfigError
from depthmix.plug_ins import SOURCES
from depthmix.sources.registry import available, find, shipped
from docs import make_sources
from tests.light import import_footprint
from tests.plug_in import write_package

SHIPPED = sorted(name for name in depthmix.sources.__all__ if name not in ("Source", "SourceCard"))


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    def publish(**points: str) -> None:
        write_package(tmp_path, "my_package", "", SOURCES, points)
        monkeypatch.syspath_prepend(tmp_path)

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
    with pytest.raises(ConfigError, match=rf"known are {SHIPPED[0]}, {SHIPPED[1]}"):
        find("xyz")


def test_a_source_of_another_package_is_found(plugins):
    plugins(Foreign="depthmix.sources.web_stereo:WebStereo")
    assert find("Foreign") is depthmix.sources.WebStereo
    with pytest.raises(ConfigError, match=r"no source is called 'foreing'; did you mean Foreign"):
        find("foreing")


def test_the_list_says_which_package_a_source_comes_from(plugins, capsys):
    plugins(Foreign="depthmix.sources.web_stereo:WebStereo")
    assert main(["sources", "list"]) == 0
    assert re.search(r"Foreign .*\(package my-package\)", capsys.readouterr().out)


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
    assert re.search(rf"depthmix.sources: 'Broken' of package my-package: {message}", caplog.text)
    with pytest.raises(ConfigError, match=rf"'Broken' of package my-package: {message}"):
        find("Broken")


def test_a_plug_in_that_fails_while_it_is_imported_is_left_out(plugins, caplog, tmp_path, monkeypatch):
    (tmp_path / "plug_in_that_fails.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    plugins(Broken="plug_in_that_fails:Thing")
    assert list(available()) == SHIPPED
    assert "ZeroDivisionError" in caplog.text


def test_a_plug_in_cannot_take_a_shipped_name(plugins, caplog):
    plugins(WebStereo="depthmix.sources.planes:PlaneInstances")
    assert find("WebStereo") is depthmix.sources.WebStereo
    assert available()["WebStereo"] is depthmix.sources.WebStereo
    assert "the name is taken" in caplog.text


def test_the_shipped_tables_say_what_the_cards_say():
    stated = make_sources.rows()
    assert make_sources.FILES["table"].read_text() == make_sources.table(stated), "run docs/make_sources.py"
    assert make_sources.FILES["page"].read_text() == make_sources.page(stated), "run docs/make_sources.py"
    text = make_sources.FILES["readme"].read_text()
    assert make_sources.readme(stated, text) == text, "run docs/make_sources.py"
    assert read_catalogue(CATALOGUE).keys() == shipped().keys()


def test_no_two_sources_have_one_name_in_the_mix():
    names = [row["name"] for row in make_sources.rows()]
    assert len(set(names)) == len(names)


def test_no_source_can_download():
    network = "urllib|http|ftplib|socket|requests|fsspec|huggingface_hub"
    reach = re.compile(rf"^\s*(?:import|from) (?:{network})\b", re.MULTILINE)
    folder = Path(depthmix.sources.__file__).parent
    files = sorted(folder.glob("*.py"))
    assert len(files) > 60
    assert [file.name for file in files if reach.search(file.read_text(encoding="utf-8"))] == []


def test_importing_sources_stays_light():
    heavy = {"torch", "cv2", "kornia_rs", "PIL", "open3d", "lightning", "matplotlib", "skimage"}
    assert not heavy & import_footprint("depthmix.sources.registry")


def test_a_class_of_a_module_in_the_present_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))  # restores the path of modules afterwards
    (tmp_path / "my_towers.py").write_text(
        "from depthmix.sources import WebStereo\nclass Towers(WebStereo): pass\nnothing = 1\n"
    )
    assert find("my_towers:Towers").__name__ == "Towers"
    for name, reason in (
        ("my_towers:Tower", "my_towers.py: source: has no class 'Tower'"),
        ("no_such_module:Towers", "cannot be imported: No module named .*looked for in the present folder"),
        ("my_towers:nothing", "my_towers:nothing is no finished Source class"),
        (":", "cannot be imported: .*Empty module name"),
    ):
        with pytest.raises(ConfigError, match=reason):
            find(name)
