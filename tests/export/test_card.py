"""A model card says what is known, the strictest licence first, and obeys nothing that it shows."""

import json
import os
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.errors import ConfigError
from depthmix.export.card import escaped, model_card
from depthmix.export.figures import figures_beside
from depthmix.export.licences import by_strictness, hub_licence
from depthmix.sources.registry import described, shipped
from tests.export.networks import small

ROWS = [
    {"set": "ibims", "tier": "high", "alignment": "none", "count": 12, "abs_rel": 0.12345, "rmse": None},
    {"set": "ibims", "tier": "high", "alignment": "affine", "count": 12, "abs_rel": 0.1, "rmse": 0.5},
]


def head_of(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def section(card: str, title: str) -> str:
    return card.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_head_is_what_the_hub_reads(tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    (tmp_path / "README.md").write_text(model_card(small(), "net"))
    data = hub.ModelCard.load(tmp_path / "README.md").data
    assert (data.license, data.license_name) == ("other", "terms-of-the-training-data")
    assert (data.library_name, data.pipeline_tag) == ("depthmix", "depth-estimation")
    assert {"depthmix", "model_hub_mixin", "pytorch_model_hub_mixin"} <= set(data.tags)
    native = head_of(model_card(small(), "net", native=True))
    assert (native["library_name"], native["tags"][-1]) == ("transformers", "depthmix")


def test_meaning_mix_tiers_labels_prints_and_citations_are_filled_in():
    card = model_card(small(), "net")
    for fact in ("metric depth", "| m |", "80 pixels", "32 x 48", "exp(first map)"):
        assert fact in section(card, "What the numbers mean")
    assert "| kitti | 50.0% | HIGH | METRIC\\_DEPTH | m | lidar |" in section(card, "Training data")
    assert "| web | 25.0% | WEAK | AFFINE\\_DISPARITY |" in section(card, "Training data")
    assert "- kitti\\: ab12" in section(card, "Training data")
    assert section(card, "Citations").splitlines()[1:] == [
        "- Geiger et al.\\: Are we ready, CVPR 2012",
        "- Xian",
    ]
    assert "trained with depthmix 0.1.0 on 3 sources" in card
    relative = model_card(small(metric=False), "net")
    assert "no metres" in section(relative, "What the numbers mean")


def test_the_most_restrictive_licence_stands_first():
    lines = [line for line in section(model_card(small(), "net"), "Licences").splitlines() if line[:1] == "|"]
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| web", "| kitti", "| rooms"]


def test_every_shipped_source_has_a_rank_of_its_kind():
    cards = {name: described(name, source) for name, source in shipped().items()}
    order = [licence for _, licence in by_strictness(cards)]
    first = order.index("CC BY-NC-SA 4.0")
    assert all("CC BY-NC" in text or "non-commercial" in text for text in order[first : first + 3])
    for open_one in ("CC BY 4.0", "CC BY-SA 3.0"):
        assert order.index(open_one) > max(i for i, text in enumerate(order) if "research only" in text)
    assert order.index("that of the data") < order.index("Replica Research Terms") < first
    assert order[-1].startswith(("MIT", "Apache"))


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (["CC BY 4.0", "CC BY 4.0"], "cc-by-4.0"),
        (["CC BY-NC-SA 3.0"], "cc-by-nc-sa-3.0"),
        (["MIT"], "mit"),
        (["MIT", "CC BY 4.0"], None),
        (["CC BY 4.0, as commonly stated; not confirmed at its publisher"], None),
        ([], None),
        ([""], None),
    ],
)
def test_only_one_known_licence_of_all_sources_goes_into_the_head(licences, expected):
    sources = {str(number): {"licence": text} for number, text in enumerate(licences)}
    assert hub_licence(sources) == expected
    assert head_of(model_card(small(sources=sources), "net"))["license"] == (expected or "other")


def test_figures_are_a_table_or_the_reason_why_there_are_none():
    table = section(model_card(small(), "net", rows=ROWS), "Figures").splitlines()[1:]
    assert table[0] == "| set | alignment | images | abs_rel | rmse |"
    assert table[2] == "| ibims | none | 12 | 0.1235 | - |"
    assert table[3] == "| ibims | affine | 12 | 0.1 | 0.5 |"
    assert "None: it rained" in model_card(small(), "net", without="it rained")


def test_flatness_of_planes_stands_only_beside_what_it_must_be_read_with():
    bare = {"set": "rooms", "alignment": "none", "count": 3, "abs_rel": 0.1, "planarity_rms": 0.01}
    whole = bare | {"normal_angle": 20.0, "boundary_f1": 0.2}
    figures = [section(model_card(small(), "net", rows=[row]), "Figures") for row in (bare, whole)]
    assert ["planarity_rms" in text for text in figures] == [False, True]


HOSTILE = "x|<script>alert(1)</script>\n---\nlicense: mit\n---\n# [a](javascript:b) ![c](d) `e` \x1b[2J ${f}"


def test_nothing_that_is_shown_is_obeyed():
    facts = ("licence", "kind", "quality", "unit", "family", "citation")
    card = dict.fromkeys(facts, HOSTILE)
    whole = small(sources={HOSTILE: card})
    rows = [{"set": HOSTILE, "alignment": HOSTILE, "count": HOSTILE, "abs_rel": 0.1}]
    text = model_card(whole, HOSTILE, rows=rows)
    own = model_card(small(), "net", rows=ROWS)
    assert head_of(text) == head_of(own)
    assert "<script" not in text.replace("\\<script", "")
    assert "\x1b" not in text
    for mark in ("[a]", "![c]", "`e`", "${f}"):
        assert mark not in text
    titles = [line for line in text.splitlines() if line.startswith("#")]
    assert len(titles) == len([line for line in own.splitlines() if line.startswith("#")])


@settings(max_examples=40)
@given(st.text())
def test_escaped_text_is_one_line_that_holds_no_bare_mark(text):
    found = escaped(text)
    assert found.isprintable()
    bare = re.sub(r"\\[\\`*_\[\]<>#|~&!@:{}$^]", "", found)
    assert not set(bare) & set("\\`*_[]<>#|~&!@:{}$^")


def results(folder: Path, **changes: object) -> Path:
    (folder / "last.ckpt").write_bytes(b"")
    record = {"checkpoint": "runs/last.ckpt", "rows": ROWS, **changes}
    (folder / "test.json").write_text(json.dumps(record))
    return folder / "last.ckpt"


def test_figures_beside_a_checkpoint_are_those_of_this_checkpoint(tmp_path):
    checkpoint = results(tmp_path)
    assert figures_beside(checkpoint) == (ROWS, None)
    os.utime(checkpoint, (2e9, 2e9))
    assert (
        figures_beside(checkpoint)[1]
        == "test.json is older than the checkpoint: `depthmix test` writes it anew"
    )
    assert figures_beside(results(tmp_path, checkpoint="runs/best.ckpt"))[1] == "test.json is about best.ckpt"
    (tmp_path / "test.json").unlink()
    assert figures_beside(checkpoint)[1] == "no test.json beside the checkpoint: `depthmix test` writes it"


@pytest.mark.parametrize("changes", [{"rows": 3}, {"rows": [{}]}, {"rows": [1]}, {"rows": [{"set": 1}]}])
def test_a_table_of_something_else_is_named(tmp_path, changes):
    with pytest.raises(ConfigError, match=r"test\.json: is no table of `depthmix test`"):
        figures_beside(results(tmp_path, **changes))
