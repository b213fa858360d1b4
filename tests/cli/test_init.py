"""`depthmix init` writes a configuration that works, explains every option, and a schema for editors."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from depthmix.cli import main
from depthmix.cli.init import draft
from depthmix.cli.json_schema import config_schema
from depthmix.cli.options import REQUIRED, options_of, record_in
from depthmix.data import MixData, SourceSpec
from depthmix.task import DepthTask
from tests.cli.test_check import config, sets  # noqa: F401  (a fixture)

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "depthmix" / "configs").glob("*.yaml"))


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return config_schema()


@pytest.fixture(scope="module")
def written(sets, tmp_path_factory) -> Path:  # noqa: F811
    folder = tmp_path_factory.mktemp("init")
    file = folder / "mix.yaml"
    assert main(["init", str(file), "--data.root", str(sets)]) == 0
    return file


def test_the_configuration_has_no_problems_and_trains(written, capsys, tmp_path):
    assert main(["check", str(written)]) == 0
    run = [
        "--trainer.max_epochs",
        "1",
        "--data.steps_per_epoch",
        "2",
        "--trainer.enable_progress_bar",
        "false",
    ]
    small = ["--model.net.init_args.widths", "[8, 8]", "--data.workers", "0", "--data.batch_size", "4"]
    folder = ["--trainer.default_root_dir", str(tmp_path / "run"), "--trainer.accelerator", "cpu"]
    assert main(["fit", "--config", str(written), *run, *small, *folder]) == 0
    assert (tmp_path / "run" / "last.ckpt").is_file()


def test_it_says_what_comes_next(sets, tmp_path, capsys):  # noqa: F811
    file = tmp_path / "new" / "mix.yaml"
    assert main(["init", str(file), "--data.root", str(sets)]) == 0
    assert f"next: depthmix check {file}" in capsys.readouterr().out


@pytest.mark.parametrize("target", [DepthTask, MixData])
def test_every_option_stands_there_with_its_words(written, target):
    flat = " ".join(re.sub(r"^\s*# *", "", line) for line in written.read_text().splitlines())
    for option in options_of(target):
        assert re.search(rf"(^|\s){option.name}:", flat), option.name
        assert option.text, option.name
        assert " ".join(option.text.split()) in " ".join(flat.split()), option.name


def test_the_options_of_records_stand_there_too(written):
    text = written.read_text()
    for name in ("canonical_focal", "cutmix", "tiers", "student_layer", "weights"):
        assert f"# {name}: " in text


def test_an_option_can_be_switched_on_by_taking_away_its_comment(written, tmp_path, capsys):
    text = written.read_text().replace("  # weight_decay: 0.01", "  weight_decay: 0.02", 1)
    other = written.with_name("other.yaml")
    other.write_text(text)
    assert yaml.safe_load(text)["model"]["weight_decay"] == 0.02
    assert main(["check", str(other)]) == 0


def test_sets_for_evaluation_are_not_trained_on(sets):  # noqa: F811
    from depthmix.store import ShardSet

    found = {name: ShardSet(sets / "stereo") for name in ("stereo", "stereo_val", "stereo_test")}
    data = yaml.safe_load(draft(sets, found))["data"]
    assert list(data["sources"]) == ["stereo"]
    assert data["val_sources"] == {"stereo_val": "stereo_val"}
    assert data["test_sources"] == {"stereo_test": "stereo_test"}


def test_terms_that_no_label_can_bear_are_left_out(sets):  # noqa: F811
    from depthmix.store import ShardSet

    relative = yaml.safe_load(draft(sets, {"web": ShardSet(sets / "web")}))["model"]["terms"]
    both = yaml.safe_load(draft(sets, {name: ShardSet(sets / name) for name in ("web", "stereo")}))
    assert "metric" not in relative
    assert {"ssi", "metric"} <= set(both["model"]["terms"])


def test_size_and_focal_length_are_those_of_the_sets(sets):  # noqa: F811
    from depthmix.store import ShardSet

    shards = ShardSet(sets / "stereo")
    sample = shards[0]
    values = yaml.safe_load(draft(sets, {"stereo": shards}))
    height, width = (values["data"]["augment"][name] for name in ("height", "width"))
    assert height % 16 == width % 16 == 0
    factor = max(height / sample.size[0], width / sample.size[1])
    assert values["model"]["focal_canonical"] == pytest.approx(sample.intrinsics.fx * factor, rel=5e-3)


def test_without_sets_there_is_a_draft_that_check_completes(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    file = tmp_path / "mix.yaml"
    assert main(["init", str(file), "--data.root", str(tmp_path / "empty")]) == 0
    assert "no prepared set was found" in capsys.readouterr().out
    assert main(["check", str(file)]) == 1
    assert "no such prepared set" in capsys.readouterr().err


def test_a_file_that_is_there_is_kept(written, sets, capsys):  # noqa: F811
    before = written.read_text()
    assert main(["init", str(written), "--data.root", str(sets)]) == 2
    assert "is there already; give another name, or --overwrite" in capsys.readouterr().err
    assert written.read_text() == before
    assert main(["init", str(written), "--data.root", str(sets), "--overwrite"]) == 0


def test_a_missing_root_is_one_line(tmp_path, capsys):
    assert main(["init", str(tmp_path / "mix.yaml"), "--data.root", str(tmp_path / "gone")]) == 0
    assert "no prepared set was found" in capsys.readouterr().out


# --- the schema ---------------------------------------------------------------------------------------------


def test_the_schema_is_one_and_lies_beside_the_configuration(written, schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    beside = json.loads((written.parent / "depthmix.schema.json").read_text())
    assert beside == schema
    assert written.read_text().startswith("# yaml-language-server: $schema=depthmix.schema.json\n")


def test_the_schema_accepts_what_init_wrote(written, schema):
    jsonschema.validate(yaml.safe_load(written.read_text()), schema)


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_the_schema_accepts_every_shipped_recipe(file, schema):
    jsonschema.validate(yaml.safe_load(file.read_text()), schema)


@pytest.mark.parametrize(
    ("section", "option", "value"),
    [
        ("model", "learning_rat", 0.1),
        ("model", "balance", "magic"),
        ("model", "net", "NoSuchNet"),
        ("model", "net", {"class_path": "LightDepthNet", "init_args": {"width": 3}}),
        ("data", "workers", "two"),
        ("data", "sources", {"web": {"wieght": 1.0}}),
        ("data", "augment", {"height": 96.5}),
    ],
)
def test_the_schema_refuses_what_check_refuses(sets, schema, section, option, value):  # noqa: F811
    values = config(sets)
    jsonschema.validate(values, schema)
    values[section][option] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values, schema)


def test_the_schema_says_what_an_option_means(schema):
    rate = schema["properties"]["model"]["properties"]["learning_rate"]
    assert rate["type"] == "number"
    assert rate["default"] == inspect.signature(DepthTask).parameters["learning_rate"].default
    assert rate["description"].startswith("the highest rate")


def test_a_class_of_another_package_is_left_to_its_owner(sets, schema):  # noqa: F811
    values = config(sets)
    values["model"]["net"] = {"class_path": "mine.Net", "init_args": {"anything": 1}}
    jsonschema.validate(values, schema)


def test_options_are_read_with_default_and_words():
    weight, path, _ = options_of(SourceSpec)
    assert (weight.name, weight.hint, weight.default) == ("weight", float, 1.0)
    assert weight.text == "relative share of the source in every batch."
    assert path.default is None
    assert next(iter(options_of(MixData))).default is REQUIRED


@pytest.mark.parametrize(
    ("hint", "record"),
    [
        (SourceSpec, SourceSpec),
        (dict[str, SourceSpec], SourceSpec),
        (SourceSpec | None, SourceSpec),
        (int, None),
    ],
)
def test_a_record_is_found_inside_a_type(hint, record):
    assert record_in(hint) is record


def test_the_schema_names_what_a_configuration_may_and_no_other_class_that_was_imported():
    pytest.importorskip("transformers")
    import depthmix.export.pipeline  # noqa: F401  (brings a module of transformers' making)

    text = json.dumps(config_schema())
    assert "depthmix.models.LiteDepthNet" in text
    assert "DepthmixForDepthEstimation" not in text
