"""`depthmix fit | validate | test`: what Lightning or a constructor refuses is one line, too."""

import csv
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import Callback
from PIL import Image

from depthmix.cli import main
from depthmix.predict import predict_files
from depthmix.store import ShardSet
from depthmix.trained import load_trained, read_checkpoint
from tests.cli.test_check import config, put, sets
from tests.small_run import in_child
from tests.test_stop import write_scontrol

__all__ = ["sets"]

REFUSED = [
    ("model.terms.ssi.loss", {"class_path": "ScaleShiftInvariantLoss", "init_args": {"trim": 3.0}}, "`trim`"),
    ("model.net.init_args.widths", [-8, 8], "`widths` must be positive multiples of 8"),
    ("trainer.accelerator", "gup", "invalid accelerator name"),
    ("trainer.max_epochs", -7, "`max_epochs` must be a non-negative integer or -1"),
    ("data.sources.web.weight", -3.0, "sources.web.weight: must be positive and finite"),
    ("model.terms.ssi.sources", ["weeb"], "'weeb' is not one of"),
    ("ckpt_path", "gone.ckpt", "gone.ckpt: no such checkpoint"),
    ("ckpt_path", ".", "no such checkpoint"),
]


def write(tmp_path: Path, values: dict) -> str:
    file = tmp_path / "mix.yaml"
    file.write_text(yaml.safe_dump(values))
    return str(file)


def small(tmp_path: Path, sets: Path) -> dict:
    values = config(sets)
    values["trainer"] = {"default_root_dir": str(tmp_path / "run"), "max_epochs": 1, "accelerator": "cpu"}
    return values


