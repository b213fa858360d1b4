"""Write tiny copies of data sets with planes: segmentation maps, HoliCity, Structured3D and others."""

import json
from pathlib import Path

import numpy as np

from depthmix.sample import Intrinsics
from depthmix.testing.known import BOX, GROUND, WALL, Known, code16, known_view, write_image

KEYS = ("000000000139", "000000000285")
NAMES = {GROUND: "road", WALL: "wall-brick", BOX: "refrigerator", 0: "sky-other-merged"}
MIDDLE = Intrinsics(32.0, 32.0, 31.5, 23.5)  # 90 degrees across 64 pixels


def views(**options) -> dict[str, Known]:
    return {key: known_view(number, **options) for number, key in enumerate(KEYS)}


def make_coco(root: Path) -> dict[str, Known]:
    """Segment ids beyond 65535 use all three bytes; categories are numbered as no one would guess."""
    known = views()
    annotations = []
    numbers = {GROUND: 70_001, WALL: 300, BOX: 9_000_002, 0: 5}
    for key, view in known.items():
        write_image(root / "val2017" / f"{key}.jpg", view.image)
        ids = np.vectorize(numbers.get)(view.planes)
        colours = np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)
        write_image(root / "annotations" / "panoptic_val2017" / f"{key}.png", colours)
        segments = [{"id": number, "category_id": 40 + plane} for plane, number in numbers.items()]
        annotations.append({"file_name": f"{key}.png", "image_id": int(key), "segments_info": segments})
    categories = [{"id": 40 + plane, "name": name} for plane, name in NAMES.items()]
    content = {"annotations": annotations, "categories": categories}
    (root / "annotations" / "panoptic_val2017.json").write_text(json.dumps(content))
    return known


def make_labels(root: Path, *, divisor: int = 0, bits: int = 16) -> dict[str, Known]:
    """Write class maps; with a divisor, ground and wall are instance 3 of their class."""
    known = {f"city/{key}": view for key, view in views().items()}
    for key, view in known.items():
        write_image(root / "images" / f"{key}.jpg", view.image)
        classes = view.planes + 7
        if divisor:
            classes = np.where(view.planes > 0, classes * divisor + 3, classes)
        write_image(root / "labels" / f"{key}.png", classes.astype(np.uint16 if bits == 16 else np.uint8))
    lines = "\n".join(f"{plane + 7}\t{name}" for plane, name in NAMES.items())
    (root / "names.txt").write_text(f"# number and name\n{lines}\n")
    return known


def make_holicity(root: Path) -> dict[str, Known]:
    known = {f"2008-07/{key}_LD": view for key, view in views(camera=MIDDLE).items()}
    for key, view in known.items():
        write_image(root / f"{key}_imag.jpg", view.image)
        write_image(root / f"{key}_plan.png", view.planes.astype(np.uint16))
        depth = np.where(view.sky, 0, view.depth).astype(np.float32)
        np.savez_compressed(root / f"{key}_dpth.npz", depth=depth[..., None])
        box = float(view.depth[view.planes == BOX][0])
        # OpenGL: y up and z towards the viewer, so the ground is y = -1.2 and the wall z = -6.
        w = [[0, 1 / 1.2, 0], [0, 0, 1 / 6.0], [0, 0, 1 / box]]
        np.savez_compressed(root / f"{key}_plan.npz", ws=np.array(w, np.float32))
    return known


def make_structured3d(root: Path) -> dict[str, Known]:
    """Floor and wall belong to the room, the box is furniture that stands before them."""
    known = {
        f"scene_0000{n}/485142/{n}": view
        for n, view in enumerate(views(camera=MIDDLE, has_sky=False).values())
    }
    for key, view in known.items():
        scene, room, position = key.split("/")
        folder = root / scene / "2D_rendering" / room / "perspective" / "full" / position
        write_image(folder / "rgb_rawlight.png", view.image)
        write_image(folder / "depth.png", code16(view.depth, 1000))
        write_image(folder / "instance.png", np.where(view.planes == BOX, 12, 65535).astype(np.uint16))
        half = [np.arctan(1.0), np.arctan(0.75)]
        (folder / "camera_pose.txt").write_text(" ".join(map(str, [0.0] * 9 + half + [1])))
        edge = int(np.flatnonzero((view.planes == GROUND).any(1)).min())
        corners = [[0, 0], [63, 0], [63, edge - 1], [0, edge - 1], [0, edge], [63, edge], [63, 47], [0, 47]]
        junctions = [{"ID": None, "coordinate": place, "isvisible": True} for place in corners]
        planes = [
            {"ID": 0, "visible_mask": [[0, 1, 2, 3]], "type": "wall"},
            {"ID": 1, "visible_mask": [[4, 5, 6, 7]], "type": "floor"},
        ]
        (folder / "layout.json").write_text(json.dumps({"junctions": junctions, "planes": planes}))
    return known


