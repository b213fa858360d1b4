import json
import shutil

import pytest

from depthmix.cli.main import main
from depthmix.errors import ConfigError
from depthmix.report.collect import collect
from depthmix.report.compare import build_comparison, config_differences, differences, names_of
from tests.report.make_run import make_run
from tests.report.test_page import read


@pytest.fixture
def two(tmp_path):
    first = make_run(tmp_path / "first <b>")
    second = tmp_path / "second"
    shutil.copytree(first, second)
    config = (second / "config.yaml").read_text().replace("seed_everything: 0", "seed_everything: 7")
    (second / "config.yaml").write_text(config)
    images = json.loads((second / "test_images.json").read_text())
    for row in images["images"]:
        row["abs_rel"] *= 0.5
    (second / "test_images.json").write_text(json.dumps(images))
    return [first, second]


def test_two_runs_stand_side_by_side(two, data_root, capsys):
    assert main(["report", *map(str, two), "--data", str(data_root)]) == 0
    page = read((two[0] / "comparison.html").read_text())
    assert capsys.readouterr().out.strip() == str(two[0] / "comparison.html")
    words = " ".join(page.text)
    for text in ("2 runs: first <b>, second", "stereo: as predicted", "seed_everything", "better"):
        assert text in words
    assert not {"script", "b"} & {tag for tag, _ in page.tags}
    pictures = [attributes["alt"] for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 2 + 2 * 2
    assert sum("second: " in alt for alt in pictures) == 2


def test_a_difference_on_the_same_images_has_an_interval_and_a_verdict(two, data_root):
    runs = dict(zip(("a", "b"), (collect(run, data_root) for run in two), strict=True))
    [found], untold = differences(runs)
    assert (found.run, found.measure, found.verdict) == ("b", "abs rel", "better")
    assert found.text == "-0.125"
    assert not untold


def test_runs_on_other_images_are_not_compared_and_it_says_why(two, data_root):
    images = json.loads((two[1] / "test_images.json").read_text())
    images["images"].pop()
    (two[1] / "test_images.json").write_text(json.dumps(images))
    runs = dict(zip(("a", "b"), (collect(run, data_root) for run in two), strict=True))
    found, [why] = differences(runs)
    assert not found
    assert "stereo of a and b: run 1 does not hold the images of run 0" in why
    (two[1] / "test_images.json").unlink()
    runs["b"] = collect(two[1], data_root)
    assert differences(runs) == ([], ["b has no test_images.json"])


def test_only_options_that_differ_are_listed():
    texts = {
        "a": "x: {y: 1, z: 2}\ntrainer: {default_root_dir: runs/a}",
        "b": "x: {y: 1, z: 3}\ntrainer: {default_root_dir: runs/b}\nmore: true",
    }
    assert config_differences(texts) == ([("more", ["(not stated)", "True"]), ("x.z", ["2", "3"])], 0)
    assert config_differences({"a": "x: [", "b": None}) == ([], 0)
    many = {"a": "", "b": "\n".join(f"k{number}: 1" for number in range(300))}
    assert config_differences(many)[1] == 100


def test_equal_folder_names_are_told_apart(tmp_path):
    assert names_of([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]
    assert names_of([tmp_path / "x" / "run", tmp_path / "y" / "run"]) == ["x/run", "y/run"]
    deep = [tmp_path / name / "x" / "run" for name in "ab"]
    assert names_of(deep) == ["1: x/run", "2: x/run"]


def test_one_run_twice_and_a_checkpoint_for_several_are_refused(two, data_root, capsys):
    with pytest.raises(ConfigError, match="two runs or more, each once"):
        build_comparison([two[0], two[0]], data_root)
    assert main(["report", *map(str, two), "--data", str(data_root), "--ckpt", "x.ckpt"]) == 2
    assert "--ckpt: is of one run" in capsys.readouterr().err
