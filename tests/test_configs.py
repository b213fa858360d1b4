"""Every shipped recipe is a configuration without problems, and runs."""

from pathlib import Path

import pytest

from depthmix.cli.check import config_problems, recipe
from depthmix.errors import ConfigError

SHIPPED = sorted(Path(recipe("quality_aware")).parent.glob("*.yaml"))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_recipe_has_no_problem_of_form(file):
    assert [problem.located(file) for problem in config_problems(file, partial=True)] == []


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_recipe_says_in_its_first_line_what_it_does(file):
    assert file.read_text().startswith("# ")


def test_a_recipe_is_found_by_name():
    assert recipe("quality_aware") in SHIPPED


def test_a_file_of_the_same_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quality_aware").write_text("data: {}\n")
    assert recipe("quality_aware") == Path("quality_aware")


def test_a_recipe_that_does_not_exist_is_named():
    with pytest.raises(ConfigError, match="no_such: config: no such file, and no recipe of this name"):
        recipe("no_such")
