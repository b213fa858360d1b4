"""Mixing ratios: one change at a time, and how far each moved the error."""

from typing import Any

import pytest

from depthmix.bench.compare import compare
from depthmix.bench.corpus import Corpus
from depthmix.bench.mix import sensitivity, text, variants
from depthmix.bench.recipes import Recipe, find_recipe
from depthmix.bench.training import make_data
from depthmix.cli import main
from tests.bench.conftest import TINY
from tests.bench.test_results import results_of, rows_of

BASE = Recipe("mine", {"data": {"sources": {"web": {"weight": 2.0}, "kitti": None}, "temperature": 0.5}})


def test_every_variant_changes_one_thing():
    found = {recipe.name: recipe.values["data"] for recipe in variants(BASE)}
    assert list(found) == [
        "mine", "web x 0.25", "web x 4", "kitti x 0.25", "kitti x 4", "temperature 1"
    ]  # fmt: skip
    assert found["mine"] == BASE.values["data"]
    assert found["web x 4"] == {"sources": {"web": {"weight": 8.0}, "kitti": None}, "temperature": 0.5}
    assert found["kitti x 0.25"]["sources"] == {"web": {"weight": 2.0}, "kitti": {"weight": 0.25}}
    assert found["temperature 1"] == {**BASE.values["data"], "temperature": 1.0}


def test_every_variant_of_the_default_is_a_mix_that_can_be_drawn(corpus: Corpus):
    for recipe in variants(find_recipe("quality_aware", corpus)):
        assert sum(make_data(recipe.values, TINY, 0, corpus.prepared).plan.weights.values()) > 0


def lines_of(**errors: float) -> list[dict[str, Any]]:
    names = {"base": "base", "less": "web x 0.25", "more": "web x 4"}
    rows = {names[name]: {0: rows_of([error, error], [error])} for name, error in errors.items()}
    results = results_of(**rows)
    return list(sensitivity("base", results, list(compare(results, ["abs_rel"]))))


def test_a_variant_that_is_worse_has_a_positive_difference_and_the_slope_is_that_of_a_doubling():
    lines = lines_of(base=1.0, less=0.5, more=2.5)
    by_name = {line["variant"]: line for line in lines if line["alignment"] == "none"}
    assert "difference" not in by_name["base"]
    assert (by_name["web x 4"]["difference"], by_name["web x 0.25"]["difference"]) == (1.5, -0.5)
    assert by_name["web"]["slope"] == pytest.approx(2.0 / 4)  # from a quarter to fourfold: four doublings


def test_a_source_of_which_one_end_is_missing_has_no_slope():
    assert not [line for line in lines_of(base=1.0, more=2.0) if "slope" in line]


def test_the_text_has_a_line_for_every_variant_and_every_source():
    shown = text(lines_of(base=1.0, less=0.5, more=2.5))
    assert "| base | 1.000 | 1.000 | 1.000 |" in shown
    assert "| web x 4 | 2.500 (+1.500, +1.500 to +1.500) |" in shown
    assert "| web | +0.5000 | +0.5000 | +0.5000 |" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--on", "test"], "--on: mixing ratios are chosen on val; the test block is for tables"),
        (["--recipes", "midas", "naive"], "--recipes: mix varies one recipe that is trained"),
        (["--recipes", "ramp"], "--recipes: mix varies one recipe that is trained"),
    ],
)
def test_what_cannot_be_varied_is_said(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
):
    assert main(["bench", "mix", *arguments]) == 2
    assert message in capsys.readouterr().err
