"""Losses are known by name: those of depthmix, and those that installed packages announce."""

import logging
import re
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
import yaml

import depthmix.losses
from depthmix import plug_ins
from depthmix.cli import main
from depthmix.cli.catalogue import read_catalogue
from depthmix.cli.json_schema import config_schema
from depthmix.cli.losses import CATALOGUE
from depthmix.errors import ConfigError
from depthmix.losses.registry import available, plug_in, shipped
from depthmix.plug_ins import LOSSES
from depthmix.trained import read_checkpoint
from docs import make_losses
from tests.cli.test_check import checked, config, sets
from tests.plug_in import write_package

__all__ = ["sets"]

CODE = '''
from depthmix.losses import DepthLoss, LogL1Loss

class CornerLoss(LogL1Loss):
    """Look at corners; made for a test."""

class Unfinished(DepthLoss):
    pass
'''


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    def publish(**points: str) -> None:
        write_package(tmp_path, "my_losses", CODE, LOSSES, points)
        monkeypatch.syspath_prepend(tmp_path)

    yield publish
    sys.modules.pop("my_losses", None)


def test_every_exported_loss_is_known_by_its_class_name():
    exported = {name for name in depthmix.losses.__all__ if name.endswith("Loss")} - {"DepthLoss"}
    assert shipped().keys() == exported
    assert list(available()) == sorted(exported)


def test_the_shipped_table_says_what_classes_and_page_say():
    stated = make_losses.rows(make_losses.PAGE.read_text(encoding="utf-8"))
    assert make_losses.OUT.read_text(encoding="utf-8") == make_losses.table(stated), "run docs/make_losses.py"
    assert read_catalogue(CATALOGUE).keys() == shipped().keys()
    rows = read_catalogue(CATALOGUE)
    assert rows["GradientErrorLoss"]["options"] == (
        "scales = 6: levels of the pyramid, each half the size of the one before."
    )
    assert rows["SilogLoss"]["family"] == "metres"
    assert "`" not in rows["SilogLoss"]["formula"]
    assert all(row["what"].endswith(".") and row["formula"] for row in rows.values())