def world_pose() -> np.ndarray:
    """Camera to world: a turn about x, then a step."""
    angle = 0.3
    pose = np.eye(4)
    pose[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    pose[:3, 3] = [0.4, -2.0, 1.5]
    return pose


def make_scannet_planes(root: Path) -> dict[str, Known]:
    """Colours are (id + 1) * 100 with red as the highest byte; the table has planes before and behind."""
    known = {f"scene0000_0{n}/{n * 20}": view for n, view in enumerate(views().values())}
    first = 900  # so that colours use two bytes
    for key, view in known.items():
        scene, frame = key.split("/")
        folder = root / scene
        write_image(
            folder / "frames" / "color" / f"{frame}.jpg", np.kron(view.image, np.ones((2, 2, 1), np.uint8))
        )
        colour = np.where(view.planes > 0, (view.planes + first) * 100, 0)
        colours = np.stack([colour // 65536, colour // 256 % 256, colour % 256], -1).astype(np.uint8)
        write_image(folder / "annotation" / "segmentation" / f"{frame}.png", colours)
        box = float(view.depth[view.planes == BOX][0])
        pose, table = world_pose(), np.ones((first + 3, 3))
        for number, (normal, offset) in enumerate([((0, 1, 0), 1.2), ((0, 0, 1), 6.0), ((0, 0, 1), box)]):
            turned = pose[:3, :3] @ np.array(normal, np.float64)
            table[first + number] = turned * (offset + turned @ pose[:3, 3])
        np.save(folder / "annotation" / "planes.npy", table)
        (folder / "frames" / "pose").mkdir(parents=True)
        (folder / "frames" / "pose" / f"{frame}.txt").write_text(
            "\n".join(" ".join(map(str, row)) for row in pose)
        )
        facts = {
            "colorWidth": 128,
            "fx_color": 2 * 51.2,
            "fy_color": 2 * 52.48,
            "mx_color": 64.78,
            "my_color": 43.7,
        }
        (folder / f"{scene}.txt").write_text("\n".join(f"{name} = {value}" for name, value in facts.items()))
    return known


def runs_to_text(runs: list[int]) -> str:
    """Encode runs as COCO's text: differences from the third run on, in groups of five bits."""
    text = ""
    for place, run in enumerate(runs):
        value = run - runs[place - 2] if place > 2 else run
        while True:
            group = value & 31
            value >>= 5
            more = value != (-1 if group & 16 else 0)
            text += chr(48 + (group | (32 if more else 0)))
            if not more:
                break
    return text


def runs_of(mask: np.ndarray) -> list[int]:
    flat = np.concatenate([[0], mask.T.ravel().astype(int)])
    edges = np.flatnonzero(np.diff(flat)) + 0
    ends = np.concatenate([[0], edges, [mask.size]])
    return np.diff(ends).tolist()


def make_sparse_planes(root: Path) -> dict[str, Known]:
    """One pair of views; masks as text runs, as plain runs and as a polygon."""
    camera = Intrinsics(517.97 * 64 / 640, 517.97 * 64 / 640, 31.5, 23.5)
    known = {f"2t7WUuJeko7/{n}": view for n, view in enumerate(views(camera=camera).values())}
    sides = []
    for key, view in known.items():
        write_image(root / "rgb" / f"{key}.png", view.image)
        size = list(view.size)
        masks = [
            {"size": size, "counts": runs_to_text(runs_of(view.planes == GROUND))},
            {"size": size, "counts": runs_of(view.planes == WALL)},
            {"size": size, "counts": runs_to_text(runs_of(view.planes == BOX))},
        ]
        path = f"/authors/disk/rgb/{key}.png"
        annotations = [{"segmentation": mask, "plane": [0, 1, 0]} for mask in masks]
        sides.append({"file_name": path, "annotations": annotations})
    folder = root / "mp3d_planercnn_json"
    folder.mkdir(parents=True)
    content = {"info": "", "data": [{"0": sides[0], "1": sides[1]}]}
    (folder / "cached_set_val.json").write_text(json.dumps(content))
    return known
