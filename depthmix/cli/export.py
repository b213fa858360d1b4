"""`depthmix export`: a trained checkpoint -> files that run without depthmix."""

import argparse
from pathlib import Path

__all__ = ["add_arguments", "run"]

FAR = "differs from the network by at most"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("ckpt", type=Path, help="checkpoint of a depthmix run, or an exported folder")
    parser.add_argument("--out", type=Path, default=Path("exported"), help="folder to write to")
    parser.add_argument("--format", nargs="+", choices=["onnx", "pt2", "safetensors", "hf"], default=["onnx"])
    parser.add_argument("--size", help="HxW of the images (default: those of training)")
    parser.add_argument(
        "--trust", action="store_true", help="let the checkpoint import code outside depthmix"
    )


def run(options: argparse.Namespace) -> int:
    """Write each format and say how far it is from the network."""
    from depthmix.cli.sizes import parse_size
    from depthmix.export import export_network, figures_beside
    from depthmix.trained import load_trained

    trained = load_trained(options.ckpt, trust=options.trust)
    rows, without = figures_beside(options.ckpt) if "hf" in options.format else ([], None)
    found = export_network(
        trained,
        options.out,
        stem=options.ckpt.stem,
        formats=options.format,
        size=parse_size(options.size),
        rows=rows,
        without=without,
    )
    for one in found:
        how = "the weights" if one.error is None else f"{FAR} {one.error:.1e} in batches of 1 and 3"
        if one.file.is_dir():
            how += f" with a model card{f', no figures in it: {without}' if without else ''}"
        print(f"{one.file}: {_megabytes(one.file):.1f} MB, {how}")
    return 0


def _megabytes(path: Path) -> float:
    files = path.glob("*.safetensors") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files) / 1e6
