"""Predictions of a teacher are labels that say whose they are, what they mean and how far to trust them."""

import json
from pathlib import Path

import numpy as np
import pytest

from depthmix.errors import BadSource
from depthmix.predict import PredictedDepth, write_prediction
from depthmix.predict.infer import RELATIVE
from depthmix.sample import Intrinsics, LabelKind, Quality
from depthmix.sources.base import Source
from depthmix.sources.pseudo import PseudoLabelSource
from depthmix.testing import SourceContract, Truth, known_view
from depthmix.testing.known import code16, write_image


def write(root: Path, *, metric: bool = True) -> dict[str, Truth]:
    """Write photos, and predictions as `depthmix predict` writes them."""
    truths = {}
    for number in range(2):
        view = known_view(number, has_sky=False)
        write_image(root / "images" / f"{number}.png", view.image)
        values = (view.depth if metric else 1 / view.depth).astype(np.float32)
        predicted = PredictedDepth(values, metric, 50.0 if metric else None)
        write_prediction(predicted, view.image, None, root / "predictions", f"{number}", ("npy",))
        height, width = values.shape
        camera = Intrinsics(50.0, 50.0, (width - 1) / 2, (height - 1) / 2) if metric else None
        truths[str(number)] = Truth(values, camera)
    return truths


class TestPseudoLabels(SourceContract):
    any_size = (".png", ".npy")
    optional = (".png",)
    headless = (".npy",)

    def make(self, tmp_path: Path) -> PseudoLabelSource:
        self.truths = write(tmp_path / "raw")
        return self.again(None, tmp_path / "raw")

    def again(self, source: Source | None, root: Path) -> PseudoLabelSource:
        return PseudoLabelSource(root, teacher="TeacherNet", images="images/*.png")

    def truth(self, source: Source, key: str) -> Truth:
        return self.truths[key]


@pytest.mark.parametrize(("metric", "kind"), [(True, "METRIC_DEPTH"), (False, "AFFINE_DISPARITY")])
def test_what_a_prediction_means_is_read_beside_it(tmp_path: Path, metric: bool, kind: str):
    truths = write(tmp_path, metric=metric)
    source = PseudoLabelSource(tmp_path, teacher="TeacherNet", images="images/*.png")
    assert source.card.kind is LabelKind[kind]
    assert (source.card.quality, source.card.citation) == (Quality.LOW, "predictions of TeacherNet")
    for sample in source:
        np.testing.assert_allclose(sample.target, truths[sample.key].target)


def test_the_camera_is_the_one_that_the_prediction_used(tmp_path: Path):
    write(tmp_path)
    options = {"teacher": "TeacherNet", "images": "images/*.png"}
    height, width = known_view(0).size
    found = PseudoLabelSource(tmp_path, **options).read("0").intrinsics
    assert found == Intrinsics(50.0, 50.0, (width - 1) / 2, (height - 1) / 2)
    given = (60.0, 61.0, 20.0, 21.0)
    assert PseudoLabelSource(tmp_path, **options, intrinsics=given).read("0").intrinsics == Intrinsics(*given)


def test_relative_predictions_have_no_camera(tmp_path: Path):
    write(tmp_path, metric=False)
    source = PseudoLabelSource(tmp_path, teacher="TeacherNet", images="images/*.png")
    assert source.read("0").intrinsics is None


@pytest.mark.parametrize("focal", ["0", "-3", "1e999", "1e200", '"50"', "[]", "true"])
def test_a_focal_length_that_is_none_is_named(tmp_path: Path, focal: str):
    write(tmp_path)
    source = PseudoLabelSource(tmp_path, teacher="TeacherNet", images="images/*.png")
    text = f'{{"kind": "metric depth", "focal_used": {focal}}}'
    (tmp_path / "predictions/1_depth.json").write_text(text)
    with pytest.raises(
        BadSource,
        match=r"1_depth\.json: focal_used: must be (a number|finite and positive)|focal_used: is no number",
    ):
        source.read("1")


def test_predictions_of_two_kinds_in_one_folder_are_noticed(tmp_path: Path):
    write(tmp_path)
    (tmp_path / "predictions/1_depth.json").write_text(json.dumps({"kind": RELATIVE}))
    source = PseudoLabelSource(tmp_path, teacher="TeacherNet", images="images/*.png")
    with pytest.raises(
        BadSource, match=r"1_depth\.json: says inverse depth, the first prediction says depth"
    ):
        source.read("1")


def test_a_prediction_that_does_not_say_what_it_is_asks_for_it(tmp_path: Path):
    write(tmp_path)
    for kind in ('"feet"', "{}", "[]", "null"):
        (tmp_path / "predictions/0_depth.json").write_text(f'{{"kind": {kind}}}')
        with pytest.raises(BadSource, match=r"0_depth\.json: kind: must say metric depth .*`means`"):
            PseudoLabelSource(tmp_path, teacher="TeacherNet", images="images/*.png")


def test_other_teachers_write_png_and_confidence(tmp_path: Path):
    view = known_view(0, has_sky=False)
    write_image(tmp_path / "images/a.jpg", view.image)
    write_image(tmp_path / "out/a.png", code16(view.depth, 256))
    sure = np.tile(np.linspace(0, 1, view.size[1], dtype=np.float32), (view.size[0], 1))
    np.save(tmp_path / "out/a_sure.npy", sure)
    (sample,) = PseudoLabelSource(
        tmp_path,
        teacher="Other",
        quality="MIDDLE",
        labels="out/*.png",
        means="depth",
        encoding="png16",
        per_unit=256,
        confidence="out/*_sure.npy",
        min_confidence=0.7,
    )
    np.testing.assert_array_equal(sample.valid, sure >= 0.7)
    np.testing.assert_allclose(sample.target[sample.valid], view.depth[sample.valid], atol=1 / 256)
    assert sample.quality is Quality.MIDDLE


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"teacher": " "}, "`teacher` must name the network"),
        ({"teacher": "T", "encoding": "png16"}, '`means` "as stated" is for the NPY files'),
        ({"teacher": "T", "min_confidence": -1}, r"`min_confidence` must be in \[0, 1\], got -1"),
        ({"teacher": "T", "quality": "GOOD"}, "`quality` must be one of"),
        (
            {"teacher": "T", "labels": "predictions/x_depth.npy"},
            "`labels` must have the 1 wildcards of `images`",
        ),
    ],
)
def test_options_that_cannot_be_are_named(tmp_path: Path, options: dict, reason: str):
    write(tmp_path)
    with pytest.raises(ValueError, match=reason):
        PseudoLabelSource(tmp_path, images="images/*.png", **options)


@pytest.mark.parametrize("values", [np.full((48, 64), 2.0), np.full((48, 64), np.nan), np.zeros((48, 64, 3))])
def test_a_confidence_that_is_none_is_named(tmp_path: Path, values: np.ndarray):
    write(tmp_path)
    np.save(tmp_path / "predictions/0_sure.npy", values)
    source = PseudoLabelSource(
        tmp_path, teacher="T", images="images/*.png", confidence="predictions/*_sure.npy"
    )
    with pytest.raises(BadSource, match=r"0_sure\.npy: must be one map \(h, w\) of numbers from 0 to 1"):
        source.read("0")
