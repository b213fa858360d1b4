"""`depthmix prepare` refuses options that cannot work before anything is written."""

import json
import shutil
from pathlib import Path

import pytest

from depthmix.cli import main
from depthmix.cli.prepare import summary
from depthmix.errors import ConfigError
from depthmix.mixture import MixturePlan
from depthmix.prepare import PrepareReport
from depthmix.store import Skipped
from tests.data.middlebury import make as middlebury


@pytest.fixture(scope="module")
def raw(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("raw") / "stereo"
    middlebury.make(root)
    return root


def refused(raw: Path, out: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    arguments = ["prepare", "MiddleburyStereo", str(raw), str(out), "--workers", "0", *options]
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert not out.exists()
    return line


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".", "..", "ä", "a b", "a\nb", "-a"])
def test_a_name_that_the_mixture_refuses_becomes_no_folder(raw, tmp_path, capsys, name):
    line = refused(raw, tmp_path / "out", capsys, f"--name={name}")
    assert "a name holds letters, digits, _ and - only" in line
    with pytest.raises(ConfigError, match="a name holds letters"):
        MixturePlan({name: 1}, {name: 1.0}, 1, 0)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("sigma_disparity_px=abc", "--option sigma_disparity_px: must be a number, got 'abc'"),
        ("sigma_disparity_px=[1", "--option sigma_disparity_px: cannot be read as a value: '[1'"),
        ("sigma_disparity_px=", "--option sigma_disparity_px: no value given"),
        ("sigma_disparity_px=-1", "`sigma_disparity_px` must be positive and finite, got -1"),
        ("name=../y", "a name holds letters"),
        ("sigma_disparity_px", "must be NAME=VALUE"),
    ],
)
def test_an_option_of_the_wrong_type_or_range_is_named(raw, tmp_path, capsys, option, said):
    assert said in refused(raw, tmp_path / "out", capsys, "--option", option)


@pytest.mark.parametrize("size", ["²x²", "٣x٣", "01x3", "8 x 8", "4x4x4"])
def test_a_size_is_two_plain_numbers(raw, tmp_path, capsys, size):
    assert "must be HEIGHTxWIDTH" in refused(raw, tmp_path / "out", capsys, "--size", size)


def test_a_size_that_no_image_has_is_refused(raw, tmp_path, capsys):
    assert "more than 64000000 pixels" in refused(raw, tmp_path / "out", capsys, "--size", "100000x100000")


def test_text_options_are_taken_as_they_are(raw, tmp_path, capsys):
    arguments = [str(raw), str(tmp_path / "out"), "--workers", "0", "--option", "name=5"]
    assert main(["prepare", "MiddleburyStereo", *arguments]) == 0
    assert (tmp_path / "out" / "5" / "index.json").exists()


def test_verify_looks_at_every_set_behind_a_damaged_record(raw, tmp_path, capsys):
    arguments = ["prepare", "MiddleburyStereo", str(raw), str(tmp_path / "out"), "--workers", "0"]
    assert main(arguments) == 0
    shutil.copytree(tmp_path / "out" / "middlebury", tmp_path / "out" / "a")
    (tmp_path / "out" / "a" / "index.json").write_text("nope")
    capsys.readouterr()
    assert main(["verify", str(tmp_path / "out")]) == 1
    said = capsys.readouterr()
    assert "a/index.json: proof" in said.err
    assert "middlebury: 2 samples in 1 shard, 0 problems" in said.out


def test_options_come_from_a_file_too_and_the_command_line_wins(raw, tmp_path):
    file = tmp_path / "stereo.yaml"
    file.write_text("sigma_disparity_px: 0.4\nname: mine\n")
    arguments = ["prepare", "MiddleburyStereo", str(raw), str(tmp_path / "out"), "--workers", "0"]
    assert main([*arguments, "--options", str(file), "--option", "sigma_disparity_px=0.7"]) == 0
    record = json.loads((tmp_path / "out" / "mine" / "index.json").read_text())
    assert record["options"]["settings"]["sigma_disparity_px"] == 0.7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sigma: 0.4\n", "line 1: sigma: MiddleburyStereo has no such option; MiddleburyStereo takes name"),
        ("name: a\nsigma_disparity_px: much\n", "line 2: sigma_disparity_px: must be a number, got 'much'"),
        ("- 1\n", "--options: must hold a mapping of options"),
        ("a: [1\n", "--options: is no YAML: "),
        (None, "--options: No such file or directory"),
    ],
)
def test_a_file_of_options_is_checked_at_its_lines(raw, tmp_path, capsys, text, said):
    file = tmp_path / "stereo.yaml"
    if text is not None:
        file.write_text(text)
    assert said in refused(raw, tmp_path / "out", capsys, "--options", str(file))


def test_the_summary_counts_bad_samples_by_reason():
    skipped = [Skipped("007", "007.png", "valid: 0 of 9 pixels"), Skipped("012", "", "valid: 0 of 6 pixels")]
    assert summary("kitti", PrepareReport(40, skipped, 3_000_000, 1.5, missing=2)).splitlines() == [
        "kitti: 40 samples, 2 skipped, 3.0 MB in 1.5 s",
        "  2 shards are other jobs' work; the last job closes the set",
        "  source and number of bad samples, reason",
        "  kitti       2  valid: 0 of 9 pixels, first 007",
        "  quarantine.jsonl lists them all",
    ]


def test_a_time_limit_is_passed_on(raw, tmp_path, capsys):
    command = ["prepare", "MiddleburyStereo", str(raw), str(tmp_path / "out"), "--time-limit", "0"]
    assert main(command) == 2
    assert "time_limit_s: must be positive, got 0.0" in capsys.readouterr().err
