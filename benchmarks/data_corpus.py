"""Samples for `benchmarks/data.py`: crops of real photos with the depth and planes of made-up rooms.

The photos do not match the rooms: this measures throughput, nothing else. The same number always gives the
same bytes.
"""

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

SIZE, SAMPLES = (480, 640), 600
PHOTOS = ("astronaut", "coffee", "chelsea", "hubble_deep_field", "retina", "immunohistochemistry")
FOCAL = 500.0


def write_corpus(root: Path) -> None:
    """Write the stores that need nothing outside depthmix's environment: its own, files, HDF5 of h5py.

    What lies there is kept if the codecs still give the same bytes.
    """
    import cv2
    import h5py

    from depthmix.store import CodecOptions, ShardWriter, encode_sample

    codec, photos = CodecOptions(), load_photos()
    first = b"".join(encode_sample(sample(photos, 0), codec).blobs)
    stamp = {"samples": SAMPLES, "first": hashlib.sha256(first).hexdigest()}
    done = root / "done.json"
    if done.exists() and json.loads(done.read_text()) == stamp:
        return
    shutil.rmtree(root, ignore_errors=True)
    for name in ("files", "depthmix"):
        (root / name).mkdir(parents=True)
    card = {"family": "synthetic", "quality": "HIGH", "kind": "METRIC_DEPTH", "unit": "m", "density": "dense"}
    card |= {"noise": "", "licence": "CC0-1.0", "citation": "benchmark"}
    metadata = {"name": "rooms", "card": card, "size": None, "options": {"codec": asdict(codec)}}
    writer = ShardWriter(root / "depthmix", {**metadata, "samples_per_shard": SAMPLES})
    drawn = (sample(photos, number) for number in range(SAMPLES))
    encoded = []
    with h5py.File(root / "vlen.h5", "w") as file:
        vlen = h5py.vlen_dtype(np.dtype("uint8"))
        jpegs = file.create_dataset("image", (SAMPLES,), vlen)
        shape, chunks = (SAMPLES, *SIZE), (1, *SIZE)
        options: dict[str, Any] = {
            "chunks": chunks,
            "compression": "gzip",
            "compression_opts": 1,
            "shuffle": True,
        }
        depths = file.create_dataset("depth", shape, "u2", **options)
        planes = file.create_dataset("planes", shape, "u1", **options)
        for number, one in enumerate(drawn):
            stored = encode_sample(one, codec)
            encoded.append(stored)
            jpeg = bytes(stored.blobs[0])
            depth, ids = millimetres(one), one.planes.astype(np.uint8)
            jpegs[number], depths[number], planes[number] = np.frombuffer(jpeg, np.uint8), depth, ids
            stem = root / "files" / f"{number:06d}"
            stem.with_suffix(".jpg").write_bytes(jpeg)
            cv2.imwrite(f"{stem}.depth.png", depth)
            cv2.imwrite(f"{stem}.planes.png", ids)
    writer.write(0, encoded, [str(number) for number in range(SAMPLES)])
    writer.close()
    done.write_text(json.dumps(stamp))


def load_photos() -> list[np.ndarray]:
    """Return the colour photos that scikit-image ships, all at least as large as a sample."""
    import cv2
    from skimage import data

    photos = [getattr(data, name)()[..., :3] for name in PHOTOS] + list(data.stereo_motorcycle()[:2])
    grown = []
    for photo in photos:
        scale = max(1.0, 1.2 * SIZE[0] / photo.shape[0], 1.2 * SIZE[1] / photo.shape[1])
        size = (round(photo.shape[1] * scale), round(photo.shape[0] * scale))
        grown.append(cv2.resize(np.ascontiguousarray(photo), size, interpolation=cv2.INTER_CUBIC))
    return grown


def sample(photos: list[np.ndarray], number: int) -> Any:
    """Return the sample of a number."""
    from depthmix.sample import Intrinsics, LabelKind, Quality, Sample

    random = np.random.default_rng(number)
    photo = photos[number % len(photos)]
    top, left = (random.integers(0, have - want + 1) for have, want in zip(photo.shape, SIZE, strict=False))
    depth, planes = room(random)
    depth *= 1 + 2e-4 * random.standard_normal(SIZE, np.float32)
    holes = random.random((SIZE[0] // 16, SIZE[1] // 16)) < 0.06
    valid = ~np.kron(holes, np.ones((16, 16), np.bool_))
    return Sample(
        image=np.ascontiguousarray(photo[top : top + SIZE[0], left : left + SIZE[1]]),
        target=np.where(valid, depth, 0).astype(np.float32),
        valid=valid,
        sky=np.zeros(SIZE, np.bool_),
        planes=planes,
        sigma=None,
        intrinsics=Intrinsics(FOCAL, FOCAL, 319.5, 239.5),
        quality=Quality.HIGH,
        kind=LabelKind.METRIC_DEPTH,
        source="rooms",
        key=f"{number:06d}",
    )


def room(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cast rays into a box with five panels that stand in it; return depth and plane ids."""
    v, u = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    rays = np.stack([(u - 319.5) / FOCAL, (v - 239.5) / FOCAL, np.ones_like(u)], -1)
    depth, planes = np.full(SIZE, np.inf, np.float32), np.zeros(SIZE, np.int32)
    walls = [(0, -1), (0, 1), (1, -1), (1, 1), (2, 1)]
    for number, (axis, side) in enumerate(walls, 1):
        normal = side * np.eye(3)[axis] + random.normal(0, 0.05, 3)
        place(
            depth,
            planes,
            rays,
            normal.astype(np.float32),
            random.uniform(2, 6),
            number,
            np.ones(SIZE, np.bool_),
        )
    for number in range(7, 13):
        normal = np.array([0, 0, 1]) + random.normal(0, 0.4, 3)
        top, left = random.integers(0, 380), random.integers(0, 520)
        window = np.zeros(SIZE, np.bool_)
        window[top : top + random.integers(40, 200), left : left + random.integers(40, 250)] = True
        place(depth, planes, rays, normal.astype(np.float32), random.uniform(1, 2), number, window)
    return depth, planes


def place(
    depth: np.ndarray,
    planes: np.ndarray,
    rays: np.ndarray,
    normal: np.ndarray,
    offset: float,
    number: int,
    window: np.ndarray,
) -> None:
    """Put one plane in front of what is there."""
    along = rays @ normal
    z = np.where(along > 1e-3, np.float32(offset) / np.maximum(along, 1e-3), np.inf)
    nearer = window & (z < depth)
    depth[nearer], planes[nearer] = z[nearer], number


def millimetres(one: Any) -> np.ndarray:
    """Return the depth as files keep it."""
    return np.rint(one.target * 1000).astype(np.uint16)
