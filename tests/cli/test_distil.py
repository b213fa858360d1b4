"""The loop of teacher and student runs as docs/distil.md shows it."""

import shlex
from pathlib import Path

import pytest
import torch
import yaml

from depthmix.cli import main
from depthmix.cli.check import recipe
from depthmix.models import LightDepthNet
from depthmix.prepare import prepare
from depthmix.scenes import PRESETS, make_demo_data
from depthmix.scenes.sets import demo_sources
from depthmix.store import ShardSet
from depthmix.trained import load_trained
from tests.pages import ROOT, blocks, shell_lines

PAGE = (ROOT / "docs" / "distil.md").read_text(encoding="utf-8")
SMALL = {
    "fit": "--trainer.max_epochs 1 --trainer.accelerator cpu --trainer.log_every_n_steps 1 --data.workers 0 "
    "--data.steps_per_epoch 2 --data.batch_size 8 --data.augment.height 48 --data.augment.width 64",
    "prepare": "--workers 0",
}


def commands() -> list[list[str]]:
    lines = [line for block in blocks(PAGE) for line in shell_lines(block)]
    return [shlex.split(line)[1:] for line in lines if line.startswith("depthmix ")]


def test_the_student_of_the_recipe_has_the_size_that_the_recipe_states():
    text = recipe("distill").read_text()
    net = LightDepthNet(**yaml.safe_load(text)["model"]["net"]["init_args"])
    count = sum(parameter.numel() for parameter in net.parameters())
    assert f"# {count / 1e6:.2f} M parameters" in text
    assert count < 0.35e6


def test_the_page_shows_the_whole_loop():
    assert [arguments[0] for arguments in commands()][:5] == ["fit", "predict", "prepare", "check", "fit"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Labelled sets and photos, where the page says that they lie."""
    import cv2

    make_demo_data(tmp_path / "raw", preset=PRESETS["tiny"], seed=0, workers=0)
    for source in demo_sources(tmp_path / "raw", None):
        if source.name in ("web", "kitti", "middlebury", "planes"):
            prepare(source, tmp_path / "prepared" / source.name, size=(96, 128), workers=0)
    (tmp_path / "photos" / "images").mkdir(parents=True)
    for number, file in enumerate(sorted((tmp_path / "raw" / "eval").glob("*/images/*.png"))):
        cv2.imwrite(str(tmp_path / "photos" / "images" / f"{number}.jpg"), cv2.imread(str(file)))
    (tmp_path / "teacher.yaml").write_text(blocks(PAGE, "yaml")[0])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore"
)  # Lightning's advice, which the commands leave out, and ours on a short run
def test_the_commands_of_the_page_run(folder: Path) -> None:
    for arguments in commands():
        assert main([*arguments, *shlex.split(SMALL.get(arguments[0], ""))]) == 0, arguments
    labels = ShardSet(folder / "prepared" / "pseudo")
    assert len(labels) == 6
    assert labels.card["citation"] == "predictions of LiteDepthNet-2"
    assert all(sample.intrinsics is not None for sample in labels)
    for name in ("teacher", "student", "teacher-2", "student-2"):
        trained = load_trained(folder / "runs" / name / "last.ckpt")
        assert trained.metric
        assert ("pseudo" in trained.sources) == (name != "teacher")
    image = torch.rand(1, 3, 48, 64)
    assert torch.isfinite(trained.net(image)).all()
