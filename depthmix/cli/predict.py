"""`depthmix predict`: photos -> depth, with a trained checkpoint."""

import argparse
import sys
from pathlib import Path

__all__ = ["add_arguments", "run"]

FORMATS = ("colour", "png16", "npy", "exr", "ply", "glb")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("photo", nargs="+",
                        help="image files, folders of them, videos; - reads paths from stdin")  # fmt: skip
    parser.add_argument("--ckpt", type=Path, required=True,
                        help="checkpoint of a depthmix run, or an exported folder")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("predictions"), help="folder to write to")
    parser.add_argument("--format", nargs="+", choices=FORMATS, default=["colour", "png16", "npy"])
    focal = parser.add_mutually_exclusive_group()
    focal.add_argument("--focal-px", type=float, help="focal length in pixels of the photo")
    focal.add_argument("--fov-degrees", type=float, help="horizontal field of view of the photo")
    parser.add_argument("--flip", action="store_true", help="also look at the mirrored photo; twice the time")
    parser.add_argument("--tiles", type=int, default=1, metavar="N",
                        help="also look at N x N overlapping parts, for detail (default: none)")  # fmt: skip
    parser.add_argument("--batch", type=int, default=1, metavar="N",
                        help="photos that go through the network together, if equal in size")  # fmt: skip
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto",
                        help="where the network computes (default: a GPU where there is one)")  # fmt: skip
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every n-th frame of a video")
    parser.add_argument("--on-bad", choices=["error", "skip"], default="error",
                        help="what to do with files that cannot be read")  # fmt: skip
    parser.add_argument(
        "--trust", action="store_true", help="let the checkpoint import code outside depthmix"
    )


def run(options: argparse.Namespace) -> int:
    """Predict each photo and say what its numbers mean; 1 where a file was skipped."""
    from depthmix.predict import listed, on_device, predict_files
    from depthmix.trained import load_trained

    trained = on_device(load_trained(options.ckpt, trust=options.trust), options.device)
    given = [listed(sys.stdin) if photo == "-" else [Path(photo)] for photo in options.photo]
    lines = predict_files(
        trained,
        [path for paths in given for path in paths],
        options.out,
        formats=options.format,
        focal_px=options.focal_px,
        fov_degrees=options.fov_degrees,
        flip=options.flip,
        tiles=options.tiles,
        every=options.every,
        batch=options.batch,
        on_bad=options.on_bad,
        say=lambda line: print(line, flush=True),
    )
    return int(any(line.startswith("skipped: ") for line in lines))
