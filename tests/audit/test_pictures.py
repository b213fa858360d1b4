"""Fingerprints of pictures: the same picture stays near, another one is far, an empty one is like none."""

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.audit.pictures import SAME, fingerprint, matches


def photo(seed: int, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    random = np.random.default_rng(seed)
    blobs = cv2.resize(
        random.random((9, 12, 3)).astype(np.float32), size[::-1], interpolation=cv2.INTER_CUBIC
    )
    return np.clip(blobs * 200 + random.normal(0, 6, (*size, 3)), 0, 255).astype(np.uint8)


def bits(first: np.ndarray, second: np.ndarray) -> int:
    return int(np.bitwise_count(fingerprint(first) ^ fingerprint(second)).sum())


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.floats(0.4, 1.6), st.floats(0.7, 1.3))
def test_scaling_and_exposure_keep_a_picture_near(seed: int, scale: float, gain: float):
    image = photo(seed)
    scaled = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    assert bits(image, np.clip(scaled * gain, 0, 255).astype(np.uint8)) <= 2 * SAME


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_another_picture_is_far(one: int, other: int):
    assert one == other or bits(photo(one), photo(other)) > 3 * SAME


def test_each_pair_is_listed_once_and_nothing_matches_itself():
    prints = np.stack([fingerprint(photo(seed)) for seed in (1, 2, 1, 3, 2)])
    assert [(one.first, one.second, one.bits) for one in matches(prints, prints)] == [(0, 2, 0), (1, 4, 0)]
    assert [(one.first, one.second) for one in matches(prints[:2], prints[2:].copy())] == [(0, 0), (1, 2)]


def test_pictures_without_structure_match_nothing():
    flat = [np.full((40, 50, 3), level, np.uint8) for level in (0, 0, 200)]
    prints = np.stack([fingerprint(image) for image in flat])
    assert matches(prints, prints) == []


def test_blocks_do_not_change_what_is_found(monkeypatch):
    prints = np.stack([fingerprint(photo(seed % 7)) for seed in range(20)])
    whole = matches(prints, prints)
    monkeypatch.setattr("depthmix.audit.pictures.BLOCK", 3)
    assert matches(prints, prints) == whole
    assert len(whole) == sum(n * (n - 1) // 2 for n in (3, 3, 3, 3, 3, 3, 2))