@pytest.mark.parametrize(("path", "value", "said"), REFUSED, ids=[f"{r[0]}={r[1]}" for r in REFUSED])
def test_what_cannot_work_is_one_line_and_leaves_no_run_folder(tmp_path, sets, capsys, path, value, said):
    values = small(tmp_path, sets)
    put(values, path, value)
    capsys.readouterr()
    assert main(["fit", "--config", write(tmp_path, values)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "run").exists()


def test_several_problems_are_one_line_that_counts_the_others(tmp_path, sets, capsys):
    values = small(tmp_path, sets)
    values["model"]["terms"] = {"metric": {"loss": "LogL1Loss", "sources": ["web", "weeb"]}}
    capsys.readouterr()
    assert main(["fit", "--config", write(tmp_path, values)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "more problem" in line


def test_a_run_folder_that_cannot_be_made_is_named(tmp_path, sets, capsys):
    (tmp_path / "run").write_text("a file")
    capsys.readouterr()
    assert main(["fit", "--config", write(tmp_path, small(tmp_path, sets))]) == 1
    assert str(tmp_path / "run") in capsys.readouterr().err.splitlines()[-1]
    assert (tmp_path / "run").read_text() == "a file"


@pytest.mark.parametrize("command", ["test", "validate"])
def test_untrained_weights_are_not_evaluated_by_mistake(tmp_path, sets, capsys, command):
    capsys.readouterr()
    assert main([command, "--config", write(tmp_path, small(tmp_path, sets))]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--ckpt_path: no checkpoint given; such as {tmp_path / 'run' / 'last.ckpt'}" in line


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, sets, capsys):
    (tmp_path / "x.ckpt").write_text("hello")
    arguments = ["--config", write(tmp_path, small(tmp_path, sets)), "--ckpt_path", str(tmp_path / "x.ckpt")]
    capsys.readouterr()
    assert main(["test", *arguments]) == 2
    assert "is no torch checkpoint, or is cut short" in capsys.readouterr().err


@pytest.fixture
def run(tmp_path, sets) -> Path:
    """The folder of a training that has ended, with its configuration at `mix.yaml` beside it."""
    values = small(tmp_path, sets)
    values["data"] |= {"steps_per_epoch": 2, "batch_size": 2, "workers": 0}
    values["data"]["augment"] = {"height": 32, "width": 32}
    values["trainer"]["log_every_n_steps"] = 1
    assert main(["fit", "--config", write(tmp_path, values)]) == 0
    return tmp_path / "run"


def test_one_file_holds_network_state_configuration_data_and_mixture(run):
    content = torch.load(run / "last.ckpt", weights_only=True)
    assert {"state_dict", "optimizer_states", "lr_schedulers", "loops"} <= content.keys()
    origin = content["depthmix"]["origin"]
    assert json.loads(json.dumps(origin)) == origin
    assert origin["recipe"]["model"]["net"]["init_args"]["widths"] == [8, 8]
    assert origin["recipe"]["model"]["learning_rate"] == 0.002  # a default
    assert origin["recipe"]["data"]["steps_per_epoch"] == 2
    sets = {name: ShardSet(Path(origin["recipe"]["data"]["root"]) / name) for name in origin["mix"]}
    assert origin["data"] == {name: shards.root_hash for name, shards in sets.items()}
    kept = content["MixData"]
    assert kept["identity"]["weights"] == origin["mix"]
    assert kept["place"] == {"epoch": 0, "taken": 2}
    trained = load_trained(run / "last.ckpt")
    assert trained.origin.recipe == origin["recipe"]


def again(run: Path, *more: str) -> int:
    arguments = ["fit", "--config", str(run.parent / "mix.yaml"), "--trainer.max_epochs", "2", *more]
    return main(arguments)


def steps(run: Path) -> list[str]:
    with (run / "metrics.csv").open() as file:
        return [row["step"] for row in csv.DictReader(file)]


def test_a_training_goes_on_from_the_newest_checkpoint_that_loads(run, caplog):
    assert again(run) == 0  # anew, with two epochs and so two checkpoints
    (run / "last.ckpt").write_bytes((run / "last.ckpt").read_bytes()[:-200])
    assert again(run, "--ckpt_path", "last") == 0
    assert f"{run / 'last.ckpt'}: is no torch checkpoint, or is cut short; passed over" in caplog.text
    assert steps(run) == ["1", "2", "3", "4"]
    assert read_checkpoint(run / "last.ckpt")["global_step"] == 4


def test_a_job_that_slurm_requeued_goes_on_by_itself(run, monkeypatch):
    old = (run / "metrics.csv").read_bytes().splitlines()[1]
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert again(run, "--model.learning_rate", "0.5") == 0  # so that rows done again would differ
    assert steps(run) == ["1", "2", "3", "4"]
    assert old in (run / "metrics.csv").read_bytes().splitlines()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "0")
    assert again(run, "--model.learning_rate", "0.5") == 0
    assert old not in (run / "metrics.csv").read_bytes().splitlines()


def test_a_checkpoint_names_no_class_that_a_command_would_import(run, tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    content = read_checkpoint(run / "last.ckpt")
    content["hyper_parameters"]["net"] = {"class_path": "evil.Net", "init_args": {}}
    torch.save(content, run / "last.ckpt")
    assert again(run, "--ckpt_path", "last") == 0
    assert "evil" not in sys.modules


def test_no_option_lets_a_checkpoint_run_code(run, capsys):
    assert again(run, "--ckpt_path", "last", "--weights_only", "false") == 2
    assert "weights_only" in capsys.readouterr().err


def test_a_training_on_other_sources_is_refused_in_one_line(run, capsys):
    values = yaml.safe_load((run.parent / "mix.yaml").read_text())
    del values["data"]["sources"]["web"]
    (run.parent / "mix.yaml").write_text(yaml.safe_dump(values))
    assert again(run, "--ckpt_path", "last") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "data: the checkpoint was trained on another order of samples: data.web was" in said


def test_weights_alone_are_not_gone_on_from(run, capsys):
    content = read_checkpoint(run / "last.ckpt")
    torch.save({"global_step": 2, "state_dict": content["state_dict"]}, run / "weights.ckpt")
    assert again(run, "--ckpt_path", str(run / "weights.ckpt")) == 2
    assert (
        "weights.ckpt: --ckpt_path: holds weights, but not the state of a training" in capsys.readouterr().err
    )


class Heard(Callback):
    """Notes that it was asked."""

    steps = 0

    def on_train_batch_end(self, *_: Any) -> None:
        Heard.steps += 1


def test_callbacks_of_the_configuration_stay(run):
    assert again(run, "--trainer.callbacks+=tests.cli.test_training.Heard") == 0
    assert Heard.steps == 4


def signalled(run: Path, number: int) -> int:
    """Train two epochs of two steps anew, with a signal in the third step, and return the exit code."""
    callback = {"class_path": "tests.small_run.Signal", "init_args": {"step": 2, "number": int(number)}}
    return in_child(lambda: again(run, f"--trainer.callbacks+={json.dumps(callback)}"))


def test_a_command_that_is_told_to_stop_saves_says_so_and_exits_with_143(run, capfd):
    assert signalled(run, signal.SIGTERM) == 143
    assert (
        f"stopped by a signal; saved {run / 'last.ckpt'}; go on with --ckpt_path last"
        in capfd.readouterr().err
    )
    assert read_checkpoint(run / "last.ckpt")["global_step"] == 3
    assert again(run, "--ckpt_path", "last") == 0
    assert steps(run) == ["1", "2", "3", "4"]


def test_lightning_does_not_requeue_a_second_time(run, monkeypatch):
    calls = write_scontrol(run.parent / "bin", 0)
    monkeypatch.setenv("PATH", str(run.parent / "bin"), prepend=os.pathsep)
    slurm = {
        "JOB_ID": "4711",
        "JOB_NAME": "train",
        "NTASKS": "1",
        "PROCID": "0",
        "LOCALID": "0",
        "NODEID": "0",
    }
    for name, value in slurm.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert signalled(run, signal.SIGUSR1) == 143
    assert calls.read_text() == "requeue 4711\n"
    assert read_checkpoint(run / "last.ckpt")["global_step"] == 3
    assert not list(run.glob("hpc*"))


def test_without_checkpoints_the_exit_code_still_tells(run):
    callback = {"class_path": "tests.small_run.Signal", "init_args": {"step": 2, "number": 15}}
    more = [f"--trainer.callbacks+={json.dumps(callback)}", "--trainer.enable_checkpointing", "false"]
    assert in_child(lambda: again(run, *more)) == 143


def photo(folder: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "photo.png")
    return folder / "photo.png"


def test_a_training_in_the_image_form_is_remembered_by_its_checkpoint_and_heeded(tmp_path, sets, capsys):
    values = small(tmp_path, sets)
    values["model"]["focal_canonical"] = 40.0
    values["data"] |= {
        "steps_per_epoch": 2,
        "batch_size": 2,
        "workers": 0,
        "val_sources": {"stereo": "stereo"},
    }
    values["data"]["augment"] = {"height": 32, "width": 32, "canonical_focal": 40.0}
    file = write(tmp_path, values)
    assert main(["check", file]) == 0
    assert main(["fit", "--config", file]) == 0
    trained = load_trained(tmp_path / "run" / "last.ckpt")
    assert (trained.form, trained.focal_canonical) == ("image", 40.0)
    seen: list[tuple[int, ...]] = []
    trained.net.register_forward_hook(lambda net, given, out: seen.append(tuple(given[0].shape[-2:])))
    predict_files(trained, [photo(tmp_path)], tmp_path / "out", focal_px=60.0)
    assert seen == [(40, 53)]  # not the 32 x 32 of the training, but the photo at its focal length


def test_a_training_with_a_focal_head_ends_in_a_network_that_estimates(tmp_path, sets, capsys):
    values = small(tmp_path, sets)
    values["model"] |= {"heads": ["focal"]}
    values["model"]["terms"]["focal"] = {"loss": "FocalLoss"}
    values["model"]["net"]["init_args"]["outputs"] = 2
    values["data"] |= {"steps_per_epoch": 2, "batch_size": 2, "workers": 0}
    values["data"]["augment"] = {"height": 32, "width": 32}
    file = write(tmp_path, values)
    assert main(["check", file]) == 0
    assert main(["fit", "--config", file]) == 0
    capsys.readouterr()
    arguments = [
        "--ckpt",
        str(tmp_path / "run" / "last.ckpt"),
        "--out",
        str(tmp_path / "out"),
        "--format",
        "ply",
    ]
    assert main(["predict", str(photo(tmp_path)), *arguments]) == 0
    assert "px estimated by the network); wrote" in capsys.readouterr().out


@pytest.mark.slow
def test_split_weights_are_trained_and_gone_on_with_by_commands(tmp_path, sets):
    values = small(tmp_path, sets)
    values["data"] |= {
        "steps_per_epoch": 2,
        "batch_size": 2,
        "workers": 0,
        "test_sources": {"stereo": "stereo"},
    }
    values["data"]["augment"] = {"height": 32, "width": 32}
    values["model"]["ema"] = 0.9
    options = {"data_parallel_size": 1, "tensor_parallel_size": 1, "save_distributed_checkpoint": False}
    strategy = "lightning.pytorch.strategies.ModelParallelStrategy"
    values["trainer"] |= {"strategy": {"class_path": strategy, "init_args": options}, "devices": 1}
    file = write(tmp_path, values)
    assert in_child(lambda: main(["fit", "--config", file])) == 0
    more = ["--trainer.max_epochs", "2", "--ckpt_path", "last"]
    assert in_child(lambda: main(["fit", "--config", file, *more])) == 0
    content = read_checkpoint(tmp_path / "run" / "last.ckpt")
    assert (content["global_step"], content["average"]["updates"]) == (4, 4)
    options["save_distributed_checkpoint"] = True
    assert in_child(lambda: main(["fit", "--config", write(tmp_path, values)])) == 2
