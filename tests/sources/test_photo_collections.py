"""ReDWeb, MegaDepth and DiverseDepth: relative depth is kept as it is, and what is no depth is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from depthmix.errors import BadSample, BadSource
from depthmix.sample import LabelKind, Quality
from depthmix.sources.base import Source
from depthmix.sources.diverse_depth import DiverseDepth
from depthmix.sources.megadepth import MegaDepth
from depthmix.sources.redweb import ReDWeb
from depthmix.testing import SourceContract, Truth
from tests.data.photos import make as fake


class TestReDWeb(SourceContract):
    def make(self, tmp_path: Path) -> ReDWeb:
        self.truths = fake.write_redweb(tmp_path / "raw")
        return ReDWeb(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


class TestMegaDepth(SourceContract):
    optional = (".p",)

    def make(self, tmp_path: Path) -> MegaDepth:
        self.truths = fake.write_megadepth(tmp_path / "raw")
        return MegaDepth(tmp_path / "raw", images="lists/imgs_MD.p")

    def again(self, source: Source, root: Path) -> MegaDepth:
        return MegaDepth(root, images="lists/imgs_MD.p")

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


class TestDiverseDepth(SourceContract):
    def make(self, tmp_path: Path) -> DiverseDepth:
        self.truths = fake.write_diverse_depth(tmp_path / "raw")
        return DiverseDepth(tmp_path / "raw")

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


class TestDiverseDepthTaskonomy(SourceContract):
    def make(self, tmp_path: Path) -> DiverseDepth:
        self.truths = fake.write_diverse_depth(tmp_path / "raw", part="taskonomy")
        return DiverseDepth(tmp_path / "raw", part="taskonomy")

    def again(self, source: Source, root: Path) -> DiverseDepth:
        return DiverseDepth(root, part="taskonomy")

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


class TestDiverseDepthDisparity(SourceContract):
    any_bits = (".png",)  # disparities of web stereo come with either

    def make(self, tmp_path: Path) -> DiverseDepth:
        self.truths = fake.write_diverse_depth(tmp_path / "raw", part="Holopix50k")
        return DiverseDepth(tmp_path / "raw", part="Holopix50k")

    def again(self, source: Source, root: Path) -> DiverseDepth:
        return DiverseDepth(root, part="Holopix50k")

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


def test_nearer_is_larger_in_redweb(tmp_path: Path):
    fake.write_redweb(tmp_path)
    sample, turned = ReDWeb(tmp_path).read("0"), ReDWeb(tmp_path, nearest=254).read("0")
    box = sample.valid & (np.indices(sample.size)[0] > 30)
    assert sample.target[box].max() > sample.target[sample.valid & ~box].min()
    np.testing.assert_allclose((sample.target + turned.target)[sample.valid], 1, atol=1e-6)
    assert not sample.sky.any()
    with pytest.raises(ValueError, match="`nearest` must be 0 or 254, got 1"):
        ReDWeb(tmp_path, nearest=1)


def test_an_ordinal_map_is_no_depth(tmp_path: Path):
    fake.write_megadepth(tmp_path)
    every = MegaDepth(tmp_path)
    assert len(every) == 3
    with pytest.raises(BadSample, match=r"ordinal_o\.h5: megadepth/.*no depth; give the publisher's list"):
        every.read("0162/dense0/ordinal_o")


def test_outliers_of_the_reconstruction_are_not_valid(tmp_path: Path):
    fake.write_megadepth(tmp_path)
    key = "0000/dense0/0_o"
    few, all_of_them = (
        MegaDepth(tmp_path, lowest=low, highest=high).read(key) for low, high in ((0.1, 0.5), (0, 1))
    )
    assert few.valid.sum() < 0.7 * all_of_them.valid.sum()
    with pytest.raises(ValueError, match="`lowest` must be in"):
        MegaDepth(tmp_path, lowest=0.5, highest=0.5)


@pytest.mark.parametrize(
    "content",
    [b"cos\nsystem\n(S'true'\ntR.", b"\x80\x02]q\x00K\x01a.", b"\x80\x02]q\x00X\x01\x00\x00\x00xa."],
)
def test_a_list_that_is_none_is_named(tmp_path: Path, content: bytes):
    fake.write_megadepth(tmp_path)
    (tmp_path / "lists/imgs_MD.p").write_bytes(content)
    with pytest.raises(BadSource, match=r"imgs_MD\.p"):
        MegaDepth(tmp_path, images="lists/imgs_MD.p").keys()


@pytest.mark.parametrize(
    ("part", "quality", "kind"),
    [
        ("DiverseDepth", "LOW", "SCALED_DEPTH"),
        ("DIML_GANet", "MIDDLE", "SCALED_DEPTH"),
        ("taskonomy", "HIGH", "METRIC_DEPTH"),
        ("HRWSI", "LOW", "AFFINE_DISPARITY"),
        ("Holopix50k", "LOW", "AFFINE_DISPARITY"),
    ],
)
def test_each_part_says_what_it_is_worth(tmp_path: Path, part: str, quality: str, kind: str):
    fake.write_diverse_depth(tmp_path, part=part)
    source = DiverseDepth(tmp_path, part=part)
    assert (source.card.quality, source.card.kind) == (Quality[quality], LabelKind[kind])
    assert {sample.kind for sample in source} == {LabelKind[kind]}
    assert ("scale and shift" in source.card.unit) == (kind == "AFFINE_DISPARITY")
    with pytest.raises(ValueError, match="`part` must be one of"):
        DiverseDepth(tmp_path, part="else")


def edited(tmp_path: Path, **changes: object) -> DiverseDepth:
    fake.write_diverse_depth(tmp_path)
    file = tmp_path / "DiverseDepth/annotations/train_annotations.json"
    rows = json.loads(file.read_text())
    rows[1] |= changes
    file.write_text(json.dumps(rows))
    return DiverseDepth(tmp_path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rgb_path": "/etc/passwd"}, "entry 1: rgb_path must be a path below the root"),
        ({"depth_path": "../../x.png"}, "entry 1: depth_path must be a path below the root"),
        ({"depth_path": None}, "entry 1: depth_path must be a path below the root, got None"),
        (
            {"rgb_path": "DiverseDepth/rgbs/video/000.jpg"},
            "entry 1: DiverseDepth/rgbs/video/000: is named twice",
        ),
    ],
)
def test_an_entry_that_cannot_be_is_named(tmp_path: Path, changes: dict[str, object], reason: str):
    with pytest.raises(BadSource, match=reason):
        edited(tmp_path, **changes).keys()


@pytest.mark.parametrize("camera", [[1, 2], ["a", 1, 1], [-5, 1, 1], 7])
def test_a_camera_that_is_none_is_named(tmp_path: Path, camera: object):
    source = edited(tmp_path, cam_intrinsic_para=camera)
    with pytest.raises(BadSource, match="cam_intrinsic_para: is no camera"):
        source.read("DiverseDepth/rgbs/video/001")


def test_centres_of_diverse_depth_may_count_from_the_corner(tmp_path: Path):
    fake.write_diverse_depth(tmp_path)
    key = "DiverseDepth/rgbs/video/001"
    one, other = (
        DiverseDepth(tmp_path, corner_origin=corner).read(key).intrinsics for corner in (False, True)
    )
    assert one is not None
    assert other is not None
    assert (one.cx - other.cx, one.cy - other.cy) == (0.5, 0.5)


def test_the_number_of_sky_is_an_option(tmp_path: Path):
    fake.write_diverse_depth(tmp_path)  # sky is 17 in its mask, everything else 49
    key = "DiverseDepth/rgbs/video/001"
    by_reader, other = (DiverseDepth(tmp_path, sky_class=number).read(key) for number in (17, 3))
    assert by_reader.sky.any()
    assert not other.sky.any()
    with pytest.raises(ValueError, match="`sky_class` must be in 0"):
        DiverseDepth(tmp_path, sky_class=256)


def test_disparities_of_8_bits_fill_the_same_range(tmp_path: Path):
    fake.write_diverse_depth(tmp_path, part="HRWSI")
    source = DiverseDepth(tmp_path, part="HRWSI")
    key = source.keys()[0]
    wide = source.read(key)
    code = np.rint(wide.target * 255).astype(np.uint8)
    fake.write_image(source.files(key)[-1], code)
    np.testing.assert_allclose(source.read(key).target, wide.target, atol=0.5 / 255)


def test_artefacts_of_taskonomy_are_not_valid(tmp_path: Path):
    fake.write_diverse_depth(tmp_path, part="taskonomy")
    source = DiverseDepth(tmp_path, part="taskonomy")
    key = source.keys()[0]
    code = np.full((48, 64), 1024, np.uint16)
    code[0, :3] = 23000, 23001, 0
    fake.write_image(source.files(key)[-1], code)
    sample = source.read(key)
    assert sample.valid[0, :4].tolist() == [True, False, False, True]
    assert sample.target[0, 3] == 2
