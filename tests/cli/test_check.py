"""`depthmix check` names every problem at its place, and agrees with what a training would refuse."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from depthmix.cli import main
from depthmix.cli.check import config_problems, is_plain
from depthmix.cli.schema import read_document
from tests.data.middlebury import make as middlebury
from tests.data.web_stereo import make as web_stereo


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("check")
    middlebury.make(root / "stereo")
    web_stereo.make(root / "web")
    for source, name in (("MiddleburyStereo", "stereo"), ("WebStereo", "web")):
        arguments = [source, str(root / name), str(root / "sets"), "--name", name, "--workers", "0"]
        assert main(["prepare", *arguments]) == 0
    return root / "sets"


def config(sets: Path) -> dict:
    net = {"class_path": "LightDepthNet", "init_args": {"widths": [8, 8], "bottleneck": 1}}
    terms = {"ssi": {"loss": "ScaleShiftInvariantLoss"}, "metric": {"loss": "LogL1Loss"}}
    data = {"root": str(sets), "sources": {"stereo": {"weight": 1.0}, "web": {"weight": 1.0}}}
    return {"model": {"net": net, "terms": terms}, "data": data}


def put(values: dict, path: str, value: object) -> None:
    *folders, last = path.split(".")
    for name in folders:
        values = values.setdefault(name, {})
    values[last] = value


def checked(tmp_path: Path, capsys: pytest.CaptureFixture[str], values: dict, *more: str) -> tuple[int, list]:
    """Return the exit code and the problems as (line of the file, text)."""
    file = tmp_path / "mix.yaml"
    file.write_text(yaml.safe_dump(values))
    capsys.readouterr()
    code = main(["check", str(file), *more])
    lines = file.read_text().splitlines()
    found = [line.removeprefix(f"{file}:").split(":", 2) for line in capsys.readouterr().err.splitlines()]
    return code, [(lines[int(row) - 1].strip(), text.strip()) for row, _, text in found]


MISTAKES = [
    ("data.batch_size", 0, "batch_size: 0", "data.batch_size: must be at least 1, got 0"),
    ("data.augment.height", 0, "height: 0", "data.augment.height: must be a positive number of pixels"),
    (
        "data.augment",
        {"canonical_focal": 7.0},
        "canonical_focal: 7.0",
        "data.augment.canonical_focal: must be that of the model, 100, got 7; give `model.focal_canonical`",
    ),
    ("data.sources.web.weight", -3.0, "weight: -3.0", "data.sources.web.weight: must be positive and finite"),
    ("data.test_sources", {"x": "gone"}, "x: gone", "data.test_sources.x"),
    ("data.val_sources", {"x": "gone"}, "x: gone", "data.val_sources.x"),
    ("data.sources", {}, "sources: {}", "data.sources: the mix has no source"),
    ("data.least", {"HIHG": 1}, "HIHG: 1", "data.least.HIHG: no such quality"),
    ("data.least", {"HIGH": 1}, "HIGH: 1", "data.least.HIGH: no source with a weight is of this tier"),
    ("data.temperature", 3.0, "temperature: 3.0", "data.temperature: must be in [0, 1], got 3.0"),
    (
        "data.curriculum",
        [{"step": 0, "weights": {}}],
        "curriculum:",
        "curriculum.0.step: must come after step 0",
    ),
    ("data.shapes", [{"height": 0, "width": 8}], "shapes:", "shapes.0.height: must be a positive number"),
    ("data.root", "/nowhere", "root: /nowhere", "data.root: /nowhere: no such folder"),
    ("model.terms", {}, "terms: {}", "model.terms: there must be at least one term"),
    ("model.terms.ssi.weight", -1.0, "ssi:", "model.terms.ssi: weight: must be finite and not negative"),
    ("model.terms.ssi.tiers", ["hihg"], "ssi:", "did you mean 'high'?"),
    ("model.terms.ssi.sources", ["weeb"], "sources:", "model.terms.ssi.sources: 'weeb' is not one of"),
    ("model.terms.metric.sources", ["web"], "metric:", "LogL1Loss needs metric depth, but source 'web'"),
    ("model.terms.ssi", {"loss": "SilogLoss", "start": 9, "end": 3}, "ssi:", "`start` (9), got 3"),
    ("model.balance", "paretto", "balance: paretto", "model.balance: must be one of none, gradient, uncerta"),
    ("model.heads", ["skyy"], "- skyy", "model.heads[0]: must be one of uncertainty, sky, focal, got 'skyy'"),
    ("model.heads", ["sky"], "heads:", "model.heads: no term trains the head 'sky'; add a term"),
    ("model.net.init_args.outputs", 2, "net:", "model.net: gives 2 channels, but depth and heads [] are 1"),
    (
        "data.device_augment",
        {"cutmix": 2.0},
        "cutmix: 2.0",
        "data.device_augment.cutmix: must be in [0, 1], got 2.0",
    ),
    (
        "model.feature_alignment",
        {"teacher": "gone.ckpt"},
        "teacher: gone.ckpt",
        "gone.ckpt: no such checkpoint",
    ),
    (
        "model.feature_alignment",
        {"teacher": {"class_path": "depthmix.models.LihgtNet"}},
        "teacher:",
        "no network is called 'depthmix.models.LihgtNet'",
    ),
    (
        "model.feature_alignment",
        {
            "teacher": {"class_path": "LiteDepthNet", "init_args": {"pretrained": None}},
            "student_layer": "midle",
        },
        "student_layer: midle",
        "LightDepthNet has no module 'midle'",
    ),
    (
        "model.disagreement",
        {"floor": 2.0},
        "floor: 2.0",
        "model.disagreement.floor: must be above 0 and at most 1, got 2.0",
    ),
    ("model.terms.ssi.edges", {"pixel": 2}, "pixel: 2", "did you mean 'pixels'?"),
    ("model.terms.ssi.edges", {"step": -1.0}, "ssi:", "model.terms.ssi: edges.step: must be positive"),
    ("model.terms.ssi.edges", {"sources": ["wbe"]}, "sources:", "'wbe' is not one of"),
    ("model.patience", 0, "patience: 0", "model.patience: must be at least 1, got 0"),
    ("model.layer_decay", 1.5, "layer_decay: 1.5", "model.layer_decay: must be in (0, 1], got 1.5"),
    ("model.frozen_stages", 3, "frozen_stages: 3", "model.frozen_stages: must be from 0 to 2, the stages of"),
    ("model.ema", 1.0, "ema: 1.0", "model.ema: must be between 0 and 1, got 1.0"),
    ("model.compile", "yes please", "compile: yes please", "model.compile: must be true or false"),
    ("model.checkpoint_gradient", True, "checkpoint_gradient: true", "did you mean 'checkpoint_gradients'?"),
    ("model.focal_canonical", -1.0, "focal_canonical: -1.0", "model.focal_canonical: must be positive"),
    ("model.net.init_args.widths", [-8, 8], "net:", "model.net: `widths` must be positive multiples of 8"),
    (
        "model.terms.ssi.loss",
        {"class_path": "ScaleShiftInvariantLoss", "init_args": {"trim": 3.0}},
        "ssi:",
        "model.terms.ssi: `trim` must be in [0, 1), got 3.0",
    ),
]


def test_a_configuration_that_can_train_has_no_problems(tmp_path, sets, capsys):
    assert checked(tmp_path, capsys, config(sets)) == (0, [])
    values = config(sets)
    values["model"] |= {"layer_decay": 0.8, "frozen_stages": 1, "ema": 0.999}
    values["model"] |= {"compile": True, "checkpoint_gradients": True, "disagreement": {"tolerance": 3.0}}
    values["model"]["terms"]["ssi"]["edges"] = {"pixels": 1, "tiers": ["low"]}
    assert checked(tmp_path, capsys, values) == (0, [])


@pytest.mark.parametrize(("path", "value", "line", "said"), MISTAKES, ids=[m[0] for m in MISTAKES])
def test_a_value_that_cannot_work_is_one_problem_at_its_line(tmp_path, sets, capsys, path, value, line, said):
    values = config(sets)
    put(values, path, value)
    code, problems = checked(tmp_path, capsys, values)
    assert code == 1
    ((place, text),) = problems
    assert place == line
    assert said in text


@pytest.mark.parametrize("section", ["model", "data"])
def test_a_section_that_is_missing_is_a_problem(tmp_path, sets, capsys, section):
    values = config(sets)
    del values[section]
    code, ((_, text),) = checked(tmp_path, capsys, values)
    assert (code, text) == (1, f"{section}: this section is missing")


def test_all_sets_that_are_missing_are_named_at_once(tmp_path, sets, capsys):
    values = config(sets)
    values["data"]["sources"] |= {"kitti": {}, "oak": {}}
    _, problems = checked(tmp_path, capsys, values)
    assert [text.split(":")[0] for _, text in problems] == ["data.sources.kitti", "data.sources.oak"]
    assert all("depthmix prepare" in text for _, text in problems)


def test_the_root_can_be_given_as_for_fit(tmp_path, sets, capsys):
    values = config(sets)
    del values["data"]["root"]
    code, ((_, text),) = checked(tmp_path, capsys, values)
    assert (code, text) == (1, "data: lacks the option 'root'")
    assert checked(tmp_path, capsys, values, "--data.root", str(sets)) == (0, [])
    code, ((_, text),) = checked(tmp_path, capsys, values, "--data.root", str(tmp_path / "no"))
    assert code == 1
    assert f"{tmp_path / 'no'}: no such folder" in text


def test_a_shipped_recipe_fits_the_sets_that_it_names(tmp_path, sets, capsys):
    shutil.copytree(sets / "web", tmp_path / "web")
    assert main(["check", "quality_aware", "--data.root", str(tmp_path)]) == 1
    missing = {line.split(": ")[1] for line in capsys.readouterr().err.splitlines()}
    assert missing == {f"data.sources.{name}" for name in ("oak", "kitti", "middlebury", "planes")}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("quality_awar", "no such file, and no recipe of this name; did you mean 'quality_aware'?"),
        ("../configs/quality_aware", "no such file"),
        ("", "no such file"),
        (".", "is a folder"),
    ],
)
def test_what_is_neither_file_nor_recipe_is_a_usage_mistake(capsys, name, said):
    assert main(["check", name]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


FOREIGN = """
from pathlib import Path
from torch import nn
from depthmix.models import LightDepthNet
Path(__file__).with_name("ran").touch()
class Net(LightDepthNet):
    def __init__(self, widths: list[int]) -> None:
        super().__init__(widths=tuple(widths), bottleneck=1)
