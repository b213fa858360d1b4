import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from depthmix.errors import ConfigError
from depthmix.predict import network_size, predict_image, predict_images
from depthmix.sample import Intrinsics
from tests.ideal import DISTANCE, Ideal, centred, wall
from tests.predict.networks import FOCAL, lens, same_input, trained

GREY = np.full((48, 64, 3), 51, np.uint8)  # 0.2: a canonical depth of 1.8 m


def camera(focal: float, image=GREY) -> Intrinsics:
    return Intrinsics(focal, focal, (image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2)


def test_metres_follow_the_focal_length():
    found = predict_image(trained(), GREY, camera(2 * FOCAL))
    assert (found.kind, found.unit, found.focal_used) == ("metric depth", "m", 2 * FOCAL)
    assert found.values == pytest.approx(3.6, rel=1e-5)


@pytest.mark.parametrize("factor", [2, 3])
def test_metres_do_not_depend_on_the_size_of_the_photo(factor):
    large = GREY.repeat(factor, 0).repeat(factor, 1)
    found = predict_image(trained(), large, camera(2 * FOCAL * factor, large))
    assert found.values.shape == large.shape[:2]
    assert found.values == pytest.approx(3.6, rel=1e-5)


@pytest.mark.parametrize(
    ("metric", "given"),
    [(False, True), (True, False), (False, False)],
    ids=["relative", "no focal", "neither"],
)
def test_without_learned_metres_or_a_focal_length_nothing_claims_metres(metric, given):
    found = predict_image(trained(metric=metric), GREY, camera(FOCAL) if given else None)
    assert found.kind == "relative inverse depth, unknown scale and shift"
    assert (found.unit, found.metric, found.focal_used) == ("none", False, None)
    assert found.values == pytest.approx(1 / 1.8, rel=1e-5)


def test_the_network_sees_its_training_area_with_the_aspect_ratio_kept():
    seen = []
    model = replace(trained(), net=same_input(seen))
    predict_image(model, np.zeros((200, 100, 3), np.uint8))
    height, width = seen[0].shape[-2:]
    assert height / width == pytest.approx(2, rel=0.02)
    assert height * width == pytest.approx(48 * 64, rel=0.02)


def test_no_side_falls_below_what_a_network_can_take():
    assert network_size((10, 10_000), 48, 64) == (32, 1753)
    found = predict_image(trained(), np.zeros((4, 400, 3), np.uint8))
    assert found.values.shape == (4, 400)


def test_the_way_back_interpolates_ratios():
    # Depth 1 m and 5 m side by side: half-way, log depth gives their geometric mean.
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, 16:] = 255
    shown = predict_image(trained(height=32, width=32), image, camera(FOCAL, image)).values
    assert shown[0, 0] == pytest.approx(1)
    assert shown[0, -1] == pytest.approx(5)
    wide = np.repeat(np.repeat(image, 3, 0), 3, 1)
    enlarged = predict_image(trained(height=32, width=32), wide, camera(3 * FOCAL, wide)).values[0]
    assert enlarged[47] == pytest.approx(5 ** (1 / 3), rel=1e-3)
    assert enlarged[48] == pytest.approx(5 ** (2 / 3), rel=1e-3)


def test_a_network_that_has_diverged_is_named_and_not_drawn():
    class Diverged(nn.Module):
        def forward(self, image):
            return image.mean(1, keepdim=True) * float("nan")

    with pytest.raises(ConfigError, match="checkpoint: the network gives 3072 of 3072 values that are not"):
        predict_image(replace(trained(), net=Diverged()), GREY, camera(FOCAL))


class Leaning(nn.Module):
    """Predict what is nearer to the left, besides what follows from the brightness of the pixel."""

    def forward(self, image):
        """Return log canonical depth."""
        columns = torch.linspace(0, 1, image.shape[-1]).expand(len(image), 1, *image.shape[-2:])
        return image.mean(1, keepdim=True) + columns


def test_a_flip_takes_the_mean_of_both_views_under_the_mirrored_camera():
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, 40:] = 255
    model = replace(trained(), net=Leaning())
    plain = predict_image(model, image, camera(FOCAL, image)).values
    both = predict_image(model, image, camera(FOCAL, image), flip=True).values
    assert plain[0, 39] / plain[0, 0] == pytest.approx(np.exp(39 / 63), rel=0.01)
    assert both[0, 39] / both[0, 0] == pytest.approx(1, rel=0.01)  # the lean is gone
    assert both[0, 50] / both[0, 30] == pytest.approx(np.e, rel=0.01)  # what is seen stays


