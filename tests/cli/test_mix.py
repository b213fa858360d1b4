"""`depthmix mix` says what a training will draw, as the plan draws it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from depthmix.cli import main
from depthmix.configured import data_arguments
from depthmix.data import MixData
from tests.test_data import root  # noqa: F401  (prepared sets of 9, 4 and 6 samples)

SOURCES = {"web": {"weight": 2.0}, "kitti": {"weight": 1.0}, "planes": {"weight": 0.5}}


@pytest.fixture
def shown(root: Path, tmp_path: Path, capsys):  # noqa: F811
    """Run the command on a configuration with these data options."""

    def run(*arguments: str, trainer: dict | None = None, **options):
        data = {"root": str(root), "sources": SOURCES, "batch_size": 7, "steps_per_epoch": 10} | options
        (tmp_path / "mix.yaml").write_text(
            yaml.safe_dump({"data": data, "trainer": trainer or {"max_epochs": 3}})
        )
        code = main(["mix", str(tmp_path / "mix.yaml"), *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_shares_epochs_and_repeats_are_printed(shown):
    code, out, _ = shown()
    assert code == 0
    assert out.splitlines()[0] == "30 steps of 7 samples"
    rows = {line.split()[0]: line.split() for line in out.splitlines()[2:]}
    assert rows["web"][1:6] == ["LOW", "9", "57.1%", "120", "13.33"]
    assert rows["kitti"][1:6] == ["HIGH", "4", "28.6%", "60", "15.00"]
    assert " ".join(rows["web"][6:]) == "13 or 14 times"
    assert " ".join(rows["kitti"][6:]) == "15 times"


def test_the_counts_are_those_of_the_batches(shown):
    options = {
        "temperature": 0.5,
        "least": {"HIGH": 2, "WEAK": 1},
        "curriculum": [
            {"step": 4, "weights": {"web": 0.5}},
            {"step": 9, "weights": {"web": 4.0, "planes": 0.1}},
        ],
    }
    _, out, _ = shown("--json", "--steps", "15", "--show", "15", **options)
    told = json.loads(out)
    drawn = [sample.split("/")[0] for batch in told["batches"] for sample in batch]
    assert len(drawn) == 15 * 7
    assert {name: row["drawn"] for name, row in told["sources"].items()} == {
        name: drawn.count(name) for name in SOURCES
    }
    for batch in told["batches"]:
        names = [sample.split("/")[0] for sample in batch]
        assert names.count("kitti") >= 2
        assert names.count("planes") >= 1


def test_batches_of_several_sizes_are_shown(shown):
    shapes = [{"height": 12, "width": 16, "weight": 3}, {"height": 16, "width": 12}]
    _, out, _ = shown("--show", "4", shapes=shapes)
    assert "images of 12x16: 75.0% of the batches" in out
    listed = [line.partition(":")[0] for line in out.splitlines() if line.startswith("batch ")]
    assert sorted(name.split()[2] for name in listed) == ["(12x16)"] * 3 + ["(16x12)"]
    told = json.loads(shown("--json", "--show", "4", shapes=shapes)[1])
    assert told["shapes"] == {"12x16": 0.75, "16x12": 0.25}
    assert sorted(told["batch_shapes"]) == ["12x16"] * 3 + ["16x12"]
    assert json.loads(shown("--json", "--show", "1")[1])["batch_shapes"] == []


def test_the_length_is_that_of_the_training(shown):
    assert shown(trainer={"max_steps": 8})[1].startswith("8 steps")
    code, _, err = shown(trainer={"deterministic": True})
    assert code == 2
    assert "--steps: the trainer section states no length; give --steps" in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"least": {"HIHG": 1}}, "data.least.HIHG: no such quality; one of WEAK, LOW, MIDDLE, HIGH"),
        ({"least": {"MIDDLE": 1}}, "least.MIDDLE: no source with a weight is of this tier"),
        ({"temperature": 2.0}, "data.temperature: must be in [0, 1], got 2.0"),
        ({"curriculum": [{"step": 0, "weights": {}}]}, "curriculum.0.step: must come after step 0, got 0"),
        ({"sources": {"webb": {}}}, "data.sources.webb: no such prepared set"),
        ({"curiculum": []}, "its data section cannot be read"),
    ],
)
def test_an_impossible_mix_is_one_line(shown, options, said):
    code, _, err = shown(**options)
    assert code == 2
    assert said in err
    assert len(err.splitlines()) == 1


def test_the_plan_is_that_of_the_training_and_needs_no_torch(shown, tmp_path):
    options = {
        "temperature": 0.5,
        "least": {"HIGH": 2},
        "curriculum": [{"step": 9, "weights": {"kitti": 3.0}}],
    }
    code, out, _ = shown("--json", "--show", "30", **options)
    assert code == 0
    values = yaml.safe_load((tmp_path / "mix.yaml").read_text())["data"]
    plan = MixData(**data_arguments(values, None)).plan
    batches = [[f"{slot.source}/{slot.index}" for slot in plan.batch(step)] for step in range(30)]
    assert json.loads(out)["batches"] == batches
    script = (
        "import sys; from depthmix.cli import main; main(sys.argv[1:]);"
        "print([name for name in ('torch', 'lightning', 'cv2') if name in sys.modules])"
    )
    command = [sys.executable, "-c", script, "mix", str(tmp_path / "mix.yaml")]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[-1] == "[]"
