"""Both forms of canonical camera space give the same metres for a network that makes no mistake."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from depthmix.augment import AugmentOptions, augment
from depthmix.batch import collate
from depthmix.canonical import canonical_maps, canonical_size, checked_form, form_of
from depthmix.errors import ConfigError
from depthmix.losses import LogL1Loss
from depthmix.prediction import Prediction
from depthmix.sample import Sample
from depthmix.task import DepthTask, Term, load_trained
from depthmix.trained import Trained
from tests.ideal import DISTANCE, Ideal, wall_sample
from tests.test_heads import net, trainer
from tests.toy_data import ToyData

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*"),
]

CANONICAL = 60.0
LABEL = AugmentOptions(height=48, width=64, brightness=0, contrast=0, saturation=0, grey=0)
IMAGE = replace(LABEL, canonical_focal=CANONICAL)
SIZE = (240, 320)


def focal_of(sample: Sample) -> float:
    assert sample.intrinsics is not None
    return math.sqrt(sample.intrinsics.fx * sample.intrinsics.fy)


def predicted(model: Ideal, sample: Sample) -> Prediction:
    batch = collate([sample], [0])
    return Prediction(model(batch.image_float), batch.intrinsics, CANONICAL)


@settings(max_examples=20)
@given(focal=st.floats(150, 900), index=st.integers(0, 9))
def test_an_ideal_network_is_right_in_both_forms_on_any_camera_and_window(focal: float, index: int):
    whole = wall_sample(focal, SIZE)
    for options in (LABEL, IMAGE):
        varied = augment(whole, options, seed=0, epoch=0, index=index)
        assert np.unique(varied.target).tolist() == [DISTANCE]  # depth is scaled in neither form
        found = predicted(Ideal(CANONICAL), varied)
        assert found.depth.mean().item() == pytest.approx(DISTANCE, rel=0.03)  # 8 bits of brightness
        assert LogL1Loss()(found, collate([varied], [0])).item() < 0.03


@settings(max_examples=30)
@given(
    focal=st.floats(40, 300),
    size=st.tuples(st.integers(48, 240), st.integers(64, 320)),
    index=st.integers(0, 9),
)
@example(focal=45, size=(240, 320), index=0)  # would be magnified 6.7 times
def test_windows_come_at_the_canonical_focal_length_where_the_image_holds_them(focal, size, index):
    largest = min(size[0] / IMAGE.height, size[1] / IMAGE.width)
    ratio = largest * CANONICAL / focal
    varied = augment(wall_sample(focal, size, distance=1.0), IMAGE, seed=0, epoch=0, index=index)
    if 1 <= ratio <= 4:  # up to half a source pixel of the window, on each axis
        window = (IMAGE.height * focal / CANONICAL, IMAGE.width * focal / CANONICAL)
        assert abs(math.log(focal_of(varied) / CANONICAL)) <= 0.6 / min(window)
    else:
        reached = focal / largest * min(max(ratio, 1), 4)
        assert focal_of(varied) == pytest.approx(reached, rel=0.04)


def test_every_window_has_the_same_focal_length_whatever_was_drawn():
    whole = wall_sample(180.0, SIZE)
    varied = [augment(whole, IMAGE, seed=0, epoch=epoch, index=0) for epoch in range(10)]
    assert {round(focal_of(one), 3) for one in varied} == {60.0}
    assert len({one.intrinsics for one in varied}) > 5  # but not the same place
    drawn = [augment(whole, LABEL, seed=0, epoch=epoch, index=0) for epoch in range(10)]
    assert len({round(focal_of(one), 3) for one in drawn}) > 5


def test_an_image_without_a_camera_is_varied_as_ever():
    blind = wall_sample(300.0, SIZE).replaced(intrinsics=None)
    for epoch in range(3):
        pair = [augment(blind, options, seed=0, epoch=epoch, index=0) for options in (LABEL, IMAGE)]
        assert (pair[0].image == pair[1].image).all()
        assert pair[1].intrinsics is None


@pytest.mark.parametrize("focal", [0.0, -1.0, float("inf"), float("nan")])
def test_an_impossible_focal_length_is_named(focal: float):
    with pytest.raises(ConfigError, match=r"augment\.canonical_focal: must be a positive number of pixels"):
        AugmentOptions(canonical_focal=focal)


def test_sizes_reach_the_canonical_focal_length_and_stay_within_bounds():
    area = 48 * 64
    assert canonical_size((240, 320), 300, 60, area) == (48, 64)
    assert canonical_size((240, 320), 200, 60, area) == (72, 96)
    assert canonical_size((240, 320), 1, 60, area) == (96, 128)  # twice the sides at most
    assert canonical_size((2400, 3200), 1e5, 60, area) == (32, 43)  # no side below what networks take
    assert canonical_size((10, 10_000), 1e5, 60, area) == (32, 3505)
    assert canonical_size((2400, 3200), 1e5, 60, 4 * area) == (48, 64)  # half the sides at least


def test_maps_of_images_seen_at_another_size_belong_to_the_images():
    model, size = Ideal(CANONICAL), (96, 128)
    batch = collate([wall_sample(f, size) for f in (120.0, 90.0, 120.0)], [0, 0, 0])
    known = torch.tensor([True, True, False])
    cameras = torch.where(known[:, None], batch.intrinsics, 4 * CANONICAL)
    area = 48 * 64
    maps = canonical_maps(model, batch.image_float, cameras, known, CANONICAL, area)
    assert sorted(set(model.sizes)) == [(48, 64), (64, 85), size]  # the last one without a camera
    assert maps.shape == (3, 1, *size)
    found = Prediction(maps, cameras, CANONICAL).depth.mean((1, 2, 3))
    # The row without a camera keeps its canonical metres, z f_c / f, times what `cameras` makes of them.
    assert found.tolist() == pytest.approx([DISTANCE, DISTANCE, 4 * DISTANCE * 60 / 120], rel=0.02)
    plain = Prediction(model(batch.image_float), cameras, CANONICAL).depth.mean((1, 2, 3))
    assert found.tolist() == pytest.approx(plain.tolist(), rel=0.02)


class ResizedData(ToyData):
    """Say that training images come at a focal length, as `MixData` does."""

    def __init__(self, focal: float | None, **options):
        super().__init__(**options)
        self.augment = AugmentOptions(canonical_focal=focal)


def image_task() -> DepthTask:
    return DepthTask(net(1), {"metric": Term(LogL1Loss(), sources=["kitti"]), **rest()}, focal_canonical=50.0)


def rest() -> dict[str, Term]:
    from depthmix.losses import PlaneLoss, ScaleShiftInvariantLoss

    return {"ssi": Term(ScaleShiftInvariantLoss()), "planes": Term(PlaneLoss())}


def test_an_evaluation_looks_at_the_focal_length_of_the_training(tmp_path: Path):
    task, seen = image_task(), []
    task.net.register_forward_hook(lambda module, given, out: seen.append(tuple(given[0].shape[-2:])))
    data = ResizedData(50.0, steps=2, size=(40, 48))
    run = trainer(tmp_path, max_epochs=1, num_sanity_val_steps=0)
    run.fit(task, data)
    assert set(seen[:2]) == {(40, 48)}  # training images are resized by the datamodule, not here
    assert (50, 60) in seen[2:]  # the toy camera has 40 pixels
    run.save_checkpoint(tmp_path / "image.ckpt")
    assert load_trained(tmp_path / "image.ckpt").form == "image"
    seen.clear()
    again = image_task()
    again.net.register_forward_hook(lambda module, given, out: seen.append(tuple(given[0].shape[-2:])))
    trainer(tmp_path).test(
        again, ToyData(size=(40, 48)), ckpt_path=tmp_path / "image.ckpt", weights_only=True, verbose=False
    )
    assert (50, 60) in seen  # the checkpoint says so


def test_a_checkpoint_that_says_nothing_is_of_the_label_form(tmp_path: Path):
    run = trainer(tmp_path, max_epochs=1)
    run.fit(image_task(), ToyData(steps=1))
    run.save_checkpoint(tmp_path / "x.ckpt")
    stored = torch.load(tmp_path / "x.ckpt", weights_only=True)
    assert stored["depthmix"].pop("form") == "label"
    torch.save(stored, tmp_path / "old.ckpt")
    assert load_trained(tmp_path / "old.ckpt").form == "label"
    stored["depthmix"]["form"] = "sideways"
    torch.save(stored, tmp_path / "new.ckpt")
    with pytest.raises(ConfigError, match=r"`form` must be one of label, image, got 'sideways'"):
        load_trained(tmp_path / "new.ckpt")


def test_images_at_another_focal_length_than_the_model_s_are_refused(tmp_path: Path):
    with pytest.raises(
        ConfigError, match=r"canonical_focal: must be that of the model, 50, got 60; give `model\.focal"
    ):
        trainer(tmp_path).fit(image_task(), ResizedData(60.0))
    with pytest.raises(
        ConfigError, match=r"so the head 'focal' has nothing to learn; leave the head out, or"
    ):
        form_of(IMAGE, CANONICAL, ["sky", "focal"])
    assert form_of(LABEL, 50.0, ["focal"]) == "label"
    assert form_of(LABEL, 50.0) == form_of(None, 50.0) == checked_form("label") == "label"
    assert form_of(IMAGE, CANONICAL) == "image"


def test_the_form_is_a_fact_of_a_trained_network():
    assert Trained(net(1), 50.0, True, 48, 64, {}).form == "label"
