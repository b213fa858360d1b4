"""`depthmix export`: a trained checkpoint -> files that run without depthmix."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from depthmix.errors import ConfigError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from depthmix.export.measure import Change

__all__ = ["add_arguments", "run"]

FAR = "differs from the network by at most"
INT8 = "onnx-int8"
MOST_PHOTOS = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("ckpt", type=Path, help="checkpoint of a depthmix run, or an exported folder")
    parser.add_argument("--out", type=Path, default=Path("exported"), help="folder to write to")
    parser.add_argument(
        "--format", nargs="+", choices=["onnx", "pt2", "safetensors", "hf", INT8], default=["onnx"]
    )
    parser.add_argument("--size", help="HxW of the images (default: those of training)")
    parser.add_argument("--calibrate", type=Path, metavar="FOLDER",
                        help="photos that onnx-int8 and --prune need and are measured on")  # fmt: skip
    parser.add_argument("--set", type=Path, metavar="PREPARED",
                        help="prepared set to measure onnx-int8 and --prune on, too")  # fmt: skip
    parser.add_argument("--prune", type=float, metavar="FRACTION",
                        help="first take away this part of the hidden channels")  # fmt: skip
    parser.add_argument(
        "--trust", action="store_true", help="let the checkpoint import code outside depthmix"
    )


def run(options: argparse.Namespace) -> int:
    """Write each format and say how far it is from the network."""
    from depthmix.cli.sizes import parse_size
    from depthmix.export import export_int8, export_network, figures_beside, measured_pruning
    from depthmix.store import ShardSet
    from depthmix.trained import load_trained

    trained = load_trained(options.ckpt, trust=options.trust)
    size = parse_size(options.size) or (trained.height, trained.width)
    shards = ShardSet(options.set) if options.set else None
    photos = _photos(options, size)
    rows, without = figures_beside(options.ckpt) if "hf" in options.format else ([], None)
    if options.prune is not None:
        trained, change = measured_pruning(trained, options.prune, photos, shards)
        rows, without = [], "the network was pruned after its evaluation"
        _say(f"pruned by {options.prune:g} and not trained anew", change)
    plain = [name for name in options.format if name != INT8]
    named = {"stem": options.ckpt.stem, "formats": plain, "size": size}
    for one in export_network(trained, options.out, **named, rows=rows, without=without):
        how = "the weights" if one.error is None else f"{FAR} {one.error:.1e} in batches of 1 and 3"
        if one.file.is_dir():
            how += f" with a model card{f', no figures in it: {without}' if without else ''}"
        print(f"{one.file}: {_megabytes(one.file):.1f} MB, {how}")
    if INT8 in options.format:
        small = export_int8(trained, options.out, photos, stem=options.ckpt.stem, shards=shards)
        _say(str(small.file), small.change)
    return 0


def _photos(options: argparse.Namespace, size: tuple[int, int]) -> "Float[Tensor, 'b 3 h w']":
    """Return the photos that were given; none where nothing needs them.

    Raises:
        ConfigError: they are needed and not given.
    """
    import torch

    from depthmix.export.photos import photos_of

    if options.calibrate is not None:
        return photos_of(options.calibrate, *size, most=MOST_PHOTOS)
    needs = [f"--format {INT8}"] if INT8 in options.format else []
    needs += ["--prune"] if options.prune is not None else []
    if needs:
        hint = "give a folder with some dozens that look like those of the later use"
        raise ConfigError(f"{needs[0]} needs photos", field="--calibrate", hint=hint)
    return torch.zeros(0, 3, *size)


def _say(what: str, change: "Change") -> None:
    print("\n  ".join([f"{what}:", *change.lines()]))


def _megabytes(path: Path) -> float:
    files = path.glob("*.safetensors") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files) / 1e6
