"""Predictions are brought to the label as the protocol states, and only what it reads is read."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from depthmix import evaluation
from depthmix.augment import resize_image
from depthmix.canonical import canonical_size
from depthmix.errors import BadSource, ConfigError, DepthmixError
from depthmix.evaluation import EMPTY, evaluate, predicted_depth, read_by
from depthmix.metrics.protocol import Protocol, Split
from depthmix.sample import Intrinsics, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from tests.metrics import naive_protocols as naive
from tests.predict.networks import FOCAL, same_input, trained

measures = sys.modules["depthmix.metrics.measure"]  # the package has a function of this name, too
SIZE = (20, 28)
CAMERA = Intrinsics(50.0, 60.0, 13.0, 9.0)
RATIO = math.sqrt(50 * 60) / FOCAL


def protocol(**changes: object) -> Protocol:
    basic = {
        "name": "mine",
        "about": "a test",
        "source": "FolderSource",
        "split": Split(2),
        "reference": ["none"],
    }
    return Protocol(**{**basic, **changes})  # type: ignore[arg-type]


def image(seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3)).astype(np.uint8)


def seen_depth(shown: np.ndarray, ratio: float = 1.0) -> np.ndarray:
    return (1 + 4 * shown.astype(np.float64).mean(-1) / 255) * ratio


class Made(Source):
    """Samples that a test makes."""

    card = SourceCard("lidar", Quality.HIGH, LabelKind.METRIC_DEPTH, "m", "dense", "", "none", "none")

    def __init__(self, root: Path, *samples: Sample, name: str = "made") -> None:
        super().__init__(root, name=name)
        self.samples = {sample.key: sample for sample in samples}

    def keys(self) -> list[str]:
        return list(self.samples)

    def files(self, key: str) -> list[Path]:
        return [self.root]

    def read(self, key: str) -> Sample:
        if key not in self.samples:
            raise BadSource("is broken", file=self.root, sample=key)
        return self.samples[key]


def sample(key: str, target: np.ndarray, seed: int = 0, **changes: object) -> Sample:
    facts = {
        "image": image(seed, target.shape),
        "target": target.astype(np.float32),
        "valid": np.isfinite(target) & (target > 0),
        "sky": np.zeros(target.shape, bool),
        "planes": np.zeros(target.shape, np.int32),
        "sigma": None,
        "intrinsics": CAMERA,
        "quality": Quality.HIGH,
        "kind": LabelKind.METRIC_DEPTH,
        "source": "made",
        "key": key,
    }
    return Sample(**{**facts, **changes})  # type: ignore[arg-type]


def label(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    draw = np.random.default_rng(seed)
    depth = draw.uniform(0.5, 12, size)
    depth[draw.random(size) < 0.3] = np.nan
    return depth


@pytest.mark.parametrize("space", ["depth", "inverse_depth"])
def test_a_prediction_is_resized_in_the_space_that_the_protocol_states(space):
    rules, photo = protocol(size=[32, 40], resize=space), image()
    found = predicted_depth(trained(), photo, CAMERA, rules)
    grown = math.sqrt(32 * 40 / (20 * 28))  # the camera's focal length grows with the image
    values = seen_depth(resize_image(photo, 32, 40), RATIO * grown)
    expected = naive.bilinear(values if space == "depth" else 1 / values, SIZE)
    np.testing.assert_allclose(found[0, 0], expected if space == "depth" else 1 / expected, rtol=2e-6)


def test_a_known_camera_follows_the_image_to_the_size_that_is_seen():
    photo = np.full((*SIZE, 3), 102, np.uint8)
    for size in ([20, 28], [40, 56], [64, 32]):
        found = predicted_depth(trained(), photo, CAMERA, protocol(size=size))
        grown = math.sqrt(size[0] * size[1] / (20 * 28))
        assert float(found[0, 0, 3, 3]) == pytest.approx(2.6 * RATIO * grown, rel=1e-6)


def test_sizes_are_native_or_those_of_the_training():
    seen: list[Tensor] = []
    net = replace(trained(height=40, width=56), net=same_input(seen))
    for size in ("native", "training", [33, 44]):
        predicted_depth(net, image(), CAMERA, protocol(size=size))
    assert [tuple(x.shape[-2:]) for x in seen] == [(20, 28), (40, 56), (33, 44)]


def test_a_network_of_the_image_form_sees_its_canonical_focal_length():
    seen: list[Tensor] = []
    net = replace(trained(height=40, width=56), net=same_input(seen), form="image", focal_canonical=80.0)
    predicted_depth(net, image(), CAMERA, protocol(size="training"))
    predicted_depth(net, image(), None, protocol(size="training"))
    predicted_depth(replace(net, metric=False), image(), CAMERA, protocol(size="training"))
    wanted = canonical_size(SIZE, math.sqrt(50 * 60), 80.0, 40 * 56)
    assert wanted != (40, 56)
    assert [tuple(x.shape[-2:]) for x in seen] == [wanted, (40, 56), (40, 56)]


class Ramp(nn.Module):
    """Predict what the image does not show: a depth that grows with the column."""

    def forward(self, image: Tensor) -> Tensor:
        columns = torch.arange(image.shape[-1]) + 1.0
        return columns.log().expand(len(image), 1, *image.shape[-2:])


def test_a_flip_takes_the_mean_in_the_space_of_the_resize():
    net = replace(trained(), net=Ramp())
    columns = np.arange(28) + 1.0
    for space, expected in (
        ("depth", (columns + columns[::-1]) / 2),
        ("inverse_depth", 2 / (1 / columns + 1 / columns[::-1])),
    ):
        rules = protocol(size="native", flip=True, resize=space)
        found = predicted_depth(net, image(), None, rules)
        np.testing.assert_allclose(found[0, 0, 4], expected, rtol=1e-6)


def test_crops_are_taken_of_the_cut_or_of_the_whole_image():
    target = np.full((375, 1242), 5.0)
    one = sample("a", target)
    rules = protocol(cut="kitti_benchmark", crop="garg")
    rows = np.flatnonzero(read_by(rules, one).any(1))
    assert (rows[0], rows[-1] + 1) == (143, 349)  # of the 352 rows of the cut image
    rows = np.flatnonzero(read_by(replace(rules, crop_of="whole"), one).any(1))
    assert (rows[0], rows[-1] + 1) == (153 - 23, 371 - 23)


def test_the_camera_follows_the_cut(tmp_path, monkeypatch):
    cameras: list[Intrinsics | None] = []

    def seen(net: object, photo: np.ndarray, camera: Intrinsics | None, rules: Protocol) -> Tensor:
        cameras.append(camera)
        return torch.ones(1, 1, *photo.shape[:2])

    monkeypatch.setattr(evaluation, "predicted_depth", seen)
    source = Made(tmp_path, sample("a", np.full((375, 1242), 5.0)))
    evaluate(trained(), source, ["a"], protocol(cut="kitti_benchmark"))
    assert cameras == [Intrinsics(50.0, 60.0, 13.0 - 13, 9.0 - 23)]


def test_names_are_checked_in_python_as_in_files():
    for field, value in (("crop_of", "all"), ("resize", "log"), ("average", "scene"), ("cut", "garge")):
        with pytest.raises(ConfigError, match=rf"^{field}: nothing is called '{value}'"):
            protocol(**{field: value})
    with pytest.raises(ConfigError, match=r"^name: holds letters"):
        protocol(name="../up")


def test_the_ends_of_the_range_are_not_read():
    target = np.array([[0.5, 1.0, 1.5, 79.9, 80.0, 81.0, np.nan]] * 2)
    one = sample("a", target)
    assert read_by(protocol(cap=[1.0, 80.0]), one)[0].tolist() == [
        False,
        False,
        True,
        True,
        False,
        False,
        False,
    ]
    assert read_by(protocol(), one)[0].tolist() == [True] * 6 + [False]


@pytest.mark.parametrize("average", ["image", "pixel"])
@pytest.mark.parametrize("cap", [None, [1.0, 10.0]])
def test_averages_count_images_or_pixels(tmp_path, average, cap):
    targets = [label(1), label(2)]
    targets[1][:12] = np.nan  # so that the images have different numbers of labels
    source = Made(tmp_path, *(sample(str(k), target, k) for k, target in enumerate(targets)))
    metrics = ["abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog", "delta1", "delta2", "delta3"]
    rules = protocol(size="native", cap=cap, average=average, metrics=metrics, alignments=["none", "median"])
    found = evaluate(trained(), source, source.keys(), rules)
    low, high = cap or (0.0, math.inf)
    pairs = [
        (seen_depth(image(k), RATIO), target.astype(np.float32).astype(float))
        for k, target in enumerate(targets)
    ]
    for row in found.rows:
        if average == "image":
            expected = naive.table(pairs, row["alignment"], naive.everything, low, high)
        else:
            p, g = [], []
            for prediction, target in pairs:
                mask = naive.readable(target, naive.everything, low, high)
                p.append(naive.fitted(prediction[mask], target[mask], row["alignment"], low, high))
                g.append(target[mask])
            expected = naive.errors(np.concatenate(p), np.concatenate(g))
        assert {name: row[name] for name in metrics} == pytest.approx(expected, rel=1e-5)


def test_figures_of_images_are_kept_with_their_pixels(tmp_path):
    source = Made(tmp_path, sample("a", label(1)), sample("b", label(2), 1))
    found = evaluate(trained(), source, source.keys(), protocol(alignments=["scale", "robust_inverse_depth"]))
    assert [(image["image"], image["alignment"]) for image in found.images] == [
        (name, alignment) for name in ("made/a", "made/b") for alignment in ("scale", "robust_inverse_depth")
    ]
    assert [image["pixels"] for image in found.images[::2]] == [np.isfinite(label(k)).sum() for k in (1, 2)]
    mean = sum(image["abs_rel"] for image in found.images[::2]) / 2
    assert found.rows[0]["abs_rel"] == pytest.approx(mean)


def test_no_measure_between_neighbours_is_made_of_pixels_that_were_picked(tmp_path, monkeypatch):
    calls: list[str] = []
    for name in ("boundary_f1", "normal_errors", "edge_agreement", "depth_edges"):
        found = getattr(measures, name)
        spy = lambda *maps, name=name, found=found: (calls.append(name), found(*maps))[1]  # noqa: E731
        monkeypatch.setattr(measures, name, spy)
    source = Made(tmp_path, sample("a", np.nan_to_num(label(1), nan=3.0)))
    evaluate(trained(), source, ["a"], protocol())
    assert calls == []
    evaluate(trained(), source, ["a"], protocol(metrics=["abs_rel", "boundary_f1"]))
    assert "boundary_f1" in calls


def test_an_image_without_a_label_in_reach_is_left_out_and_said(tmp_path):
    source = Made(tmp_path, sample("far", np.full(SIZE, 100.0)), sample("near", label(1)))
    found = evaluate(trained(), source, source.keys(), protocol(cap=[0.1, 80.0]))
    assert (found.measured, found.skipped) == (1, {"far": EMPTY})
    assert [row["count"] for row in found.rows] == [1, 1]


def test_an_image_without_a_camera_is_not_read_in_metres(tmp_path):
    source = Made(tmp_path, sample("a", label(1), intrinsics=None), sample("b", label(2)))
    found = evaluate(trained(), source, source.keys(), protocol())
    assert [(row["alignment"], row["count"]) for row in found.rows] == [
        ("none", 2),
        ("affine_inverse_depth", 2),
    ]
    only = [image["image"] for image in found.images if image["alignment"] == "none"]
    assert only == ["made/b"]
    assert found.notes == ["without alignment 1 of 2 images: the camera of the others is not known"]


def test_a_map_that_is_not_finite_is_named(tmp_path):
    class Broken(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image[:, :1] * torch.nan

    source = Made(tmp_path, sample("a", label(1)))
    with pytest.raises(DepthmixError, match=r"^made/a: the network's map is not finite"):
        evaluate(replace(trained(), net=Broken()), source, source.keys(), protocol())


def test_what_a_source_or_a_protocol_cannot_bear_is_refused(tmp_path):
    source = Made(tmp_path, sample("a", label(1)))
    with pytest.raises(ConfigError, match="alignments: none needs metres, which the network has not learned"):
        evaluate(trained(metric=False), source, ["a"], protocol(alignments=["none"]))
    source.card = replace(source.card, kind=LabelKind.SCALED_DEPTH)
    with pytest.raises(ConfigError, match="alignments: none needs metres, but Made gives SCALED_DEPTH"):
        evaluate(trained(), source, ["a"], protocol())
    source.card = replace(source.card, kind=LabelKind.AFFINE_DISPARITY)
    with pytest.raises(
        ConfigError, match="source: Made gives labels of kind AFFINE_DISPARITY, which is no depth"
    ):
        evaluate(trained(), source, ["a"], protocol())
