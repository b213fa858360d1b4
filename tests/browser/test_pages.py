"""The pages in a real browser; skipped where there is none."""

import json
import re

import pytest

from depthmix.report import build_comparison, build_report
from depthmix.view import build_view, items_of_run
from tests.browser.accessibility import problems
from tests.browser.chromium import BROWSER, REASON, visit
from tests.report.make_run import make_data, make_run

pytestmark = [pytest.mark.skipif(BROWSER is None, reason=REASON), pytest.mark.browser]

# Runs behind the page's own script and leaves what it finds in the document.
PROBE = """<script>
const canvas = document.querySelector("canvas"), paper = canvas.getContext("2d");
const look = () => canvas.toDataURL();
const pixels = paper.getImageData(0, 0, canvas.width, canvas.height).data;
const press = (key) => canvas.dispatchEvent(new KeyboardEvent("keydown", {key, cancelable: true}));
const first = look();
press("ArrowRight"); const turned = look();
press("0"); const back = look();
document.querySelector('input[value="label"]').click(); const label = look();
document.body.dataset.result = JSON.stringify({
  drawn: pixels.filter((value, i) => i % 4 === 3 && value).length,
  turned: first !== turned, back: first === back, label: first !== label,
  still: document.querySelector(".cloud img").hidden,
  ink: getComputedStyle(document.body).color,
});
</script>"""


def probed(page, probe, folder, *options):
    """Run a script of the test behind that of the page, and return what it left in the document."""
    text = re.sub(r"script-src [^\"]*", "script-src 'unsafe-inline'", page.read_text(), count=1)
    (folder / "probed.html").write_text(text.replace("</body>", probe + "</body>"))
    found = visit(folder / "probed.html", folder, *options)
    assert found.console == []
    [result] = re.findall(r'data-result="([^"]*)"', found.document)
    return json.loads(result.replace("&quot;", '"'))


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    root = tmp_path_factory.mktemp("browser")
    data, run, other = make_data(root / "data"), make_run(root / "run <1>"), make_run(root / "other")
    report = build_report(run, data, root / "report.html")
    comparison = build_comparison([run, other], data, root / "comparison.html")
    view = build_view(items_of_run(run, data, 12), root / "view.html")
    return {"report": report, "comparison": comparison, "view": view}


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_a_page_opens_without_complaint_or_request_and_can_be_used_by_everybody(pages, tmp_path, name):
    found = visit(pages[name], tmp_path)
    assert found.console == []
    assert found.requests == []
    assert problems(found.document) == []
    assert ("<canvas" in found.document) == (name == "report")


def test_the_scene_in_space_is_drawn_and_turns_by_keyboard_in_light_and_dark(pages, tmp_path):
    ink = []
    for dark in ("0", "1"):
        seen = probed(pages["report"], PROBE, tmp_path, f"--blink-settings=preferredColorScheme={dark}")
        assert seen["drawn"] > 1000
        assert (seen["turned"], seen["back"], seen["label"], seen["still"]) == (True, True, True, True)
        ink.append(seen["ink"])
    assert ink[0] != ink[1]


FILTER = """<script>
const set = (name, value) => {
  const select = document.querySelector(name);
  select.value = value;
  select.dispatchEvent(new Event("change", {bubbles: true}));
};
const shown = () => [...document.querySelectorAll(".item")].filter((item) => !item.hidden);
const all = shown().length;
set('[data-filter="source"]', "web"); const web = shown().map((item) => item.dataset.source);
set('[data-filter="source"]', ""); set("[data-order]", "score"); const first = shown()[0].dataset.score;
set("[data-scored]", "yes"); const scored = shown().length;
document.body.dataset.result = JSON.stringify({
  all, web, first, scored, said: document.querySelector("output").textContent,
});
</script>"""


def test_the_view_filters_by_source_and_worst_loss(pages, tmp_path):
    found = visit(pages["view"], tmp_path)
    assert (found.console, found.requests, problems(found.document)) == ([], [], [])
    assert " shown</output>" in found.document
    seen = probed(pages["view"], FILTER, tmp_path)
    assert seen["all"] > len(seen["web"]) > 0
    assert set(seen["web"]) == {"web"}
    assert (seen["first"], seen["scored"]) == ("4.5", 1)
    assert seen["said"] == f"1 of {seen['all']} shown"


def test_no_script_runs_but_the_one_of_the_page(pages, tmp_path):
    attack = '<script>document.title = "owned"</script><img src=x onerror=\'document.title="owned"\'>'
    (tmp_path / "attacked.html").write_text(
        pages["report"].read_text().replace("</main>", attack + "</main>")
    )
    found = visit(tmp_path / "attacked.html", tmp_path)
    assert "<title>owned" not in found.document
    assert any("Content Security Policy" in message for message in found.console)