def test_the_list_has_a_line_for_each_loss_and_takes_filters(capsys):
    assert main(["losses", "list"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in shipped())
    assert "36 losses" in out
    assert main(["losses", "list", "--kind", "affine_disparity", "--family", "sky"]) == 0
    assert "2 losses" in capsys.readouterr().out
    assert main(["losses", "list", "--kind", "ORDINAL", "--family", "edges"]) == 2
    assert "no loss is like that" in capsys.readouterr().err


def test_the_card_of_a_loss_is_found_by_its_name_in_any_letters(capsys):
    assert main(["losses", "show", "siloglOSS"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("SilogLoss\n")
    assert "variance_focus = 0.85: 1 forgives a wrong scale wholly" in out
    assert main(["losses", "show", "SilogLos"]) == 2
    assert "no loss is called 'SilogLos'; did you mean 'SilogLoss'?" in capsys.readouterr().err
    assert main(["losses", "show"]) == 2


def test_a_loss_of_another_package_is_listed_with_its_package(plugins, capsys):
    plugins(CornerLoss="my_losses:CornerLoss")
    assert main(["losses", "list", "--family", "other packages"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "CornerLoss" in line]
    assert re.fullmatch(
        r"  CornerLoss +metric +camera +Look at corners; made for a test \(package my-losses\)", line
    )
    assert main(["losses", "show", "CornerLoss"]) == 0
    assert "tolerance = 0.05" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "Gone",
            "no_such_module:Gone",
            "'Gone' of package my-losses: cannot be imported: ModuleNotFoundError",
        ),
        ("Gone", "my_losses:Gone", "'Gone' of package my-losses: cannot be imported: AttributeError"),
        ("Path", "pathlib:Path", "'Path' of package my-losses: is no finished DepthLoss class"),
        ("Unfinished", "my_losses:Unfinished", "is no finished DepthLoss class"),
        ("Corners", "my_losses:CornerLoss", "the class is called CornerLoss: the entry point must be, too"),
    ],
)
def test_a_broken_plug_in_is_one_line_that_names_its_package(
    plugins, caplog, capsys, tmp_path, sets, name, value, message
):
    plugins(**{name: value})
    with caplog.at_level(logging.WARNING):
        assert available() == shipped()
    (said,) = caplog.messages
    assert message in said
    with pytest.raises(ConfigError, match="of package my-losses: "):
        plug_in(name)
    values = config(sets)
    values["model"]["terms"]["ssi"]["loss"] = name
    code, found = checked(tmp_path, capsys, values)
    assert code == 1
    ((_, told),) = found
    assert told.startswith("model.terms.ssi.loss: depthmix.losses: ")
    assert message in told
    assert main(["fit", "--config", str(tmp_path / "mix.yaml")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_plug_in_cannot_take_the_name_of_a_shipped_loss(plugins, caplog):
    plugins(SilogLoss="my_losses:CornerLoss")
    assert available()["SilogLoss"] is depthmix.losses.SilogLoss
    assert "'SilogLoss' of package my-losses is left out: the name is taken" in caplog.text
    assert plug_in("SilogLoss") is None


@pytest.mark.parametrize("path", ["CornerLoss", "my_losses.CornerLoss"])
def test_check_knows_an_announced_loss_by_name_and_by_path_without_trust(
    plugins, tmp_path, sets, capsys, path
):
    plugins(CornerLoss="my_losses:CornerLoss")
    values = config(sets)
    values["model"]["terms"]["corner"] = {"loss": {"class_path": path, "init_args": {"tolerance": 0.1}}}
    assert checked(tmp_path, capsys, values) == (0, [])
    values["model"]["terms"]["corner"] = {"loss": {"class_path": path, "init_args": {"tolerence": 0.1}}}
    ((_, told),) = checked(tmp_path, capsys, values)[1]
    assert "unknown option; did you mean 'tolerance'?" in told
    values["model"]["terms"]["corner"] = {"loss": "CornerLos"}
    ((_, told),) = checked(tmp_path, capsys, values)[1]
    assert told.endswith("did you mean 'CornerLoss'?")


def test_check_without_a_plug_in_of_that_name_stays_light(plugins, tmp_path, sets):
    plugins(CornerLoss="my_losses:CornerLoss")
    (tmp_path / "mix.yaml").write_text(yaml.safe_dump(config(sets)))
    code = "import sys; sys.path.insert(0, sys.argv[1]); from depthmix.cli import main; "
    code += "main(['check', sys.argv[2]]); print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, str(tmp_path), str(tmp_path / "mix.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[-2] == "False"


@pytest.mark.parametrize("where", ["file", "command_line"])
def test_an_announced_loss_trains_by_its_short_name(tmp_path, monkeypatch, sets, where):
    # Names of their own: once imported, a class is known to the parser for as long as the process lives.
    module, name = f"losses_of_{where}", f"{where.title().replace('_', '')}Loss"
    points = {name: f"{module}:{name}"}
    write_package(tmp_path, module, CODE.replace("CornerLoss", name), LOSSES, points)
    monkeypatch.syspath_prepend(tmp_path)
    values = config(sets)
    values["trainer"] = {"default_root_dir": str(tmp_path / "run"), "max_epochs": 1, "accelerator": "cpu"}
    values["data"] |= {"steps_per_epoch": 2, "batch_size": 2, "workers": 0}
    values["data"]["augment"] = {"height": 32, "width": 32}
    if where == "file":
        values["model"]["terms"]["metric"]["loss"] = name
    (tmp_path / "mix.yaml").write_text(yaml.safe_dump(values))
    more = [] if where == "file" else ["--model.terms.metric.loss", name]
    assert main(["fit", "--config", str(tmp_path / "mix.yaml"), *more]) == 0
    terms = read_checkpoint(tmp_path / "run" / "last.ckpt")["depthmix"]["origin"]["recipe"]["model"]["terms"]
    assert terms["metric"]["loss"]["class_path"] == f"{module}.{name}"


def test_an_editor_accepts_the_names_that_packages_announce(plugins):
    plugins(CornerLoss="my_losses:CornerLoss")
    choices = config_schema()["$defs"]["depthmix.losses.base.DepthLoss"]["anyOf"]
    assert {"enum": ["CornerLoss", "my_losses.CornerLoss"]} in choices


def test_a_configuration_is_checked_with_one_look_at_what_is_installed(tmp_path, capsys, monkeypatch, sets):
    """The records of hundreds of packages are read for it, and terms, options and names all ask."""
    looks = []

    def counted(group):
        looks.append(group)
        return entry_points(group=group)

    plug_ins._announced.cache_clear()
    monkeypatch.setattr(plug_ins, "entry_points", counted)
    assert checked(tmp_path, capsys, config(sets)) == (0, [])
    assert looks == [LOSSES]
