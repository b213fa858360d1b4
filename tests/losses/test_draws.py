"""Random pixels as a pure function of seed and step."""

import pytest
import torch

from depthmix.losses.draws import draw, pick

CPU = torch.device("cpu")


def hashed(counter: int, seed: int, step: int) -> int:
    """The same hash in Python integers."""

    def mix(x: int) -> int:
        x &= 0xFFFFFFFF
        x = ((x ^ (x >> 16)) * 0x21F0AAAD) & 0xFFFFFFFF
        x = ((x ^ (x >> 15)) * 0x735A2D97) & 0xFFFFFFFF
        return x ^ (x >> 15)

    low, high = seed & 0xFFFFFFFF, seed >> 32
    return mix(mix(mix(counter + low) + step) + high)


@pytest.mark.parametrize(("seed", "step"), [(0, 0), (7, 3), (2**32 - 1, 10**9), (2**40 + 5, 2)])
def test_draws_are_the_hash_of_counter_seed_and_step(seed, step):
    draws = draw(20, seed, step, CPU).tolist()
    assert draws == [hashed(i, seed, step) for i in range(20)]
    assert all(0 <= number < 2**32 for number in draws)


def test_draws_repeat_and_differ_between_seeds_and_steps():
    first = draw(1000, 1, 5, CPU)
    assert torch.equal(first, draw(1000, 1, 5, CPU))
    for other in (draw(1000, 1, 6, CPU), draw(1000, 2, 5, CPU), draw(1000, 1 + 2**32, 5, CPU)):
        assert (first == other).sum() < 3


def test_draws_are_uniform():
    counts = torch.bincount(draw(64_000, 3, 1, CPU) * 64 >> 32, minlength=64)
    assert 0.85 < counts.min() / 1000 <= counts.max() / 1000 < 1.15


def test_pick_gives_every_pixel_of_the_mask_and_no_other():
    mask = torch.tensor([[True, False, True, True], [False, False, False, True], [False] * 4])
    picked = pick(mask, draw(200, 0, 0, CPU))
    assert [sorted(set(row.tolist())) for row in picked] == [[0, 2, 3], [3], [3]]
