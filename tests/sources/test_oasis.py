"""OASIS: depth of one surface, planes and ordinal pairs."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from depthmix.errors import BadSample, BadSource
from depthmix.sample import LabelKind
from depthmix.sources.oasis import Oasis, read_box_of_depth
from depthmix.testing import SourceContract, Truth
from depthmix.testing.known import write_image
from tests.data.ordinal.make_oasis import LOST, make_oasis
from tests.sources.test_ordinal import assert_pairs_are_true


class OasisContract(SourceContract):
    labels = "depth"
    count = 3

    def make(self, tmp_path):
        self.known = make_oasis(tmp_path / "OASIS")
        return Oasis(tmp_path / "OASIS", labels=self.labels)

    def again(self, source, root):
        return Oasis(root, labels=self.labels)

    def truth(self, source, key):
        photo = self.known[key]
        largest = photo.view.planes == photo.largest
        target = np.where(largest & (self.labels == "depth"), photo.depth, np.nan)
        planes = photo.planes if self.labels != "pairs" else np.zeros_like(photo.planes)
        return Truth(target, photo.view.intrinsics, planes=planes, sky=np.zeros(target.shape, np.bool_))


class TestDepth(OasisContract):
    pass


class TestPlanes(OasisContract):
    labels = "planes"


class TestPairs(OasisContract):
    labels = "pairs"
    any_size = (".png",)  # pairs fit into any image that is large enough
    # A shorter list of pairs is a list of pairs, and a cut number is a number.

    def test_truncated_file_is_named(self, tmp_path):
        for source, key, file in self._broken_copies(tmp_path):
            if file.suffix == ".csv" and file.parent.name == "DIW_style_rel_depth":
                file.write_bytes(file.read_bytes()[:6])
            else:
                file.write_bytes(file.read_bytes()[: file.stat().st_size // 2 - 1])
            with pytest.raises(BadSource, match=file.name):
                source.read(key)


OasisContract.__test__ = False


def change_table(root, column, value, line=1):
    table = root / "OASIS_trainval" / "OASIS_train.csv"
    rows = [row.split(",") for row in table.read_text().splitlines()]
    rows[line][rows[0].index(column)] = value
    table.write_text("\n".join(",".join(row) for row in rows))


def test_surfaces_with_factors_of_their_own_are_not_mixed(tmp_path):
    known = make_oasis(tmp_path)
    for sample in Oasis(tmp_path):
        photo = known[sample.key]
        ratio = sample.target[sample.valid] / photo.view.depth[sample.valid]
        np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)
    for sample in Oasis(tmp_path, one_surface=False):
        np.testing.assert_array_equal(sample.valid, np.isfinite(known[sample.key].depth))


def test_what_belongs_to_no_surface_is_not_valid(tmp_path):
    known = make_oasis(tmp_path, count=1)
    source = Oasis(tmp_path)
    (key,) = source.keys()
    (file,) = (file for file in source.files(key) if file.parent.name == "continuous_instance")
    planes, largest = known[key].view.planes, known[key].largest
    write_image(file, np.where(planes == largest, 0, planes).astype(np.uint8))
    valid = source.read(key).valid
    assert valid.any()
    assert not valid[planes == largest].any()


def test_a_photo_without_the_label_has_no_key(tmp_path):
    make_oasis(tmp_path)
    key = Oasis(tmp_path).keys()[0]
    change_table(tmp_path, "Depth", "")
    with pytest.raises(BadSource, match="no sample has this key"):
        Oasis(tmp_path).read(key)


def test_pairs_are_true(tmp_path):
    known = make_oasis(tmp_path)
    for sample in Oasis(tmp_path, labels="pairs"):
        assert sample.kind is LabelKind.ORDINAL
        assert len(sample.pairs) == 5
        assert_pairs_are_true(sample, known[sample.key].view)


def test_pairs_may_count_from_1(tmp_path):
    make_oasis(tmp_path, count=1)
    from_0, from_1 = (next(iter(Oasis(tmp_path, labels="pairs", first_pixel=i))).pairs for i in (0, 1))
    np.testing.assert_array_equal(from_1[:, :4], np.maximum(from_0[:, :4] - 1, 0))


def test_large_numbers_are_no_planes_unless_asked_for(tmp_path):
    make_oasis(tmp_path, count=1)
    (few,), (every,) = (Oasis(tmp_path, labels="planes", max_plane_id=n) for n in (20, 255))
    assert not few.planes[:4].any()
    assert (every.planes[:4] == LOST).all()
    np.testing.assert_array_equal(few.planes[4:], every.planes[4:])


@pytest.mark.parametrize(
    ("column", "value"), [("Depth", ""), ("ContinuousInstance", ""), ("FocalLength", "1e9")]
)
def test_photos_without_the_label_are_no_samples(tmp_path, column, value):
    make_oasis(tmp_path)
    change_table(tmp_path, column, value)
    assert len(Oasis(tmp_path)) == 2
    assert len(Oasis(tmp_path, labels="planes")) == 3


def test_parallel_rays_and_unknown_focal_lengths_have_no_camera(tmp_path):
    make_oasis(tmp_path, count=4)
    for line, value in enumerate(("1000000001", "", "-1"), start=1):
        change_table(tmp_path, "FocalLength", value, line=line)
    cameras = [sample.intrinsics for sample in Oasis(tmp_path, labels="planes")]
    assert cameras[:3] == [None] * 3
    assert cameras[3] is not None


def test_a_focal_length_that_is_no_number_names_the_table(tmp_path):
    make_oasis(tmp_path)
    change_table(tmp_path, "FocalLength", "wide")
    with pytest.raises(BadSource, match=r"OASIS_train\.csv: FocalLength"):
        Oasis(tmp_path).keys()


def test_photos_without_a_file_of_pairs_are_no_samples(tmp_path):
    make_oasis(tmp_path)
    next((tmp_path / "OASIS_trainval" / "DIW_style_rel_depth").iterdir()).unlink()
    assert len(Oasis(tmp_path, labels="pairs")) == 2


def test_a_photo_named_twice_with_other_labels_is_refused(tmp_path):
    make_oasis(tmp_path)
    table = tmp_path / "OASIS_trainval" / "OASIS_train.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines, lines[1]]))
    assert len(Oasis(tmp_path)) == 3
    table.write_text("\n".join([*lines, lines[1].replace("50.0", "60.0")]))
    with pytest.raises(BadSource, match="twice, with other labels"):
        Oasis(tmp_path).keys()


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    make_oasis(tmp_path)
    source = Oasis(tmp_path)
    file = source.files(source.keys()[0])[-1]
    file.write_bytes(pickle.dumps({"depth": Trap()}))
    with pytest.raises(BadSource, match="no plain data"):
        source.read(source.keys()[0])
    assert not (tmp_path / "ran").exists()


BOX = {"min_y": 1, "max_y": 2, "min_x": 0, "max_x": 2, "depth": np.arange(1.0, 7.0).reshape(2, 3)}


def test_both_corners_belong_to_the_box(tmp_path):
    file = tmp_path / "a.pkl"
    file.write_bytes(pickle.dumps(BOX))
    nan = np.nan
    wanted = [[nan] * 4, [1, 2, 3, nan], [4, 5, 6, nan]]
    np.testing.assert_array_equal(read_box_of_depth(file, (3, 4)), wanted)


@pytest.mark.parametrize(
    "change",
    [{"max_y": 3}, {"min_y": -1, "max_y": 0}, {"max_x": 1}, {"depth": np.ones((2, 3), int)}, {"depth": None}],
)
def test_a_box_that_does_not_fit_is_refused(tmp_path, change):
    file = tmp_path / "a.pkl"
    file.write_bytes(pickle.dumps(BOX | change))
    with pytest.raises(BadSource, match=r"a\.pkl: the depth does not fit"):
        read_box_of_depth(file, (3, 4))


@pytest.mark.parametrize("content", [{}, [], 3, {**BOX, "min_y": "a"}])
def test_a_pickle_of_another_form_is_refused(tmp_path, content):
    file = tmp_path / "a.pkl"
    file.write_bytes(pickle.dumps(content))
    with pytest.raises(BadSource, match=r"a\.pkl: cannot be read"):
        read_box_of_depth(file, (3, 4))


def test_a_photo_without_any_surface_is_a_bad_sample(tmp_path):
    make_oasis(tmp_path)
    source = Oasis(tmp_path)
    key = source.keys()[0]
    file = source.files(key)[-1]
    content = pickle.loads(file.read_bytes())
    file.write_bytes(pickle.dumps(content | {"depth": content["depth"] * np.nan}))
    with pytest.raises(BadSample, match=rf"{key}\.pkl.*0 of 3072 pixels are valid"):
        source.read(key)


@pytest.mark.parametrize(
    ("option", "value"), [("split", "test"), ("labels", "normals"), ("first_pixel", 2), ("max_plane_id", 0)]
)
def test_options_out_of_range_are_named(tmp_path, option, value):
    with pytest.raises(ValueError, match=f"`{option}` must be"):
        Oasis(tmp_path, **{option: value})
