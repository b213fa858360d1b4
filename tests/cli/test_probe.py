"""`depthmix probe` prints what the probes found, as a table and as JSON."""

import json
from pathlib import Path

import pytest

from depthmix.augment import AugmentOptions
from depthmix.cli import main
from tests.small_run import mixed, small_task, train, write_sets
from tests.test_probe import net

pytestmark = [pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*")]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[Path, Path]:
    """A short training on three sources, and its prepared sets."""
    folder = tmp_path_factory.mktemp("run")
    root = write_sets(folder / "prepared")
    augment = AugmentOptions(height=32, width=32)
    data = mixed(root, steps_per_epoch=2, augment=augment, val_sources={})
    train(folder / "run", data, epochs=1, task=small_task(net()))
    return folder / "run", root


def test_the_table_names_every_probe_and_source(run, capsys):
    assert main(["probe", *map(str, run), "--folds", "3"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("19 images of 3 sources, 3 folds; by chance 33.3% would be told\n")
    for name in ("encoder", "encoder with random weights", "colour, contrast, JPEG blocks"):
        assert f"\n{name} " in out
    assert all(f"\n{source} " in out for source in ("web", "kitti", "planes"))


def test_json_holds_the_same_and_repeats_itself(run, capsys):
    command = ["probe", str(run[0] / "last.ckpt"), str(run[1]), "--images", "4", "--folds", "2", "--json"]
    told = []
    for _ in range(2):
        assert main([*command, "--sources", "web", "kitti"]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0] == told[1]
    assert told[0]["sources"] == {"web": 4, "kitti": 4}
    assert told[0]["chance"] == 0.5
    assert set(told[0]["probes"]) == {"encoder", "random", "statistics"}


@pytest.mark.parametrize(
    ("more", "code", "reason"),
    [
        (["--sources", "web"], 2, "--sources: there must be at least two sources, got web"),
        (["--sources", "web", "nowhere"], 1, "nowhere"),
        (["--images", "1"], 2, "--images: must be at least 2, got 1"),
        (["--folds", "30"], 2, "needs two sources and 30 folds of images, got 3 and 19 images"),
        (["--layer", "x"], 2, "--layer: LightDepthNet has no module 'x'"),
    ],
)
def test_what_cannot_be_probed_ends_in_one_line(run, capsys, more, code, reason):
    assert main(["probe", *map(str, run), *more]) == code
    said = capsys.readouterr().err
    assert reason in said
    assert said.count("\n") == 1