"""


def test_a_class_of_another_package_is_imported_on_trust_only(tmp_path, sets, capsys, monkeypatch):
    (tmp_path / "foreign_package.py").write_text(FOREIGN)
    monkeypatch.syspath_prepend(tmp_path)
    values = config(sets)
    values["model"]["net"] = {"class_path": "foreign_package.Net", "init_args": {"widths": [8, 8]}}
    code, ((place, text),) = checked(tmp_path, capsys, values)
    assert (code, place) == (1, "class_path: foreign_package.Net")
    assert "'foreign_package.Net' is no part of depthmix and was not imported" in text
    assert "say --trust" in text
    assert not (tmp_path / "ran").exists()
    assert checked(tmp_path, capsys, values, "--trust") == (0, [])
    assert (tmp_path / "ran").exists()
    values["model"]["net"]["init_args"] = {"width": 3}
    code, problems = checked(tmp_path, capsys, values, "--trust")
    assert (code, len(problems)) == (1, 2)


def test_check_and_fit_find_a_class_in_the_present_folder_alike(tmp_path, sets, capsys, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])  # restores it afterwards
    (here := tmp_path / "here").mkdir()
    (here / "mine_here.py").write_text(
        "from depthmix.losses import LogL1Loss\nclass MineLoss(LogL1Loss): pass\n"
    )
    values = config(sets)
    values["model"]["terms"]["metric"]["loss"] = {"class_path": "mine_here.MineLoss"}
    values["trainer"] = {
        "default_root_dir": str(tmp_path / "run"),
        "fast_dev_run": True,
        "accelerator": "cpu",
    }
    values["data"] |= {"workers": 0, "batch_size": 2, "augment": {"height": 32, "width": 32}}
    monkeypatch.chdir(tmp_path)
    code, ((line, text),) = checked(tmp_path, capsys, values, "--trust")
    assert (code, line) == (1, "class_path: mine_here.MineLoss")
    assert text == (
        "model.terms.metric.loss: mine_here: cannot be imported: No module named 'mine_here'; looked for in "
        f"the present folder, {tmp_path}, in those of PYTHONPATH and among the installed packages: go to its "
        "folder, or say `export PYTHONPATH=FOLDER`"
    )
    assert main(["fit", "--config", "mix.yaml"]) == 2
    assert text in capsys.readouterr().err
    monkeypatch.chdir(here)
    assert checked(tmp_path, capsys, values, "--trust") == (0, [])
    assert main(["fit", "--config", str(tmp_path / "mix.yaml")]) == 0


def test_fit_finds_a_class_in_the_present_folder_that_only_the_command_line_names(
    tmp_path, sets, monkeypatch
):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    Path("named_here.py").write_text(
        "from depthmix.losses import LogL1Loss\nclass NamedLoss(LogL1Loss): pass\n"
    )
    values = config(sets)
    values["trainer"] = {
        "default_root_dir": str(tmp_path / "run"),
        "fast_dev_run": True,
        "accelerator": "cpu",
    }
    values["data"] |= {"workers": 0, "batch_size": 2, "augment": {"height": 32, "width": 32}}
    Path("mix.yaml").write_text(yaml.safe_dump(values))
    named = ["--model.terms.metric.loss", "named_here.NamedLoss"]
    assert main(["fit", "--config", "mix.yaml", *named]) == 0


@pytest.mark.parametrize(
    ("code", "path", "said"),
    [
        (
            "import no_such_thing",
            "broken_a.Loss",
            "broken_a: cannot be imported: ModuleNotFoundError: No module",
        ),
        (
            "def :",
            "broken_b.Loss",
            "broken_b: cannot be imported: SyntaxError: invalid syntax (broken_b.py, line 1)",
        ),
        ("1 / 0", "broken_c.Loss", "broken_c: cannot be imported: ZeroDivisionError"),
        ("", "broken_d.Loss", "no DepthLoss is called 'broken_d.Loss' in "),
    ],
)
def test_a_module_that_does_not_import_says_why(tmp_path, sets, capsys, monkeypatch, code, path, said):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"{path.partition('.')[0]}.py").write_text(code)
    values = config(sets)
    values["model"]["terms"]["ssi"]["loss"] = path
    ((_, text),) = checked(tmp_path, capsys, values, "--trust")[1]
    assert text.startswith(f"model.terms.ssi.loss: {said}")
    assert "PYTHONPATH" not in text


def test_a_class_that_cannot_be_imported_is_named_wherever_it_stands(tmp_path, sets, capsys):
    values = config(sets)
    values["trainer"] = {"callbacks": [{"class_path": "no_such_package.Callback"}]}
    values["model"]["feature_alignment"] = {"teacher": {"class_path": "no_such_package.Net"}}
    found = checked(tmp_path, capsys, values, "--trust")[1]
    assert [text.partition(": cannot")[0] for _, text in found] == [
        "model.feature_alignment.teacher: no_such_package",
        "trainer.callbacks.0: no_such_package",
    ]


def test_mistakes_of_all_sorts_are_named_at_once(tmp_path, sets, capsys):
    values = config(sets)
    values["data"]["val_sources"] = {"x": "gone"}
    values["model"]["learning_rat"] = 0.1
    values["model"]["terms"] |= {
        "shape": {"loss": "ScaleShiftInvariantLos"},
        "trimmed": {"loss": {"class_path": "ScaleShiftInvariantLoss", "init_args": {"trim": 3.0}}},
    }
    values["model"]["heads"] = ["skyy"]
    values["model"]["terms"]["metric"]["sources"] = ["web"]
    code, problems = checked(tmp_path, capsys, values)
    assert code == 1
    assert sorted(text.partition(":")[0] for _, text in problems) == [
        "data.val_sources.x",
        "model.heads[0]",
        "model.learning_rat",
        "model.terms.metric",
        "model.terms.shape.loss",
        "model.terms.trimmed",
    ]


def test_an_impossible_pair_is_named_beside_a_mistake_in_another_term(tmp_path, sets, capsys):
    values = config(sets)
    values["model"]["terms"]["metric"]["sources"] = ["web"]
    values["model"]["terms"]["ssi"]["loss"] = "Ssi"
    _, problems = checked(tmp_path, capsys, values)
    assert [text.partition(":")[0] for _, text in problems] == ["model.terms.metric", "model.terms.ssi.loss"]


FOREIGN_TO_THE_LIGHT = [
    ("model.net", {"class_path": "depthmix.models.TransformersDepthNet"}),
    ("model.net", {"class_path": "depthmix.models.light.LightNet"}),
    ("model.net.class_path", "package.Net"),
    ("model.feature_alignment", {"teacher": "a.ckpt"}),
    ("model.frozen_stages", 1),
    ("model.terms.ssi.loss", "package.Loss"),
]


@pytest.mark.parametrize(("path", "value"), FOREIGN_TO_THE_LIGHT)
def test_what_only_torch_can_tell_is_left_to_the_full_check(tmp_path, path, value):
    values = config(tmp_path)
    put(values, path, value)
    file = tmp_path / "mix.yaml"
    file.write_text(yaml.safe_dump(values))
    document, _ = read_document(file)
    assert not is_plain(document)
    file.write_text(yaml.safe_dump(config(tmp_path)))
    assert is_plain(read_document(file)[0])


def test_checking_imports_no_torch_and_finds_the_same_as_the_full_check(tmp_path, sets):
    file = tmp_path / "mix.yaml"
    values = config(sets)
    values["model"]["terms"]["metric"]["sources"] = ["web"]
    file.write_text(yaml.safe_dump(values))
    code = (
        "import sys; from depthmix.cli import main\n"
        "assert main(['check', sys.argv[1]]) == 1\n"
        "print([name for name in ('torch', 'lightning', 'cv2', 'depthmix.losses') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["1 problem", "[]"]
    assert done.stderr.splitlines() == [problem.located(file) for problem in config_problems(file)]


def test_the_full_check_can_be_asked_for(tmp_path, sets, capsys):
    assert checked(tmp_path, capsys, config(sets), "--full") == (0, [])
