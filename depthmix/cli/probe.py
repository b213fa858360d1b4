"""`depthmix probe`: whether the features of a trained encoder tell which source an image came from."""

import argparse
import json
from pathlib import Path
from typing import Any

from depthmix.errors import ConfigError, visible

__all__ = ["add_arguments", "run", "table"]

NAMES = {
    "encoder": "encoder",
    "random": "encoder with random weights",
    "statistics": "colour, contrast, JPEG blocks",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("ckpt", type=Path, metavar="RUN", help="run folder, or a checkpoint of it")
    parser.add_argument("root", metavar="PREPARED", help="root of the prepared mix")
    parser.add_argument("--sources", nargs="+", metavar="NAME",
                        help="folders below the root (default: the training sources of the run)")  # fmt: skip
    parser.add_argument("--images", type=int, default=200, metavar="N", help="images of each source at most")
    parser.add_argument("--layer", default="", help="module whose features are probed (default: last stage)")
    parser.add_argument(
        "--folds", type=int, default=5, help="parts of the images; each is told from the others"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--trust", action="store_true", help="let the checkpoint import foreign code")
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def run(options: argparse.Namespace) -> int:
    """Print a table of the probes."""
    from depthmix.artefact import checkpoint_at
    from depthmix.predict import on_device
    from depthmix.probe import probe_sources, source_images
    from depthmix.store.remote import below
    from depthmix.trained import load_trained

    for name, least in {"images": 2, "folds": 2, "seed": 0}.items():
        if getattr(options, name) < least:
            raise ConfigError(f"must be at least {least}, got {getattr(options, name)}", field=f"--{name}")
    trained = on_device(load_trained(checkpoint_at(options.ckpt), trust=options.trust), options.device)
    names: list[str] = options.sources or list(trained.sources)
    if len(set(names)) < 2:
        found = ", ".join(names) or "none"
        raise ConfigError(f"there must be at least two sources, got {found}", field="--sources")
    size = trained.height, trained.width
    images = {name: source_images(below(options.root, name), options.images, *size) for name in names}
    report = probe_sources(
        trained, images, layer=options.layer, folds=options.folds, seed=options.seed, trust=options.trust
    )
    print(json.dumps(report, indent=2) if options.json else table(report))
    return 0


def table(report: dict[str, Any]) -> str:
    """Write the report of `probe_sources` for a reader."""
    sources, probes = report["sources"], report["probes"]
    count = sum(sources.values())
    lines = [
        f"{count} images of {len(sources)} sources, {report['folds']} folds; "
        f"by chance {report['chance']:.1%} would be told",
        f"{'what is looked at':30} numbers   told  95 % interval    encoder tells more by",
    ]
    for name, probe in probes.items():
        told = f"{probe['accuracy']:6.1%}  {probe['low']:6.1%} - {probe['high']:6.1%}"
        gain = probe["gain"]
        more = f"{gain['accuracy']:+6.1%}  {gain['low']:+.1%} .. {gain['high']:+.1%}"
        lines.append(
            f"{NAMES[name]:30} {probe['width']:7}  {told}    {more if name != 'encoder' else ''}".rstrip()
        )
    width = max(len(visible(name)) for name in sources)
    lines.append(f"{'of the images of':{width + 17}} the encoder takes for")
    for name, row in zip(sources, probes["encoder"]["confusion"], strict=True):
        parts = ", ".join(f"{visible(other)} {part:.0%}" for other, part in zip(sources, row, strict=True))
        lines.append(f"{visible(name):{width + 17}} {parts}")
    return "\n".join(lines)