def test_tiles_bring_detail_at_the_level_of_the_whole():
    image = np.full((192, 256, 3), 51, np.uint8)
    image[:, ::4] = 153  # stripes that the training area cannot show
    seen = []
    model = replace(trained(), net=same_input(seen))
    whole = predict_image(model, image, camera(400.0, image)).values
    assert whole.std() < 0.02 * whole.mean()
    seen.clear()
    found = predict_image(model, image, camera(400.0, image), tiles=7).values
    assert len(seen) == 1 + 49
    assert {tuple(shown.shape[-2:]) for shown in seen} == {(48, 64)}
    assert np.median(np.log(found)) == pytest.approx(np.median(np.log(whole)), abs=0.05)
    assert found[:, 2::4].mean() < 0.75 * found[:, ::4].mean()


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 3), (33, 47)])
def test_tiles_of_any_image_cover_it(size):
    found = predict_image(trained(), np.full((*size, 3), 51, np.uint8), tiles=3)
    assert found.values == pytest.approx(1 / 1.8, rel=1e-5)


def test_no_tiles_are_named():
    with pytest.raises(ConfigError, match="tiles: must be at least 1, got 0"):
        predict_image(trained(), GREY, tiles=0)


def photo_of_wall(focal, size, form, canonical=60.0, **options):
    """Let the ideal network look at its wall, trained on 48 x 64 pixels in either form."""
    model = replace(trained(), net=Ideal(canonical), focal_canonical=canonical, form=form)
    found = predict_image(model, wall(focal, size), centred(focal, size), **options)
    return found, model.net.sizes


@settings(max_examples=20)
@given(
    focal=st.floats(0.6, 5), size=st.tuples(st.integers(120, 240), st.integers(120, 240)), flip=st.booleans()
)
def test_both_forms_give_the_metres_of_a_network_that_makes_no_mistake(focal, size, flip):
    focal = focal * max(size)
    for form in ("label", "image"):
        found, _ = photo_of_wall(focal, size, form, flip=flip)
        assert found.values.shape == size
        assert found.focal_used == pytest.approx(focal)
        assert np.median(found.values) == pytest.approx(DISTANCE, rel=0.05)


def test_in_the_image_form_a_photo_is_seen_at_the_canonical_focal_length():
    found, sizes = photo_of_wall(300.0, (240, 320), "image")
    assert sizes == [(48, 64)]
    assert found.values == pytest.approx(DISTANCE, rel=0.02)
    assert photo_of_wall(200.0, (240, 320), "image")[1] == [(72, 96)]
    assert photo_of_wall(200.0, (240, 320), "label")[1] == [(48, 64)]
    found, sizes = photo_of_wall(900.0, (240, 320), "image")  # 16 x 21 would be too small
    assert sizes == [(32, 43)]
    assert found.values == pytest.approx(DISTANCE, rel=0.05)


def test_tiles_of_the_image_form_are_seen_at_the_training_area():
    found, sizes = photo_of_wall(200.0, (240, 320), "image", tiles=2)
    assert sizes == [(72, 96)] + [(48, 64)] * 4
    assert found.values == pytest.approx(DISTANCE, rel=0.02)


@pytest.mark.parametrize("flip", [False, True])
def test_a_focal_length_that_is_not_known_is_estimated_and_gives_the_metres_it_would_as_given(flip):
    image = GREY.repeat(2, 0).repeat(2, 1)
    model = lens(1.25)
    found = predict_image(model, image, flip=flip)
    assert (found.kind, found.focal_origin) == ("metric depth", "estimated by the network")
    assert found.focal_used == pytest.approx(1.25 * math.hypot(96, 128), rel=1e-5)
    given = predict_image(model, image, camera(found.focal_used, image), flip=flip)
    assert given.focal_origin == "as given"
    assert found.values == pytest.approx(given.values, rel=1e-5)
    assert len(model.net.sizes) == 2 * (1 + flip)  # the look that estimates is the one that predicts


