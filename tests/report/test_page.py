import re
import shutil
from base64 import b64decode, b64encode
from hashlib import sha256
from html.parser import HTMLParser
from importlib.resources import files
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from depthmix.plot import Panel, Scale
from depthmix.report import build_report
from depthmix.report.collect import collect
from depthmix.report.page import render
from depthmix.report.strips import Strip, encode_strips, sample_facts
from depthmix.report.tables import results_table
from depthmix.sample import LabelKind
from tests.plot.scenes import corner
from tests.report.make_run import HOSTILE, make_run

VOID = {"meta", "img", "br", "hr", "input", "link"}


class Reader(HTMLParser):
    """Collect tags, check nesting, and gather the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    return reader


@pytest.fixture(scope="module")
def page(tmp_path_factory, data_root) -> Reader:
    run = make_run(tmp_path_factory.mktemp("page") / "run <1> & co")
    return read(build_report(run, data_root).read_text(encoding="utf-8"))


def test_the_page_needs_no_network_and_runs_no_script_but_our_own(page):
    assert not {"link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    assert [attributes for tag, attributes in page.tags if tag == "script"] == [{}]
    [policy] = [value["content"] for tag, value in page.tags if "http-equiv" in value]
    ours = (files("depthmix.report") / "cloud.js").read_bytes()
    assert f"script-src 'sha256-{b64encode(sha256(ours).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:")
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "action", "data"):
            assert attributes.get(name, "#").startswith(("#", "data:image/"))
    style = " ".join(page.text)
    assert "url(" not in style
    assert "@import" not in style


def test_hostile_names_appear_as_text(page):
    assert HOSTILE in " ".join(page.text)
    assert any("run <1> & co" in text for text in page.text)
    assert any("rooms<x>" in text for text in page.text)
    assert "truncated <after> 3 bytes" in page.text


def test_every_picture_has_an_alternative_text_and_is_a_picture(page):
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    strips, audits, still, worst = 4 * 3 * 4, 3, 1, 2 * 4
    assert len(pictures) == strips + audits + still + worst
    assert all(len(picture["alt"]) > 10 for picture in pictures)
    starts = {b64decode(picture["src"].split(",")[1])[:3] for picture in pictures}
    assert starts == {b"\x89PN", b"\xff\xd8\xff"}


def test_the_page_says_what_the_mix_is(page):
    words = " ".join(page.text)
    for text in (
        "lidar",
        "HIGH",
        "metric depth",
        "40.0 %",
        "CC0 <b>bold</b>",
        "Nobody & Sons, 2026",
        "7.2% valid",
    ):
        assert text in words


def test_problems_stand_before_the_mix(page):
    words = " ".join(page.text)
    assert words.index("2 problems") < words.index("The mix")


def test_headings_and_anchors_fit(page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"][1:] for tag, attributes in page.tags if tag == "a"]
    assert set(links) <= set(ids)


def test_missing_parts_leave_a_sentence(tmp_path, data_root):
    words = " ".join(read(build_report(tmp_path, data_root).read_text()).text)
    for text in ("depthmix fit", "depthmix test", "No checkpoint at", "No metrics.csv", "No config.yaml"):
        assert text in words


def test_a_run_without_anything_wrong_says_so(tmp_path, data_root, run):
    (run / "metrics.csv").unlink()
    (run / "config.yaml").write_text("data: {sources: {web: {weight: 2}}}")
    assert "No problems found." in read(build_report(run, data_root).read_text()).text


def test_the_page_goes_where_it_is_told(run, data_root, tmp_path):
    target = tmp_path / "new" / "x.html"
    assert build_report(run, data_root, target) == target
    assert not (run / "report.html").exists()


def test_a_damaged_sample_is_a_problem_not_a_crash(run, data_root, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(data_root, copy)
    [shard] = (copy / "web").glob("*.h5")
    data = bytearray(shard.read_bytes())
    middle = slice(len(data) // 3, 2 * len(data) // 3)
    data[middle] = bytes(255 - byte for byte in data[middle])
    shard.write_bytes(bytes(data))
    page = render(collect(run, copy))
    assert "checksum" in page
    assert page.index("checksum") < page.index(">The mix<")


def test_pictures_shrink_until_they_fit_the_budget():
    noise = np.random.default_rng(0).integers(0, 255, (48, 640, 3), dtype=np.uint8)
    strips = [Strip("a", "b", [Panel(noise, "image"), Panel(noise, "metric depth", Scale(1, 2))])]

    def width(budget: int) -> int:
        [[_, label]] = encode_strips(strips, budget)
        with Image.open(BytesIO(b64decode(label.uri.split(",")[1]))) as picture:
            return picture.size[0]

    total = sum(len(picture.uri) for picture in encode_strips(strips)[0])
    assert width(10**9) == 320
    assert width(total) == 320
    assert width(total - 1) == 240
    assert width(1) == 64


def test_the_best_number_of_a_column_is_marked_with_a_sign(run, data_root):
    page = build_report(run, data_root).read_text()
    assert re.search(r"<strong>★ 0\.125</strong>", page)
    assert re.search(r"<strong>★ 0\.875</strong>", page)
    assert "★ 120.0" not in page


def test_measures_that_a_set_can_not_bear_are_dashes():
    rows = [
        {"set": "a", "alignment": "none", "abs_rel": None, "rmse": 2.0},
        {"set": "b", "alignment": "none", "abs_rel": 1.0},
    ]
    table = results_table(rows)
    assert table.heads == ["abs rel ↓", "rmse m ↓"]
    assert [cell.text for cell in table.blocks[0][1][0][1]] == ["-", "2.000"]


def test_facts_of_a_label_of_pairs_count_them():
    assert "3 pairs of points" in sample_facts(corner(LabelKind.ORDINAL))
    assert "label from" not in sample_facts(corner(LabelKind.ORDINAL))


def test_the_page_holds_what_issue_eight_asks_for(page):
    words = " ".join(page.text)
    for text in (
        "share of gradient",
        "75.0 %",
        "0.225\u20130.300",  # the interval below 0.25
        "worst image of each set",
        "unit check",
        "Fingerprints of the data",
        "Versions",
        "In space",
    ):
        assert text in words, text
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    contents = [attributes["href"][1:] for tag, attributes in page.tags if tag == "a"][1:]
    assert contents == ["results", "curves", "cloud", "evaluation", "mix", "training", "worst", "audit",
                        "skipped", "config"]  # fmt: skip
    assert set(contents) <= ids


def test_a_page_keeps_to_three_megabytes_whatever_the_configuration_holds(run, data_root):
    (run / "config.yaml").write_text("# " + "x" * 400_000 + "\ndata: {sources: {web: {weight: 1}}}\n")
    page = build_report(run, data_root).read_bytes()
    assert len(page) <= 3_000_000
    assert b"the rest stands in config.yaml" in page


def test_data_that_changed_since_the_training_is_a_problem(run, data_root):
    content = torch.load(run / "last.ckpt", weights_only=True)
    content["depthmix"]["origin"] = {"data": {"web": "0" * 64}, "mix": {}}
    torch.save(content, run / "last.ckpt")
    assert "web: the data here is not what the network was trained on" in " ".join(
        collect(run, data_root).problems
    )
