"""Write the layout of Depth in the Wild from a scene whose depth is known."""

from pathlib import Path

import numpy as np

from depthmix.testing.known import Known, known_view, write_image


def make_diw(
    root: Path, *, split: str = "train", count: int = 2, annotations: str = "DIW_Annotations"
) -> dict[str, Known]:
    """Write `count` photos with one pair each, and return their scenes by key."""
    folder = "DIW_test" if split == "test" else "DIW_train_val"
    known, lines = {}, []
    for i in range(count):
        view, key = known_view(i), f"{folder}/{i:040x}"
        write_image(root / f"{key}.jpg", view.image)
        # The publisher's photos are JPEG with this suffix.
        (root / f"{key}.jpg").rename(root / f"{key}.thumb")
        known[key] = view
        lines += [f"./{key}.thumb", row(view, np.random.default_rng(i), first_pixel=1)]
    (root / annotations).mkdir(parents=True, exist_ok=True)
    (root / annotations / f"DIW_{split}.csv").write_text("".join(f"{line}\n" for line in lines))
    return known


def row(view: Known, random: np.random.Generator, *, first_pixel: int) -> str:
    """Write one pair of points whose depths differ, the first of them right of where a row could lie."""
    height, width = view.size
    while True:
        v1, v2 = random.integers(0, height, 2)
        u1, u2 = random.integers(height, width), random.integers(0, width)
        first, second = view.depth[v1, u1], view.depth[v2, u2]
        if first != second:
            places = ",".join(str(place + first_pixel) for place in (v1, u1, v2, u2))
            return f"{places},{'>' if first > second else '<'},{width},{height}"
