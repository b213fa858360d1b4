"""`depthmix export`: a trained checkpoint -> files that run without depthmix."""

import argparse
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("ckpt", type=Path, help="checkpoint of a depthmix run")
    parser.add_argument("--out", type=Path, default=Path("exported"), help="folder to write to")
    parser.add_argument("--format", nargs="+", choices=["onnx", "pt2", "safetensors"], default=["onnx"])
    parser.add_argument("--size", help="HxW of the images (default: those of training)")
    parser.add_argument(
        "--trust", action="store_true", help="let the checkpoint import code outside depthmix"
    )


def run(options: argparse.Namespace) -> int:
    """Write each format and say how far it is from the network."""
    from depthmix.cli.sizes import parse_size
    from depthmix.export import export_network
    from depthmix.trained import load_trained

    trained = load_trained(options.ckpt, trust=options.trust)
    size = parse_size(options.size)
    found = export_network(trained, options.out, stem=options.ckpt.stem, formats=options.format, size=size)
    for one in found:
        how = "the weights" if one.error is None else f"differs from the network by at most {one.error:.1e}"
        print(f"{one.file}: {one.file.stat().st_size / 1e6:.1f} MB, {how}")
    return 0
