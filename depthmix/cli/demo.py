"""`depthmix demo`: the whole way once, on data that it makes itself and on real stereo pairs."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from depthmix.cli.prepare import prepare_with_bar, summary
from depthmix.cli.progress import bar
from depthmix.errors import ConfigError

if TYPE_CHECKING:
    from depthmix.sources.base import Source

__all__ = ["add_arguments", "run"]

# Steps of 12 images; together with the rendering they keep the demo below 8 minutes on two cores.
STEPS = {"tiny": 20, "demo": 800}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("folder", type=Path, nargs="?", default=Path("depthmix-demo"), help="where to work")
    parser.add_argument("--preset", choices=sorted(STEPS), default="demo", help="tiny is for tests")
    parser.add_argument("--oak", type=Path, help="stereodemo 0.7 wheel: adds its real stereo pairs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="training steps (default: by preset)")
    parser.add_argument("--workers", type=int, default=2, help="processes")


def run(options: argparse.Namespace) -> int:
    """Make, prepare, train, evaluate, predict and show; end with what to do next."""
    _check(options)
    started = time.monotonic()
    folder: Path = options.folder
    raw, prepared, run_folder = folder / "raw", folder / "prepared", folder / "run"
    step = _Steps(total=6)

    step("raw data: four sources in their published layouts, exact evaluation scenes")
    _make(raw, options)
    step("prepare: raw files -> checked, tagged HDF5 shards")
    names = _prepare(raw, prepared, options)
    config = _write_config(folder, prepared, run_folder, names, options)
    step(f"fit: depthmix fit --config {config}")
    _training("fit", "--config", str(config))
    step("test: exact scenes and a real pair, un-aligned and aligned")
    _training("test", "--config", str(config), "--ckpt_path", str(run_folder / "last.ckpt"))
    step("predict: a real photo")
    photo = _predict(folder, run_folder)
    step("report")
    page = _report(run_folder, prepared)
    print(_closing(folder, config, run_folder, photo, page, time.monotonic() - started))
    return 0


def _check(options: argparse.Namespace) -> None:
    """Refuse what would only fail minutes later, behind the rendering."""
    for name, least in {"steps": 1, "workers": 0, "seed": 0}.items():
        value = getattr(options, name)
        if value is not None and value < least:
            raise ConfigError(f"must be at least {least}, got {value}", field=f"--{name}")
    if options.oak is not None and not options.oak.is_file():
        hint = "`make demo` fetches it; without --oak the demo has no real training pairs"
        raise ConfigError("no such wheel", file=options.oak, field="--oak", hint=hint)


class _Steps:
    """Print numbered headings."""

    def __init__(self, total: int) -> None:
        self.done, self.total = 0, total

    def __call__(self, title: str) -> None:
        self.done += 1
        print(f"\n[{self.done}/{self.total}] {title}", flush=True)


def _make(raw: Path, options: argparse.Namespace) -> None:
    from depthmix.scenes import PRESETS, make_demo_data

    with bar("render") as update:
        preset = PRESETS[options.preset]
        make_demo_data(raw, preset=preset, seed=options.seed, workers=options.workers, progress=update)


def _prepare(raw: Path, prepared: Path, options: argparse.Namespace) -> list[str]:
    from depthmix.scenes.sets import demo_sources

    sources: Sequence[Source] = demo_sources(raw, options.oak)
    for source in sources:
        # A small set is prepared sooner in this process than a worker process starts.
        workers = options.workers if len(source) > 100 else 0
        # The folder is the demo's own: sets of an older version may be replaced.
        report = prepare_with_bar(
            source, prepared / source.name, size=(96, 128), workers=workers, overwrite=True
        )
        print(summary(source.name, report), flush=True)
    return [source.name for source in sources]


def _write_config(
    folder: Path, prepared: Path, run_folder: Path, names: Sequence[str], options: argparse.Namespace
) -> Path:
    from depthmix.cli.check import recipe
    from depthmix.scenes.sets import EVALUATION

    steps = options.steps or STEPS[options.preset]
    values = yaml.safe_load(recipe("quality_aware").read_text(encoding="utf-8"))
    data = values["data"]
    data["root"] = str(prepared)
    data["sources"] = {name: spec for name, spec in data["sources"].items() if name in names}
    data["val_sources"] = {name: name for name in names if name.endswith("_val")}
    data["test_sources"] = {name: name for name in EVALUATION} | data["val_sources"]
    data["steps_per_epoch"] = min(data["steps_per_epoch"], steps)
    values["trainer"] |= {
        "max_epochs": -(-steps // data["steps_per_epoch"]),
        "default_root_dir": str(run_folder),
    }
    values["seed_everything"] = options.seed
    config = folder / "mix.yaml"
    config.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return config


def _training(*arguments: str) -> None:
    from depthmix.cli.training import run as train

    if code := train(arguments):  # stopped by a signal
        raise SystemExit(code)


def _predict(folder: Path, run_folder: Path) -> Path:
    from depthmix.predict import predict_files
    from depthmix.sources import MotorcycleStereo
    from depthmix.trained import load_trained

    source = MotorcycleStereo(name="motorcycle")
    photo = Path(source.files(source.keys()[0])[0])
    camera = source.read(source.keys()[0]).intrinsics
    assert camera is not None
    trained = load_trained(run_folder / "last.ckpt")
    formats = ["colour", "png16", "npy", "ply"]
    for line in predict_files(trained, [photo], folder / "predictions", formats=formats, focal_px=camera.fx):
        print(line)
    return photo


def _report(run_folder: Path, prepared: Path) -> Path:
    from depthmix.report import build_report

    return build_report(run_folder, prepared)


def _closing(folder: Path, config: Path, run_folder: Path, photo: Path, page: Path, seconds: float) -> str:
    """Write the table again, where the page is, and three commands to go on with."""
    from depthmix.metrics.table import format_table, read_rows

    return f"""
{format_table(read_rows(run_folder / "test.json"))}

done in {seconds / 60:.1f} minutes
next  depthmix fit --config {config} --data.sources.web.weight 2 --trainer.default_root_dir {folder}/run-2
      depthmix predict {photo} --ckpt {run_folder}/last.ckpt --fov-degrees 60 --out {folder}/predictions
      depthmix sources list
open  {page}
"""
