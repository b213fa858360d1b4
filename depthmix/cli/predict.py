"""`depthmix predict`: photos -> depth, with a trained checkpoint."""

import argparse
from pathlib import Path

__all__ = ["add_arguments", "run"]

FORMATS = ("colour", "png16", "npy", "ply")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("photo", type=Path, nargs="+", help="image files")
    parser.add_argument("--ckpt", type=Path, required=True, help="checkpoint of a depthmix run")
    parser.add_argument("--out", type=Path, default=Path("predictions"), help="folder to write to")
    parser.add_argument("--format", nargs="+", choices=FORMATS, default=["colour", "png16", "npy"])
    focal = parser.add_mutually_exclusive_group()
    focal.add_argument("--focal-px", type=float, help="focal length in pixels of the photo")
    focal.add_argument("--fov-degrees", type=float, help="horizontal field of view of the photo")
    parser.add_argument(
        "--trust", action="store_true", help="let the checkpoint import code outside depthmix"
    )


def run(options: argparse.Namespace) -> int:
    """Predict each photo and say what its numbers mean."""
    from depthmix.predict import predict_files
    from depthmix.trained import load_trained

    trained = load_trained(options.ckpt, trust=options.trust)
    written = predict_files(
        trained,
        options.photo,
        options.out,
        formats=options.format,
        focal_px=options.focal_px,
        fov_degrees=options.fov_degrees,
    )
    print("\n".join(written))
    return 0
