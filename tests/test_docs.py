"""README and docs say what is true: commands parse, configurations pass, files exist, tables are complete."""

import argparse
import csv
import re
import shlex
from pathlib import Path

import pytest
import yaml

import depthmix.losses
import depthmix.models
from depthmix.cli.check import config_problems
from depthmix.cli.main import COMMANDS, TRAINING, _parser
from depthmix.cli.protocol import OPTION, read_protocol, shipped_protocols
from depthmix.cli.protocol import parser as protocol_parser
from depthmix.predict.files import ENDINGS
from depthmix.sources.registry import available
from tests.pages import FENCE, PAGES, ROOT, TEXTS, blocks, commands

README = TEXTS[ROOT / "README.md"]


def headings(page: Path) -> list[str]:
    """Return the headings of a page."""
    return re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)


def slug(heading: str) -> str:
    """Return the anchor of a heading, as GitHub and the site make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_pages_show_commands():
    assert len(commands()) >= 10


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_pages_parses(command, tmp_path):
    arguments = shlex.split(re.sub(r"\$\w+", "3", command))[1:]  # a variable of SLURM is a number
    if arguments[0] not in TRAINING:
        assert isinstance(_parser(arguments[0]).parse_args(arguments), argparse.Namespace)
        return
    if OPTION in arguments:
        chosen = protocol_parser().parse_args(arguments[1:])
        assert chosen.protocol.endswith(".yaml") or chosen.protocol in ("list", *shipped_protocols())
        return
    assert len(arguments) % 2
    given = dict(zip(arguments[1::2], arguments[2::2], strict=True))
    assert all(re.fullmatch(r"--(config|ckpt_path|(data|model|trainer)\.[\w.]+)", name) for name in given)
    # The parser of the trainings takes seconds to build. It compares options with the constructors, and so
    # does `check`.
    document: dict = {}
    for name, value in given.items():
        *sections, last = name.removeprefix("--").split(".")
        place = document if sections else {}
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = yaml.safe_load(value)
    (tmp_path / "given.yaml").write_text(yaml.safe_dump(document))
    assert config_problems(tmp_path / "given.yaml", partial=True) == []


def test_every_command_of_the_pages_exists_and_readme_names_the_main_ones():
    named = {command.split()[1] for command in commands()}
    assert named <= {*COMMANDS, *TRAINING}
    assert {"prepare", "check", "fit", "test", "predict", "report", "verify", "sources"} <= named


def test_the_page_of_networks_names_the_exported_ones():
    page = TEXTS[ROOT / "docs" / "networks.md"]
    exported = {name for name in depthmix.models.__all__ if name.endswith("Net")}
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == exported


def test_the_configuration_of_readme_takes_the_sets_that_its_commands_prepare():
    text, _ = blocks(README, "yaml")
    prepared = re.findall(r"^ *depthmix prepare (\w+) \S+ \S+ --size", README, re.MULTILINE)
    rows = csv.DictReader((ROOT / "docs" / "sources.csv").read_text().splitlines())
    names = {row["class"]: row["name"] for row in rows}
    assert sorted(yaml.safe_load(text)["data"]["sources"]) == sorted(names[source] for source in prepared)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_linked_file_and_heading_exists(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", TEXTS[page])):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in {slug(heading) for heading in headings(target)}, link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_named_in_code_exists(page):
    folders = "depthmix|sources|losses|notebooks|tests|docs|benchmarks"
    named = re.findall(rf"`((?:{folders})/[\w./]*)`", TEXTS[page])
    examples = {"losses/x.py"}  # a file that the reader is to write
    assert [name for name in named if name not in examples and not (ROOT / name).exists()] == []


def test_every_make_target_that_is_named_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    texts = [*TEXTS.values(), (ROOT / ".ci" / "run").read_text()]
    lines = [line for text in texts for line in re.findall(r"(?:^|`)make ([a-z -]+)", text, re.MULTILINE)]
    named = {word for line in lines for word in line.split()}
    assert {"demo", "test", "setup", "lint"} <= named <= targets


def test_the_table_of_sources_names_just_the_registered_ones():
    table = README.split("## Sources")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) == set(available())


def test_the_table_of_sources_has_each_in_its_family():
    table = README.split("## Sources")[1].split("\n\n")[0]
    for name, source in available().items():
        (line,) = [line for line in table.splitlines() if f"`{name}`" in line]
        assert line.startswith(f"| {source.card.family} |")


def test_the_table_of_losses_names_just_the_exported_ones():
    rows = re.findall(r"^\| `(\w+)` \|", TEXTS[ROOT / "losses" / "README.md"], re.MULTILINE)
    exported = {name for name in depthmix.losses.__all__ if name.endswith("Loss")} - {"DepthLoss"}
    assert set(rows) == exported


def test_the_table_of_losses_states_what_they_accept_and_need():
    kinds = r"METRIC_DEPTH|SCALED_DEPTH|AFFINE_DISPARITY|ORDINAL|NONE"
    for line in TEXTS[ROOT / "losses" / "README.md"].splitlines():
        found = re.match(r"\| `(\w+Loss)` \|", line)
        if not found:
            continue
        # Bars in formulas are escaped; the cells are loss, formula, accepts, needs, floors, paper.
        _, formula, accepts, needs, floors, _ = re.split(r"(?<!\\)\|", line)[1:-1]
        assert not re.search(r"(?<!\\)\*", formula), "escape it: the site takes stars for emphasis"
        loss = getattr(depthmix.losses, found[1])
        told = {kind.name for kind in loss.accepts} if "all" in accepts else set(re.findall(kinds, accepts))
        assert told == {kind.name for kind in loss.accepts}
        assert set(needs.replace(",", " ").split()) == set(loss.needs)
        assert float(floors) > 0


def test_the_page_on_predictions_lists_the_formats_and_the_files_of_each():
    rows = re.findall(r"^\| `(\w+)` \| (`.*?`) \|", TEXTS[ROOT / "docs" / "predict.md"], re.MULTILINE)
    told = {name: tuple(re.findall(r"`_([\w.]+)`", files)) for name, files in rows}
    assert told == ENDINGS


def test_the_page_on_evaluation_has_every_protocol_as_it_is(tmp_path):
    page = TEXTS[ROOT / "docs" / "evaluation.md"]
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| `(\w+)` \|.*\| (.*?) \| (.*?) \|$", page, re.MULTILINE)
    words = {"affine_depth": "affine z", "affine_inverse_depth": "affine 1/z"}
    expected = []
    for name, file in shipped_protocols().items():
        one = read_protocol(file)
        alignments = ", ".join(words.get(alignment, alignment) for alignment in one.alignments)
        space = one.resize.replace("_", " ")
        expected.append((name, str(one.split.images), one.source, space, alignments))
    assert sorted(rows) == expected
    (shown,) = blocks(page, "yaml")
    (tmp_path / "mine.yaml").write_text(shown)
    assert read_protocol(tmp_path / "mine.yaml").name == "my_rooms"


def test_the_top_level_folders_are_described():
    words = " ".join(TEXTS.values())
    assert all(f"`{folder}/" in words for folder in ("depthmix", "sources", "tests"))
