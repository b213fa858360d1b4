import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.losses.regions import RegionNormalisedLoss, random_windows, region_normalised
from depthmix.losses.windows import draw_rows
from tests.losses.contract import LossContract, Row
from tests.losses.naive_windows import between, difference, draws_of, every_so_many, inside, valid_in

PIXELS, WINDOWS = 60, 20


def windows_of(row: Row, sides=(0.125, 0.5)) -> list[list[tuple[int, int]]]:
    """The pixels read in each window, found with loops."""
    draws = np.array(draws_of(row.image, 6 * WINDOWS)).reshape(6, WINDOWS).T.tolist()
    h, w = row.valid.shape
    everywhere = valid_in(row.valid, 0, 0, h, w)
    found = []
    for anchor, tall, broad, above, before, phase in draws:
        height, width = (between(d, int(sides[0] * s), int(sides[1] * s)) for d, s in ((tall, h), (broad, w)))
        v, u = everywhere[(anchor * len(everywhere)) // 2**32]
        top = inside(v - between(above, 0, height - 1), height, h)
        left = inside(u - between(before, 0, width - 1), width, w)
        pixels = valid_in(row.valid, top, left, height, width)
        assert (v, u) in pixels
        found.append(every_so_many(pixels, PIXELS, phase))
    return found


class TestRegionNormalisedLoss(LossContract):
    def make(self):
        return RegionNormalisedLoss(windows=WINDOWS, pixels=PIXELS)

    def reference(self, row: Row):
        p, g = row.inverse_prediction, row.inverse_target
        return np.mean([difference(p, g, pixels) for pixels in windows_of(row) if len(pixels) >= 8])

    def plain(self):
        p, g, valid, draws = maps(0, (2, 1, 7, 8), 3, torch.float64)
        return lambda x: region_normalised(x, g, valid, draws, (0.5, 1.0), 12), p


def maps(seed, size=(2, 1, 48, 40), windows=20, dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)
    p, t = torch.randn(2, *size, generator=g, dtype=dtype)
    valid = torch.rand(size, generator=g) < 0.9
    return p, t, valid, torch.randint(0, 2**32, (size[0], 6, windows), generator=g)


@settings(max_examples=15)
@given(st.integers(0, 99), st.floats(0.01, 100), st.floats(-10, 10))
def test_ignores_scale_and_shift_of_both_maps(seed, scale, shift):
    p, g, valid, draws = maps(seed, dtype=torch.float64)
    expected = region_normalised(p, g, valid, draws)
    torch.testing.assert_close(region_normalised(scale * p + shift, g, valid, draws), expected)
    torch.testing.assert_close(region_normalised(p, scale * g + shift, valid, draws), expected)


def test_a_map_bent_from_window_to_window_does_not_score_zero():
    p, _, valid, draws = maps(0)
    assert (region_normalised(p.sign() * p.square(), p, valid, draws) > 0.1).all()


def test_a_depth_inverted_prediction_does_not_score_zero():
    p, _, valid, draws = maps(0)
    assert (region_normalised(-p, p, valid, draws) > 1).all()
    torch.testing.assert_close(region_normalised(p, p, valid, draws), torch.zeros(2))


def test_nothing_outside_the_mask_is_in_the_scale():
    p, g, valid, draws = maps(0)
    expected = region_normalised(p, g, valid, draws)
    for rubbish in (0.0, 1e6, torch.nan):
        dirty = [torch.where(valid, x, rubbish) for x in (p, g)]
        assert torch.equal(region_normalised(*dirty, valid, draws), expected)


def test_the_same_relative_error_scores_the_same_in_windows_of_any_area():
    # A scale that sums over the whole image but divides by the window's pixels is larger in small windows.
    g = torch.Generator().manual_seed(0)
    size = (1, 1, 256, 256)
    target, noise = torch.rand(size, generator=g), torch.rand(size, generator=g)
    draws = torch.randint(0, 2**32, (1, 6, 64), generator=g)
    everywhere = torch.ones(size, dtype=torch.bool)
    small, large = (
        region_normalised(target + 0.2 * noise, target, everywhere, draws, (side, side), 4096)
        for side in (0.125, 0.5)
    )
    torch.testing.assert_close(small, large, rtol=0.02, atol=0)


def test_a_window_without_enough_valid_pixels_has_no_weight():
    p, g, _, draws = maps(0)
    corner = torch.zeros(p.shape, dtype=torch.bool)
    corner[..., :2, :3] = True
    assert torch.equal(region_normalised(p, g, corner, draws), torch.zeros(2))
    alone = corner.clone()
    alone[..., 20:32, 20:32] = True
    without = alone & ~corner
    assert (region_normalised(p, g, without, draws) > 0).all()
    assert (region_normalised(p, g, alone, draws) > 0).all()


def test_a_sparse_label_of_one_pixel_in_two_hundred_bears_the_loss():
    g = torch.Generator().manual_seed(0)
    p, t = torch.rand(2, 4, 1, 192, 192, generator=g)
    valid = torch.rand(p.shape, generator=g) < 0.005
    draws = torch.randint(0, 2**32, (4, 6, 20), generator=g)
    assert (region_normalised(p, t, valid, draws) > 0).all()


def test_few_pixels_of_a_window_estimate_what_all_of_them_give():
    p, g, valid, _ = maps(1, (1, 1, 128, 128))
    draws = torch.randint(0, 2**32, (1, 6, 400), generator=torch.Generator().manual_seed(0))
    some, every = (region_normalised(p, g, valid, draws, pixels=n) for n in (256, 4096))
    torch.testing.assert_close(some, every, rtol=0.02, atol=0)


def test_windows_have_the_sides_asked_for_and_lie_inside():
    valid = torch.ones(2, 1, 64, 96, dtype=torch.bool)
    draws = draw_rows(torch.rand(2, 3, 64, 96), 6 * 500, 0, 0).unflatten(1, (6, -1))
    top, left, height, width = random_windows(valid, draws, (0.125, 0.5))
    assert (height.min(), height.max(), width.min(), width.max()) == (8, 32, 12, 48)
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 64).all()
    assert (left + width <= 96).all()
    assert not torch.equal(top[0], top[1])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"windows": 0}, r"`windows` must be at least 1, got 0"),
        ({"pixels": 3}, r"`pixels` must be at least 8, got 3"),
        ({"sides": (0.5, 0.2)}, r"`sides` must be rising parts in \(0, 1\], got \(0.5, 0.2\)"),
        ({"sides": (0.0, 0.2)}, r"`sides` must be rising"),
        ({"sides": (0.5, 1.2)}, r"`sides` must be rising"),
    ],
)
def test_bad_options_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        RegionNormalisedLoss(**options)
