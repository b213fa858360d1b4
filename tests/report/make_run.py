"""Write a small run folder with prepared sets of all four tiers, a checkpoint, curves and results."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import yaml

from depthmix.errors import BadSource
from depthmix.models import LightDepthNet
from depthmix.prepare import prepare
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard

HOSTILE = "<script>alert(1)</script> & \"q\" 'a' $x$ ü"
HEIGHT, WIDTH = 48, 64
CAMERA = Intrinsics(fx=60.0, fy=60.0, cx=31.5, cy=18.0)


def card(family: str, quality: Quality, kind: LabelKind, unit: str, density: str = "dense") -> SourceCard:
    """A label card with a hostile licence."""
    return SourceCard(family, quality, kind, unit, density, "", "CC0 <b>bold</b>", "Nobody & Sons, 2026")


CARDS = {
    "web": card("web stereo", Quality.LOW, LabelKind.AFFINE_DISPARITY, "1/m up to scale and shift"),
    "kitti": card("lidar", Quality.HIGH, LabelKind.METRIC_DEPTH, "m", "sparse"),
    "stereo": card("calibrated stereo", Quality.MIDDLE, LabelKind.METRIC_DEPTH, "m"),
    "planes": card("planes", Quality.WEAK, LabelKind.NONE, "", "none"),
}


class Corner(Source):
    """A floor that runs into a wall, labelled as its card says; key "broken" can not be read."""

    def __init__(self, root: Path, *, name: str, card: SourceCard, keys: Sequence[str]) -> None:
        super().__init__(root, name=name)
        self.card, self._keys = card, sorted(keys)  # type: ignore[misc]

    def keys(self) -> Sequence[str]:
        """List the keys."""
        return self._keys

    def files(self, key: str) -> Sequence[Path]:
        """Name the one file."""
        return [self.root / "raw.bin"]

    def read(self, key: str) -> Sample:
        """Compute the corner; the wall stands at another distance for every key."""
        if key == "broken":
            raise BadSource("truncated <after> 3 bytes", file=self.files(key)[0], sample=f"{self.name}/{key}")
        rows, columns = np.indices((HEIGHT, WIDTH))
        wall = 5.0 + len(key) % 4
        depth = np.minimum(1.5 / np.maximum((rows - CAMERA.cy) / CAMERA.fy, 1e-6), wall).astype(np.float32)
        kind, sky = self.card.kind, rows < 6
        image = (
            np.clip(255 * (1 - depth / 12), 0, 255)[..., None] * [1, 0.9, 0.7] + (columns % 8 * 3)[..., None]
        )
        known = ~sky if self.card.density != "sparse" else ~sky & (rows % 4 == 0) & (columns % 3 == 0)
        return self.sample(
            key,
            image=np.clip(image, 0, 255).astype(np.uint8),
            target=(3 / depth - 1).astype(np.float32) if kind is LabelKind.AFFINE_DISPARITY else depth,
            valid=known if kind is not LabelKind.NONE else np.zeros_like(known),
            sky=sky,
            planes=np.where(sky, 0, np.where(depth < wall, 300, 2)).astype(np.int32),
            intrinsics=None if kind is LabelKind.AFFINE_DISPARITY else CAMERA,
        )


def make_data(root: Path) -> Path:
    """Prepare the four sources; the key of a web sample is hostile, one sample of kitti is broken."""
    raw = root / "raw"
    raw.mkdir(parents=True)
    (raw / "raw.bin").write_bytes(b"raw")
    for name, its_card in CARDS.items():
        keys = [HOSTILE if name == "web" else "a", "bb", "ccc", *(["broken"] if name == "kitti" else [])]
        prepare(Corner(raw, name=name, card=its_card, keys=keys), root / "mix" / name, max_bad_fraction=0.3)
    return root / "mix"


def make_run(run: Path) -> Path:
    """Write every artefact of a run."""
    run.mkdir(parents=True)
    make_config(run)
    make_curves(run)
    make_results(run)
    make_worst(run)
    make_checkpoint(run)
    return run


def make_config(run: Path) -> None:
    """Write the configuration that the run was made from."""
    weights = {"web": 1.0, "kitti": 1.0, "planes": 0.5}
    data = {
        "root": "mix",
        "sources": {name: {"weight": weight, "path": None} for name, weight in weights.items()},
        "test_sources": {"stereo": "stereo"},
        "val_sources": {"stereo": "stereo"},
    }
    text = yaml.safe_dump({"seed_everything": 0, "data": data}) + "# <i>note</i>\n"
    (run / "config.yaml").write_text(text, encoding="utf-8")


def make_curves(run: Path) -> None:
    """Write metrics.csv as the CSV logger does: many empty cells, one loss that broke."""
    names = [
        "train/loss",
        "train/terms/ssi",
        "train/terms/plane",
        "train/sources/ssi/web",
        "train/sources/ssi/kitti",
    ]
    names += ["train/gradients/ssi", "train/gradients/plane", "train/pulls/web", "train/pulls/kitti"]
    names += ["val/stereo/abs_rel"]
    lines = [",".join(["epoch", "step", *names])]
    for step in range(0, 400, 20):
        ssi = 0.6 * 0.99**step + 0.1
        plane = "nan" if step == 200 else f"{2 * ssi:.5f}"
        row = [
            f"{ssi * 2:.5f}",
            f"{ssi:.5f}",
            plane,
            f"{ssi * 1.2:.5f}",
            f"{ssi * 0.8:.5f}",
            f"{ssi * 30:.3f}",
            "0.1",
            "0.75",
            "0.25",
        ]
        lines.append(",".join([str(step // 100), str(step), *row, ""]))
        if step % 100 == 80:
            lines.append(",".join([str(step // 100), str(step + 1), *[""] * len(row), f"{ssi / 2:.4f}"]))
    (run / "metrics.csv").write_text("\n".join(lines) + "\n")


def make_results(run: Path) -> None:
    """Write test.json: two sets, two alignments, and a measure that one of them can not bear."""
    rows = [
        {
            "set": name, "family": "calibrated stereo", "tier": "middle", "kind": "METRIC_DEPTH", "count": 3,
            "alignment": alignment, "abs_rel": value, "delta1": 1 - value, "rmse": 120.0,
            "planarity_angle": angle, "abs_rel_low": 0.9 * value, "abs_rel_high": 1.2 * value,
        }
        for name, value, angle in (("stereo", 0.25, 12.0), ("rooms<x>", 0.125, None))
        for alignment in ("none", "affine_inverse_depth")
    ]  # fmt: skip
    record = {"schema": 1, "version": "0.1.0", "checkpoint": "last.ckpt", "rows": rows}
    (run / "test.json").write_text(json.dumps(record))

    images = [
        {"set": "stereo", "alignment": "none", "image": f"stereo/{key}", "abs_rel": value}
        for key, value in {"a": 0.1, "bb": 0.5, "ccc": 0.15}.items()
    ]
    (run / "test_images.json").write_text(json.dumps({"schema": 1, "images": images}))


def make_worst(run: Path) -> None:
    """Write worst.json: a sample of the mix with a hostile name, and one that is not there any more."""
    entries = [
        {"sample": sample, "source": source, "seen": 3, "mean_score": 4.5, "weight": 0.4, "score": 5.0,
         "losses": {"ssi": 0.75, "<i>term</i>": None}}
        for sample, source in ((f"web/{HOSTILE}", "web"), ("gone/x", "gone"))
    ]  # fmt: skip
    (run / "worst.json").write_text(json.dumps({"step": 400, "samples": entries}))


def make_checkpoint(run: Path) -> None:
    """Write an untrained network as a checkpoint."""
    torch.manual_seed(0)
    arguments = {"widths": [8, 16], "bottleneck": 1}
    weights = {f"net.{name}": value for name, value in LightDepthNet(**arguments).state_dict().items()}
    facts = {
        "schema": 1, "version": "0.1.0", "focal_canonical": 60.0, "metric": True,
        "height": HEIGHT, "width": WIDTH,
        "net": {"class_path": "depthmix.models.LightDepthNet", "init_args": arguments}, "sources": {},
    }  # fmt: skip
    torch.save({"depthmix": facts, "state_dict": weights}, run / "last.ckpt")
