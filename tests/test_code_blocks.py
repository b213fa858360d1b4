"""Every block of code on the pages is executed, parsed or listed here with the reason why not."""

import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
import yaml

from depthmix.batch import Batch
from depthmix.cli import main
from depthmix.cli.check import config_problems
from depthmix.cli.protocol import read_protocol
from depthmix.metrics import DepthMetrics, EvaluationSet
from depthmix.plug_ins import LOSSES, SOURCES
from depthmix.prediction import Prediction
from depthmix.sample import LabelKind
from depthmix.sources import FolderSource
from tests.export.networks import real_photos, small
from tests.pages import BLOCKS, PAGES, ROOT, TEXTS, Block, commands, shell_lines
from tests.toy import random_batch

# Blocks that are not executed or parsed by this module: page, language, what is in it, and why.
ELSEWHERE = [
    ("sources/README.md", "python", "def make(root", "executed by tests/sources/test_readme.py"),
    ("sources/README.md", "python", "class YardScans", "executed by tests/sources/test_readme.py"),
    ("sources/README.md", "python", "class TestYardScans", "executed by tests/sources/test_readme.py"),
    ("docs/format.md", "python", "def read_shard", "executed by tests/store/test_format_page.py"),
    ("docs/format.md", "text", "index.json", "a listing of files, no code"),
]
LANGUAGES = {"sh", "python", "yaml", "toml", "text"}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
CHEAP = (
    "losses list",
    "losses show",
    "sources list",
    "sources show",
    "new-source",
    "test --protocol list",
    "init",
)


def listed(block: Block) -> bool:
    """Tell whether the table above speaks of a block."""
    return any(
        (block.page, block.language) == (page, language) and part in block.body
        for page, language, part, _ in ELSEWHERE
    )


def of(language: str, *, here: bool = True) -> list[Block]:
    """Return the blocks of a language that are checked in this module."""
    return [block for block in BLOCKS if block.language == language and not (here and listed(block))]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_says_its_language_and_has_a_way_to_be_checked(block):
    assert block.language in LANGUAGES, "give the fence a language: sh, python, yaml, toml or text"
    assert block.language != "text" or listed(block), "say in ELSEWHERE why this is not code"


def test_no_fence_is_overlooked():
    assert 2 * len(BLOCKS) == sum(len(re.findall(r"^ *```", text, re.MULTILINE)) for text in TEXTS.values())


def test_the_table_of_exceptions_speaks_of_blocks_and_tests_that_exist():
    for page, language, part, reason in ELSEWHERE:
        (block,) = [b for b in BLOCKS if (b.page, b.language) == (page, language) and part in b.body]
        named = re.search(r"tests/[\w/]+\.py", reason)
        assert not named or Path(block.page).name in (ROOT / named[0]).read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_lists_begin_after_a_blank_line_and_blocks_in_them_are_indented_by_four(page):
    # GitHub forgives both, the builder of the site makes one paragraph of them.
    before, inside = "", False
    for number, line in enumerate(TEXTS[page].splitlines(), 1):
        fence = re.match(r"( *)```", line)
        if fence:
            inside = not inside
            assert len(fence[1]) in (0, 4), f"{page.name}:{number}: indent the block by four or not at all"
        elif not inside and re.match(r"([-*]|\d+\.) ", line):
            begun = re.match(r"( {2,3}\S|[-*] |\d+\. |#|$)", before)
            assert begun, f"{page.name}:{number}: a list needs a blank line before it"
        before = line


@pytest.mark.parametrize("block", of("yaml"), ids=str)
def test_yaml_is_a_configuration_a_protocol_or_the_options_of_a_folder(block, tmp_path):
    (file := tmp_path / "shown.yaml").write_text(block.body)
    found = yaml.safe_load(block.body)
    if "reference" in found:
        assert read_protocol(file).name == found["name"]
    elif "images" in found:
        assert FolderSource(tmp_path, **found).name == found["name"]
    else:
        assert found.keys() <= {"seed_everything", "trainer", "model", "data"}
        assert config_problems(file, partial=True) == []


@pytest.mark.parametrize("block", of("toml"), ids=str)
def test_toml_is_an_entry_point_of_a_group_that_is_looked_up(block):
    assert tomllib.loads(block.body)["project"]["entry-points"].keys() <= {LOSSES, SOURCES}


def is_make(words: list[str]) -> bool:
    return set(words) <= TARGETS


def is_python(words: list[str]) -> bool:
    module, script = words[0] == "-m" and words[1] == "pytest", ROOT / words[0]
    return module or script.is_file()


def is_depthmix(words: list[str]) -> bool:
    return bool(words)  # tests/test_docs.py gives each of them to the real parser


SHELL: dict[str, Callable[[list[str]], bool]] = {
    "depthmix": is_depthmix,
    "make": is_make,
    "python": is_python,
    "srun": lambda words: words[0] == "depthmix",
}


@pytest.mark.parametrize("block", of("sh"), ids=str)
def test_every_line_of_shell_is_a_command_that_is_known(block):
    lines = shell_lines(block.body)
    assert lines or "#SBATCH" in block.body
    for line in lines:
        first, *words = shlex.split(line)
        assert first in SHELL, f"{block}: what is {first}? add it to SHELL with a check"
        assert SHELL[first](words), f"{block}: {line}"


