from importlib.resources import files

import pytest

from tests.browser.accessibility import GRAPHICS, TEXT, colours, contrast, problems

GOOD = """<!doctype html><html lang="en"><head><title>t</title></head><body><main><h1>a</h1>
<h2 id="x">b</h2><a href="#x">go</a><img src="data:," alt="a wall and a floor">
<label>name <input name="q"></label><table><tr><th scope="row">a</th><td>1</td></tr></table>
</main></body></html>"""

FAULTS = {
    'lang="en"': ("", "language"),
    "<h2": ("<h4", "is followed by"),
    "</h2>": ("</h2><h1>again</h1>", "2 <h1>"),
    'alt="a wall and a floor"': ("", "alternative text"),
    "<label>name ": ("<p>", "has no label"),
    ' scope="row"': ("", "has no scope"),
    'href="#x"': ('href="#y"', "not there"),
    ">go<": ("><", "without words"),
    "<h1>a</h1>": ("<h1 id=x>a</h1>", "given 2 times"),
    "<table>": ("<div class=wide></div><table>", "by keyboard"),
    "<input ": ("<input tabindex=3 ", "jumps the order"),
    "<main>": ("<main><svg></svg>", "neither named nor hidden"),
}


def test_a_good_page_has_no_problem():
    assert problems(GOOD) == []


@pytest.mark.parametrize("place", FAULTS)
def test_each_rule_finds_its_fault(place):
    instead, said = FAULTS[place]
    assert any(said in problem for problem in problems(GOOD.replace(place, instead, 1)))


def test_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#123456", "#123456") == 1


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_colours_can_be_told_apart_in_both_modes(mode):
    named = colours(files("depthmix.report").joinpath("style.css").read_text())[mode]
    weak = [pair for pair in TEXT if contrast(*(named[name] for name in pair)) < 4.5]
    weak += [pair for pair in GRAPHICS if contrast(*(named[name] for name in pair)) < 3]
    assert weak == []
