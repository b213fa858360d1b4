import numpy as np
import pytest
import torch

from depthmix.losses.edges import EdgeGuidedLoss, edge_guided, strong_edges
from depthmix.losses.pairs import BLUE, GREEN, RED
from tests.losses.cases import LABEL_FAULTS, make_batch
from tests.losses.contract import LossContract, Row
from tests.losses.naive_windows import between, difference, draws_of, every_so_many, inside, valid_in

PIXELS, WINDOWS, SIDES = 12, 40, (0.1, 0.3)


def edges_of(image: np.ndarray) -> np.ndarray:
    """The strongest tenth of Sobel's gradient, with loops."""
    luminance = np.einsum("c,chw", [RED, GREEN, BLUE], image.astype(np.float64))
    grey = np.pad(luminance, 1, mode="edge")
    h, w = image.shape[1:]
    strength = np.zeros((h, w))
    for v, u in np.ndindex(h, w):
        n = grey[v : v + 3, u : u + 3]
        du = n[0, 2] + 2 * n[1, 2] + n[2, 2] - n[0, 0] - 2 * n[1, 0] - n[2, 0]
        dv = n[2, 0] + 2 * n[2, 1] + n[2, 2] - n[0, 0] - 2 * n[0, 1] - n[0, 2]
        strength[v, u] = np.hypot(du, dv)
    threshold = np.sort(strength.ravel())[int(0.9 * (strength.size - 1))]
    return (strength >= threshold * (1 - 1e-5)) & (strength > 0)


class TestEdgeGuidedLoss(LossContract):
    def make(self):
        return EdgeGuidedLoss(windows=WINDOWS, pixels=PIXELS, sides=SIDES)

    def reference(self, row: Row):
        draws = np.array(draws_of(row.image, 3 * WINDOWS)).reshape(3, WINDOWS).T.tolist()
        edges, (h, w) = list(zip(*np.nonzero(edges_of(row.image)), strict=True)), row.valid.shape
        errors = []
        for anchor, length, phase in draws:
            v, u = edges[(anchor * len(edges)) // 2**32]
            side = between(length, max(3, round(SIDES[0] * h)), round(SIDES[1] * h))
            top, left = inside(v - side // 2, side, h), inside(u - side // 2, side, w)
            pixels = every_so_many(valid_in(row.valid, top, left, side, side), PIXELS, phase)
            if len(pixels) >= 6:
                errors.append(difference(row.inverse_prediction, row.inverse_target, pixels))
        return np.mean(errors)

    def plain(self):
        p, g, valid, edges, draws = maps(0, (2, 1, 7, 8), torch.float64)
        return lambda x: edge_guided(x, g, valid, edges, draws[..., :3], (0.5, 0.7), 12), p


def maps(seed, size=(2, 1, 40, 48), dtype=torch.float32):
    g = torch.Generator().manual_seed(seed)
    p, t = torch.randn(2, *size, generator=g, dtype=dtype)
    valid, edges = torch.rand(2, *size, generator=g) < torch.tensor([0.9, 0.1])[:, None, None, None, None]
    return p, t, valid, edges, torch.randint(0, 2**32, (size[0], 3, 30), generator=g)


def test_ignores_scale_and_shift_of_both_maps_but_not_the_sign():
    p, g, valid, edges, draws = maps(0, dtype=torch.float64)
    expected = edge_guided(p, g, valid, edges, draws, (0.2, 0.4))
    torch.testing.assert_close(edge_guided(5 * p - 3, 0.1 * g + 8, valid, edges, draws, (0.2, 0.4)), expected)
    assert (edge_guided(-g, g, valid, edges, draws, (0.2, 0.4)) > 1).all()


def test_sees_only_the_neighbourhood_of_edges():
    p, g, valid, _, draws = maps(0)
    edges = torch.zeros_like(valid)
    edges[..., 20, 5] = True
    leaf = p.requires_grad_()
    edge_guided(leaf, g, valid, edges, draws, (0.2, 0.2)).sum().backward()
    assert leaf.grad[..., 16:24, 1:9].abs().sum() > 0
    assert leaf.grad[..., 12:].abs().sum() == 0
    assert leaf.grad[..., :15, :].abs().sum() == 0


def test_edges_are_the_strongest_tenth_of_each_picture_however_dim():
    image = torch.rand(2, 3, 50, 60, generator=torch.Generator().manual_seed(0))
    image[1] *= 0.01
    share = strong_edges(image).flatten(1).float().mean(1)
    torch.testing.assert_close(share, torch.full((2,), 0.1), rtol=0.05, atol=0)


def test_the_threshold_of_a_large_picture_is_close_to_that_of_all_its_pixels():
    image = torch.rand(1, 3, 400, 400, generator=torch.Generator().manual_seed(0))
    assert abs(strong_edges(image).float().mean().item() - 0.1) < 0.01


def test_a_picture_of_one_colour_bears_no_loss():
    batch = LABEL_FAULTS["flat picture"](make_batch())
    assert not strong_edges(batch.image).any()
    assert not EdgeGuidedLoss().supervised(batch).any()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"windows": 0}, r"`windows` must be at least 1, got 0"),
        ({"pixels": 3}, r"`pixels` must be at least 6, got 3"),
        ({"sides": (0.5, 0.2)}, r"`sides` must be rising parts in \(0, 1\], got \(0.5, 0.2\)"),
    ],
)
def test_bad_options_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        EdgeGuidedLoss(**options)
