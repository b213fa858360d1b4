import json
import shutil

import pytest

import depthmix.report.collect as collect_module
from depthmix.errors import StorageError
from depthmix.report.collect import collect
from depthmix.report.curves import read_curves
from depthmix.report.tables import mix_row
from depthmix.worst import WORST


def test_a_whole_run_is_read(run, data_root):
    facts = collect(run, data_root)
    assert not facts.missing
    weights = {one.name: one.weight for one in facts.training}
    shares = {one.name: one.share for one in facts.training}
    assert weights == {"kitti": 1.0, "planes": 0.5, "web": 1.0}
    assert shares == pytest.approx({"kitti": 0.4, "planes": 0.2, "web": 0.4}, abs=0.001)
    assert (len(facts.images), len(facts.worst)) == (3, 2)
    assert [(one.name, one.role) for one in facts.evaluation] == [("stereo", "test")]
    assert facts.trained is not None
    assert len(facts.results["rows"]) == 4


def test_what_went_wrong_comes_first(run, data_root):
    assert collect(run, data_root).problems == [
        "train/terms/plane: 1 of 20 logged values are not finite",
        "kitti: 1 of 4 samples were skipped, see below",
    ]


def test_an_empty_run_says_what_to_run_next(tmp_path, data_root):
    facts = collect(tmp_path, data_root)
    assert not facts.problems[1:]  # the skipped sample of kitti
    assert set(facts.missing) == {"config", "curves", "results", "network", "worst"}
    assert "depthmix fit" in facts.missing["curves"]
    assert "depthmix test" in facts.missing["results"]
    assert [one.name for one in facts.training] == ["kitti", "planes", "stereo", "web"]


def test_a_root_without_sets_says_so(run, tmp_path):
    (run / "config.yaml").unlink()
    assert "depthmix prepare" in collect(run, tmp_path / "nothing").missing["mix"]


def test_no_run_folder_is_an_error(tmp_path, data_root):
    with pytest.raises(StorageError, match="no such run folder; give the folder that `depthmix fit` wrote"):
        collect(tmp_path / "gone", data_root)


def test_a_checkpoint_that_was_named_must_be_there(run, data_root, tmp_path):
    with pytest.raises(StorageError, match=r"gone\.ckpt: no such checkpoint"):
        collect(run, data_root, tmp_path / "gone.ckpt")


def test_a_unit_that_repeats_the_kind_is_left_out(run, data_root):
    rows = {one.name: mix_row(one) for one in collect(run, data_root).training}
    assert rows["kitti"].unit == "m"
    assert all(row.unit != row.kind for row in rows.values())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.yaml", b"data: [unclosed"),
        ("config.yaml", b"\xff\xfe\x00"),
        ("metrics.csv", b"epoch,loss\n1,2\n"),
        ("metrics.csv", b"step,loss\n1,\xff\n"),
        ("test.json", b"{"),
        ("test.json", b'{"rows": [1]}'),
        ("test.json", b'{"rows": [{"set": "a"}]}'),
        ("test.json", b"[]"),
        ("test_images.json", b'{"images": [{"set": "a"}]}'),
        ("test_images.json", b'{"images": [{"set": "a", "alignment": "none", "image": "x", "abs_rel": []}]}'),
        ("worst.json", b"[1]"),
        ("worst.json", b'{"samples": [{"sample": "a"}]}'),
        ("last.ckpt", b"not a checkpoint"),
    ],
)
def test_a_broken_file_is_a_problem_that_names_it(run, data_root, name, content):
    (run / name).write_bytes(content)
    problems = [problem for problem in collect(run, data_root).problems if name in problem]
    assert len(problems) == 1
    assert "\n" not in problems[0]


@pytest.mark.parametrize("text", ["", "- 1", "data: 3", "data: {sources: [1]}", "data: {sources: {web: }}"])
def test_an_unusual_configuration_is_survived(run, data_root, text):
    (run / "config.yaml").write_text(text)
    assert collect(run, data_root).training


def test_a_set_that_is_gone_or_damaged_is_a_problem(run, data_root, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(data_root, copy)
    shutil.rmtree(copy / "web")
    (copy / "planes" / "index.json").write_text(json.dumps({"schema": 1}))
    problems = " ".join(collect(run, copy).problems)
    assert "web/index.json: no prepared set here" in problems
    assert "planes/index.json" in problems


def test_skipped_training_steps_are_a_problem(run, data_root):
    (run / "metrics.csv").write_text("step,train/skipped\n1,0\n2,3.0\n")
    said = "3 training steps had no finite gradient and were skipped; skipped.jsonl names their samples"
    assert said in collect(run, data_root).problems


def test_curves_keep_what_is_not_finite_as_a_gap_and_leave_empty_cells_out(tmp_path):
    (tmp_path / "m.csv").write_text("epoch,step,a,b,c\n0,1,0.5,,\n0,2,nan,2,\n0,3,-inf,,\n,,4,,\n")
    curves = read_curves(tmp_path / "m.csv")
    assert sorted(curves) == ["a", "b"]
    assert (curves["a"].steps, curves["a"].values, curves["a"].gaps) == ([1, 2, 3], [0.5, None, None], 2)
    assert curves["b"].steps == [2]


def test_a_log_without_rows_has_no_curves(tmp_path):
    (tmp_path / "m.csv").write_text("step,a\n")
    assert read_curves(tmp_path / "m.csv") == {}


def test_the_list_of_worst_samples_is_called_as_the_training_calls_it():
    assert collect_module.WORST == WORST