def test_an_estimate_changes_no_other_photo_of_the_batch():
    images, cameras = [GREY] * 3, [camera(70.0), None, camera(200.0)]
    found = predict_images(lens(1.25), images, cameras, batch=3)
    assert [one.focal_used for one in found] == pytest.approx([70, 100, 200])
    assert [one.values[0, 0] for one in found] == pytest.approx([1.8 * 0.7, 1.8, 3.6], rel=1e-5)
    assert [one.focal_origin == "estimated by the network" for one in found] == [False, True, False]


def test_a_relative_network_has_no_use_for_an_estimate():
    found = predict_image(lens(1.25, metric=False), GREY)
    assert (found.metric, found.focal_used, found.focal_origin) == (False, None, None)


def test_a_focal_length_that_no_lens_has_is_named():
    for diagonals in (1e3, 1e-3, float("inf")):
        with pytest.raises(
            ConfigError, match=r"checkpoint: the focal head states .* which no lens has; give --focal-px"
        ):
            predict_image(lens(diagonals), GREY)


def cameras_shown(monkeypatch):
    """Record the camera of every look."""
    import depthmix.trained

    shown, real = [], depthmix.trained.predict_batch

    def spy(model, image, intrinsics):
        shown.append([tuple(row) for row in intrinsics.tolist()])
        return real(model, image, intrinsics)

    monkeypatch.setattr("depthmix.trained.predict_batch", spy)
    return shown


def test_the_camera_of_a_look_is_resized_mirrored_and_cropped_with_its_principal_point(monkeypatch):
    shown = cameras_shown(monkeypatch)
    image = np.zeros((96, 128, 3), np.uint8)
    predict_image(trained(), image, Intrinsics(200, 180, 40.5, 60.5), flip=True, tiles=3)
    (whole,), (mirrored,) = shown[:2]
    assert whole == pytest.approx((100, 90, 20.25 - 0.25 + 0.0, 30.0), abs=1e-4)
    assert mirrored == pytest.approx((100, 90, 63 - 20.0, 30.0), abs=1e-4)
    # Tiles of half the size start at quarters and are seen in twice the resolution of the whole.
    parts = [row for (row,) in shown[2::2]]
    places = [(40.5 - left, 60.5 - top) for top in (0, 24, 48) for left in (0, 32, 64)]
    assert len(parts) == 9
    for part, (cx, cy) in zip(parts, places, strict=True):
        assert part == pytest.approx((200, 180, cx, cy), abs=1e-4)
    for (other,), part in zip(shown[3::2], parts, strict=True):
        assert other == pytest.approx((200, 180, 63 - part[2], part[3]), abs=1e-4)


class Textured(nn.Module):
    """A network whose answer depends on every pixel of its image and on no other image."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(1, 3, 5, 5, generator=generator) / 5)

    def forward(self, image):
        """Return log canonical depth."""
        return nn.functional.conv2d(image, self.weight, padding=2)


def test_batches_change_nothing_and_keep_the_order():
    random = np.random.default_rng(0)
    sizes = [(48, 64), (96, 128), (60, 50), (48, 64), (50, 60), (144, 192), (48, 64)]
    images = [random.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    cameras = [camera(80.0 + n, image) if n % 3 else None for n, image in enumerate(images)]
    seen = []
    model = replace(trained(), net=Textured())
    model.net.register_forward_hook(lambda module, given, out: seen.append(len(given[0])))
    for options in ({}, {"flip": True}, {"tiles": 2}):
        alone = [predict_image(model, i, c, **options) for i, c in zip(images, cameras, strict=True)]
        seen.clear()
        together = predict_images(model, images, cameras, batch=4, **options)
        assert max(seen) == 4
        for one, other in zip(alone, together, strict=True):
            assert (one.metric, one.focal_used) == (other.metric, other.focal_used)
            np.testing.assert_allclose(one.values, other.values, rtol=1e-5)


def test_no_batch_is_named():
    with pytest.raises(ConfigError, match="batch: must be at least 1, got 0"):
        predict_images(trained(), [GREY], [None], batch=0)


def test_a_gpu_without_room_for_a_batch_is_one_clear_line():
    class Heavy(nn.Module):
        def forward(self, image):
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    with pytest.raises(
        ConfigError, match="batch: a GPU has no room for 4 at once; lower --batch, or predict"
    ):
        predict_images(replace(trained(), net=Heavy()), [GREY], [None], batch=4)
