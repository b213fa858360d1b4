"""Write tiny copies of photo collections, with depth that is known up to what each of them states."""

import json
import pickle
from pathlib import Path

import h5py
import numpy as np

from depthmix.sample import Intrinsics
from depthmix.testing import Truth, known_view
from depthmix.testing.known import code16, write_image


def write_redweb(root: Path) -> dict[str, Truth]:
    """Write ReDWeb_V1: 0 is the nearest, 255 unknown."""
    truths = {}
    for number in range(2):
        view = known_view(number)
        code = np.where(view.sky, 255, np.rint(254 * (1 - 1.5 / view.depth))).astype(np.uint8)
        write_image(root / "Imgs" / f"{number}.jpg", view.image)
        write_image(root / "RDs" / f"{number}.png", code)
        truths[str(number)] = Truth(np.where(view.sky, np.nan, 1 - code / 255), None)
    return truths


def write_megadepth(root: Path) -> dict[str, Truth]:
    """Write two scenes with units of their own, an ordinal map, and the publisher's list without it."""
    truths, listed = {}, []
    for number, (scene, unit) in enumerate((("0000", 0.3), ("0162", 21.0))):
        view = known_view(number)
        folder, photo = root / scene / "dense0", f"{number}_o"
        depth = np.where(view.sky, 0, view.depth * unit).astype(np.float32)
        write_image(folder / "imgs" / f"{photo}.jpg", view.image)
        _write_depth(folder / "depths" / f"{photo}.h5", depth)
        listed.append(f"/{scene}/dense0/imgs/{photo}.jpg")
        low, high = np.quantile(depth[depth > 0], [0.01, 0.98])
        kept = (depth > 0) & (depth >= low) & (depth <= high)
        truths[f"{scene}/dense0/{photo}"] = Truth(np.where(kept, depth, np.nan), None)
    write_image(root / "0162/dense0/imgs/ordinal_o.jpg", view.image)
    _write_depth(
        root / "0162/dense0/depths/ordinal_o.h5", np.where(view.planes == 3, 1, -1).astype(np.float32)
    )
    (root / "lists").mkdir()
    (root / "lists" / "imgs_MD.p").write_bytes(pickle.dumps(listed, protocol=2))
    return truths


def _write_depth(file: Path, depth: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(file, "w") as content:
        content["depth"] = depth


CAMERA = Intrinsics(51.0, 51.0, 31.0, 23.0)


def write_diverse_depth(root: Path, *, part: str = "DiverseDepth", split: str = "train") -> dict[str, Truth]:
    """Write a list of two photos; the second one has sky, planes and a camera."""
    truths, rows = {}, []
    for number in range(2):
        view = known_view(number)
        stem = f"{part}/rgbs/video/{number:03d}"
        per_unit, largest = (512, 23000) if part == "taskonomy" else (65535 / 20, 65535)
        inverse = part in ("HRWSI", "Holopix50k")
        stored = np.where(view.sky, np.nan, 1 / view.depth if inverse else view.depth)
        code = code16(stored, 65535 if inverse else per_unit)
        label = "disp_path" if inverse else "depth_path"
        row: dict[str, object] = {
            "rgb_path": f"{stem}.jpg",
            label: f"{part}/labels/video/{number:03d}.png",
        }
        row["mask_path"] = None
        sky = None
        if number:
            row |= {
                "mask_path": f"{part}/sem/{number}.png",
                "ins_planes_path": f"{part}/ins_planes/{number}.png",
            }
            row["cam_intrinsic_para"] = [CAMERA.fx, CAMERA.cx, CAMERA.cy]
            write_image(root / f"{part}/sem/{number}.png", np.where(view.sky, 17, 49).astype(np.uint8))
            write_image(root / f"{part}/ins_planes/{number}.png", view.planes.astype(np.uint8))
            sky = view.sky
        write_image(root / f"{stem}.jpg", view.image)
        write_image(root / str(row[label]), code)
        rows.append(row)
        valid = (code > 0) & (code <= largest)
        target = np.where(valid, code / (512 if part == "taskonomy" else 65535), np.nan)
        truths[stem] = Truth(
            target, CAMERA if number else None, sky=sky, planes=view.planes if number else None
        )
    folder = root / part / "annotations"
    folder.mkdir(parents=True)
    (folder / f"{split}_annotations.json").write_text(json.dumps(rows))
    return truths