def cheap() -> list[str]:
    """Return the commands that take no time and need nothing, with names filled in."""
    found = [line for line in commands() if line.removeprefix("depthmix ").startswith(CHEAP)]
    return [line for line in found if "NAME" not in line]


@pytest.mark.parametrize("line", cheap())
def test_cheap_commands_run(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(line)[1:]) == 0
    assert capsys.readouterr().out


def run_page(page: str, given: dict[str, object], tmp_path: Path, monkeypatch) -> dict[str, object]:
    """Execute all blocks of Python of a page, one after the other, in a folder of their own."""
    module = ModuleType(re.sub(r"\W", "_", page))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(tmp_path)
    module.__dict__.update(given)
    for block in [block for block in of("python") if block.page == page]:
        code = "\n" * block.line + block.body  # so that errors name the line of the page
        exec(compile(code, str(ROOT / page), "exec"), module.__dict__)
    return module.__dict__


def measured(seed: int) -> DepthMetrics:
    """Measures of a few toy images, as a validation leaves them."""
    metrics = DepthMetrics([EvaluationSet("rooms", "synthetic", "high", "METRIC_DEPTH")])
    batch = random_batch([LabelKind.METRIC_DEPTH] * 4)
    draw = torch.Generator().manual_seed(seed)
    noise = torch.randn(4, 1, *batch.image.shape[-2:], generator=draw) * 0.2
    metrics.update(Prediction(1 + noise, batch.intrinsics, 40.0), batch, 0)
    return metrics


PYTHON_PAGES = {"docs/metrics.md", "docs/adding.md", "docs/export.md"}


def test_every_page_with_python_is_executed():
    assert {block.page for block in of("python")} == PYTHON_PAGES


def test_the_python_of_the_page_on_measures_runs(tmp_path, monkeypatch):
    seeds = [measured(0), measured(1)]
    given = {"metrics": seeds[0], "our_seeds": seeds, "their_seeds": [measured(2), measured(3)]}
    found = run_page("docs/metrics.md", given, tmp_path, monkeypatch)
    assert "abs_rel_low" in found["rows"][0]
    assert found["low"] <= found["mean"] <= found["high"]


def test_the_loss_and_the_network_of_the_page_on_adding_do_what_it_says(tmp_path, monkeypatch):
    found = run_page("docs/adding.md", {}, tmp_path, monkeypatch)
    batch: Batch = random_batch([LabelKind.METRIC_DEPTH, LabelKind.AFFINE_DISPARITY])
    maps = found["TinyNet"](width=8, outputs=2)(batch.image / 255)
    assert maps.shape == (2, 2, *batch.image.shape[-2:])
    values = found["CubicLoss"]()(Prediction(maps[:, :1], batch.intrinsics, 40.0), batch)
    assert values[0] > 0
    assert values[1] == 0  # a relative label


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the exporters
def test_the_python_of_the_page_on_export_runs(tmp_path, monkeypatch):
    from depthmix.export import write_folder
    from depthmix.export.hub import HubDepthModel

    monkeypatch.chdir(tmp_path)
    write_folder(small(), tmp_path / "exported")
    assert main(shlex.split("export exported --format onnx pt2 --out files")) == 0
    for file in (tmp_path / "files").iterdir():
        file.rename(tmp_path / f"last{file.suffix}")
    photo = real_photos()[:1]
    cv2.imwrite("photo.jpg", (photo[0].permute(1, 2, 0).numpy()[..., ::-1] * 255).astype(np.uint8))
    pushed: list[str] = []
    monkeypatch.setattr(HubDepthModel, "push_to_hub", lambda _, name: pushed.append(name))
    found = run_page("docs/export.md", {"image": photo}, tmp_path, monkeypatch)
    assert "metres" in found["meaning"]
    assert found["maps"].shape == (1, 1, 32, 48)
    assert pushed == ["owner/name"]


# What makes the first hour a minute; nothing else is changed.
SHORT = {
    "demo": "--workers 0",
    "prepare": "--workers 0",
    "fit": "--trainer.accelerator cpu --data.workers 0 --data.steps_per_epoch 2",
    "test": "--trainer.accelerator cpu --data.workers 0",
    "export": "--size 64x96",
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Lightning's advice, and the exporters'
def test_the_first_hour_runs_as_the_page_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (options,) = [block for block in of("yaml") if block.page == "docs/index.md"]
    Path("rooms.yaml").write_text(options.body)
    lines = [line for block in of("sh") if block.page == "docs/index.md" for line in shell_lines(block.body)]
    assert lines[:2] == ["make setup", "depthmix doctor"]
    for line in lines[2:]:
        words = shlex.split(line)[1:]
        if words[0] == "predict":
            shutil.copy(next(Path("depthmix-demo/raw/web/train/imgs").iterdir()), "photo.jpg")
        assert main([*words, *shlex.split(SHORT.get(words[0], ""))]) == 0, line
    assert Path("runs/mine/report.html").is_file()
