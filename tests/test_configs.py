"""Every shipped recipe is a configuration without problems, and runs."""

from pathlib import Path

import pytest

from depthmix.cli.check import config_problems, recipe

SHIPPED = sorted(Path(recipe("quality_aware")).parent.glob("*.yaml"))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_recipe_has_no_problem_of_form(file):
    assert [problem.located(file) for problem in config_problems(file, partial=True)] == []


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_recipe_says_in_its_first_line_what_it_does(file):
    assert file.read_text().startswith("# ")


def test_a_recipe_is_found_by_name():
    assert recipe("quality_aware") in SHIPPED
    assert recipe("no_such") not in SHIPPED


def test_a_recipe_that_does_not_exist_is_named():
    (problem,) = config_problems(recipe("no_such"))
    assert "cannot be read" in problem.text
