"""A folder that options describe is read like a data set with an adapter; impossible options are named."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from depthmix.cli import main
from depthmix.errors import BadSource
from depthmix.prepare.describe import describe
from depthmix.prepare.job import Job
from depthmix.sample import Intrinsics, LabelKind, Quality
from depthmix.sources.base import Source
from depthmix.sources.folder import FolderSource
from depthmix.store import CodecOptions, ShardSet
from depthmix.testing import SourceContract, Truth, known_view
from depthmix.testing.known import code16, write_image
from tests.data.folder import make as fake


def options(form: str) -> dict[str, Any]:
    patterns = {
        "images": "rgb/**/*_rgb.png",
        "labels": f"label/**/*.{fake.SUFFIXES[form]}",
        "camera": "camera.json",
    }
    return {"quality": "HIGH", **patterns, **fake.OPTIONS[form]}


class FolderContract(SourceContract):
    __test__ = False
    form: str
    count = 3
    headless = (".pfm", ".npy", ".tif", ".exr")
    any_size = (".png", ".npy")  # the image follows its label
    optional = ("_rgb.png",)  # the images say which samples there are
    truths: dict[str, Truth]

    def make(self, tmp_path: Path) -> FolderSource:
        self.truths = fake.write(tmp_path / "raw", self.form)
        return FolderSource(tmp_path / "raw", **options(self.form))

    def again(self, source: Source, root: Path) -> FolderSource:
        return FolderSource(root, **options(self.form))

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


for _form in fake.WRITERS:
    globals()[f"TestFolderOf{_form.title()}"] = type(
        f"TestFolderOf{_form.title()}", (FolderContract,), {"form": _form}
    )
del FolderContract  # collected through its subclasses


def test_a_disparity_brings_its_spread(tmp_path: Path):
    fake.write(tmp_path, "disparity")
    sample = next(iter(FolderSource(tmp_path, **options("disparity"), sigma_disparity_px=0.25)))
    assert sample.sigma is not None
    assert sample.intrinsics is not None
    expected = sample.target.astype(float) ** 2 * 0.25 / (sample.intrinsics.fx * fake.BASELINE_M)
    np.testing.assert_allclose(sample.sigma[sample.valid], expected[sample.valid], rtol=1e-5)


@pytest.mark.parametrize(
    ("means", "kind"),
    [
        ("inverse depth", "AFFINE_DISPARITY"),
        ("disparity", "AFFINE_DISPARITY"),
        ("scaled depth", "SCALED_DEPTH"),
    ],
)
def test_relative_labels_are_taken_as_they_are(tmp_path: Path, means: str, kind: str):
    for key, view in fake.write_photos(tmp_path).items():
        (tmp_path / "label" / key).parent.mkdir(parents=True, exist_ok=True)
        np.save(
            tmp_path / "label" / f"{key}.npy",
            np.where(view.sky, np.nan, 7 - 3 / view.depth).astype(np.float32),
        )
    source = FolderSource(
        tmp_path,
        quality="LOW",
        images="rgb/**/*_rgb.png",
        labels="label/**/*.npy",
        encoding="npy",
        means=means,
    )
    assert source.card.kind is LabelKind[kind]
    for sample in source:
        view = fake.views()[sample.key]
        np.testing.assert_array_equal(sample.valid, ~view.sky)
        np.testing.assert_allclose(sample.target[sample.valid], (7 - 3 / view.depth)[sample.valid], rtol=1e-6)


def test_masks_confidence_sky_and_limits_say_what_is_valid(tmp_path: Path):
    view = known_view(0)
    rows, columns = np.indices(view.size)
    write_image(tmp_path / "rgb/a.png", view.image)
    np.save(tmp_path / "a.npy", view.depth.astype(np.float32))
    write_image(tmp_path / "mask/a.png", (255 * (columns > 5)).astype(np.uint8))
    write_image(tmp_path / "sky/a.png", (view.sky | (rows == 20)).astype(np.uint8))
    write_image(tmp_path / "sure/a.png", (rows * 1000).astype(np.uint16))
    write_image(tmp_path / "ids/a.png", view.planes.astype(np.uint16))
    patterns = {"images": "rgb/*.png", "labels": "*.npy", "masks": "mask/*.png", "sky": "sky/*.png"}
    patterns |= {"confidence": "sure/*.png", "planes": "ids/*.png"}
    (sample,) = FolderSource(
        tmp_path, quality="MIDDLE", encoding="npy", **patterns, min_confidence=0.4, highest=5.5, lowest=2
    )
    expected = (columns > 5) & ~view.sky & (rows != 20) & (rows * 1000 >= 0.4 * 65535)
    expected &= (view.depth > 2) & (view.depth < 5.5)
    np.testing.assert_array_equal(sample.valid, expected)
    np.testing.assert_array_equal(sample.planes, view.planes)
    assert (sample.sky == (view.sky | (rows == 20))).all()


def test_planes_alone_are_weak_labels_and_pairs_alone_ordinal_ones(tmp_path: Path):
    view = known_view(0)
    write_image(tmp_path / "a.png", view.image)
    write_image(tmp_path / "ids/a.png", view.planes.astype(np.uint16))
    (tmp_path / "a.txt").write_text("0 0 5 5 1\n")
    planes = FolderSource(tmp_path, quality="WEAK", images="*.png", planes="ids/*.png")
    assert (planes.card.kind, planes.card.quality, planes.card.density) == (
        LabelKind.NONE,
        Quality.WEAK,
        "none",
    )
    np.testing.assert_array_equal(planes.read("a").planes, view.planes)
    pairs = FolderSource(tmp_path, quality="LOW", images="*.png", pairs="*.txt")
    assert pairs.card.kind is LabelKind.ORDINAL
    assert pairs.read("a").pairs is not None


def test_numbers_of_a_camera_may_count_from_the_corner(tmp_path: Path):
    fake.write(tmp_path, "npy")
    given = options("npy") | {"camera": "", "intrinsics": [50, 51, 32, 24], "corner_origin": True}
    assert next(iter(FolderSource(tmp_path, **given))).intrinsics == Intrinsics(50, 51, 31.5, 23.5)


def test_each_image_may_have_a_camera_of_its_own(tmp_path: Path):
    fake.write(tmp_path, "npy")
    for number, key in enumerate(fake.views()):
        file = tmp_path / "k" / f"{key}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{50 + number} 0 31\n0 51 23\n0 0 1\n")
    source = FolderSource(tmp_path, **(options("npy") | {"camera": "k/**/*.txt"}))
    assert [sample.intrinsics.fx for sample in source if sample.intrinsics] == [50, 51, 52]


def test_a_smaller_label_keeps_its_numbers_and_the_image_shrinks(tmp_path: Path):
    view = known_view(0)
    write_image(tmp_path / "rgb/a.png", np.repeat(np.repeat(view.image, 2, 0), 2, 1))
    write_image(tmp_path / "d/a.png", code16(view.depth, 1000))
    camera = view.intrinsics.resized(2, 2)
    numbers = [camera.fx, camera.fy, camera.cx, camera.cy]
    (sample,) = FolderSource(
        tmp_path, quality="HIGH", images="rgb/*.png", labels="d/*.png", per_unit=1000, intrinsics=numbers
    )
    assert sample.size == view.size
    assert sample.intrinsics is not None
    np.testing.assert_allclose(sample.intrinsics.cx, view.intrinsics.cx)
    np.testing.assert_array_equal(sample.image, view.image)


def test_a_gap_is_noticed_when_it_is_read_and_a_double_key_when_it_is_listed(tmp_path: Path):
    fake.write(tmp_path, "npy")
    source = FolderSource(tmp_path, **options("npy"))
    (tmp_path / "label/yard/0002.npy").unlink()
    assert len(source) == 3
    with pytest.raises(BadSource, match=r"yard/0002\.npy: no such file"):
        source.read("yard/0002")
    for name in ("a/b_c.png", "a/b/_c.png"):
        write_image(tmp_path / "twice" / name, np.zeros((4, 4, 3), np.uint8))
    source = FolderSource(tmp_path, quality="WEAK", images="twice/**/*_*.png", planes="ids/**/*_*.png")
    with pytest.raises(BadSource, match=r"a/b_c\.png: has the same wildcards as twice/a/b/_c\.png"):
        source.keys()


def test_a_card_says_what_the_options_say(tmp_path: Path):
    fake.write(tmp_path, "disparity")
    source = FolderSource(
        tmp_path, **options("disparity"), licence="CC0-1.0", citation="me", density="sparse"
    )
    card = source.card
    assert (card.quality, card.kind, card.unit, card.density) == (
        Quality.HIGH,
        LabelKind.METRIC_DEPTH,
        "m",
        "sparse",
    )
    assert (card.licence, card.citation, card.family) == ("CC0-1.0", "me", "own files")
    assert "sigma_disparity" in card.noise


def test_every_option_is_in_the_record_of_a_prepared_set(tmp_path: Path):
    fake.write(tmp_path, "npy")
    one, two = (
        describe(Job(FolderSource(tmp_path, **options("npy"), missing=missing), None, CodecOptions()), 64)
        for missing in ([0], [0, 9])
    )
    settings = one["options"]["settings"]
    assert settings["labels"] == "label/**/*.npy"
    assert settings["code"]["missing"] == [0]
    assert one != two


REFUSED = [
    ({"quality": "high"}, "`quality` must be one of WEAK, LOW, MIDDLE, HIGH, got 'high'"),
    ({"means": "depths"}, "`means` must be one of depth, distance"),
    ({"encoding": "jpg"}, "`encoding` must be one of png16"),
    ({"per_unit": 0}, "`per_unit` must be positive and finite, got 0"),
    ({"lowest": 5, "highest": 5}, r"`lowest` must be in \[0, highest\), got 5 and 5"),
    ({"baseline_m": 0.1}, "`baseline_m` is for disparities, got 0.1 for depth"),
    ({"encoding": "npz"}, "`field` must name the array in npz files"),
    ({"field": "x"}, "`field` is for npz, hdf5 and exr files, got 'x' for npy"),
    ({"means": "inverse depth", "highest": 9}, "`lowest` and `highest` are metres"),
    ({"means": "distance", "camera": ""}, "`means` distance needs a camera: give `camera` or `intrinsics`"),
    ({"means": "disparity", "baseline_m": 0.1, "camera": ""}, "`means` disparity needs a camera"),
    ({"images": ""}, "`images` must be a pattern"),
    ({"images": "../*.jpg"}, "`images` must be a path below the root"),
    ({"images": "/x/*.jpg"}, "`images` must be a path below the root"),
    ({"images": "rgb/**/?.jpg"}, "`images` may have . inside names and .. as a folder"),
    ({"labels": "depth/*.npy"}, "`labels` must have the 2 wildcards of `images`, got"),
    ({"labels": ""}, "one of `labels`, `planes` and `pairs` must be given"),
    ({"labels": "", "planes": "p/**/*.png", "masks": "m/**/*.png"}, "`masks` says where labels are valid"),
    ({"intrinsics": [1, 2, 3, 4]}, "`intrinsics` and `camera` both state a camera"),
    ({"camera": "", "intrinsics": [1, 2, 3]}, "`intrinsics` must be fx, fy, cx, cy"),
    ({"camera": "", "intrinsics": [0, 2, 3, 4]}, "`intrinsics` must be finite, fx and fy positive"),
    ({"camera": "", "corner_origin": True}, "`corner_origin` is about a camera"),
    ({"camera": "k.yaml"}, "`camera` must name .txt or .json files"),
    ({"min_confidence": 2}, r"`min_confidence` must be in \[0, 1\], got 2"),
]


@pytest.mark.parametrize(("change", "reason"), REFUSED, ids=[reason[:40] for _, reason in REFUSED])
def test_options_that_cannot_be_are_named(tmp_path: Path, change: dict[str, Any], reason: str):
    with pytest.raises(ValueError, match=reason):
        FolderSource(tmp_path, **(options("npy") | change))


def test_a_folder_is_prepared_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    truths = fake.write(tmp_path / "raw", "png16")
    given = {
        **{"quality": "HIGH", "images": "rgb/**/*_rgb.png", "labels": "label/**/*.png", "per_unit": "1000"},
        **{"camera": "camera.json", "missing": "[0, 65535]", "name": "scans"},
    }
    flags = [word for name, value in given.items() for word in ("--option", f"{name}={value}")]
    assert (
        main(
            [
                "prepare",
                "FolderSource",
                str(tmp_path / "raw"),
                str(tmp_path / "sets"),
                "--workers",
                "0",
                *flags,
            ]
        )
        == 0
    )
    shards = ShardSet(tmp_path / "sets" / "scans")
    assert list(shards.keys) == list(truths)
    capsys.readouterr()
    assert (
        main(
            [
                "prepare",
                "FolderSource",
                str(tmp_path / "raw"),
                str(tmp_path / "x"),
                "--option",
                "quality=BEST",
            ]
        )
        == 2
    )
    assert "--option quality: must be one of WEAK, LOW, MIDDLE, HIGH" in capsys.readouterr().err


def test_published_frames_of_kitti_are_read_by_options_alone(real_samples: Path):
    source = FolderSource(
        real_samples / "metric3d_demo" / "kitti_demo",
        quality="HIGH",
        images="rgb/*.png",
        labels="depth/*.png",
        per_unit=256,
        density="sparse",
    )
    assert list(source.keys()) == ["0000000005", "0000000050"]
    sample = source.read("0000000005")
    assert sample.valid.mean() == pytest.approx(0.1950, abs=5e-5)
    assert sample.target.max() == pytest.approx(84.8945, abs=5e-5)
    assert replace(source.card, family="lidar").plain()["kind"] == "METRIC_DEPTH"
