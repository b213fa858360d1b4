from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from depthmix.errors import ConfigError
from depthmix.predict import network_size, predict_image
from depthmix.sample import Intrinsics
from tests.predict.networks import FOCAL, same_input, trained

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
