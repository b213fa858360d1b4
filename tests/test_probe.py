"""A linear probe tells sources apart exactly where they differ, and says how sure that is."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthmix.errors import ConfigError
from depthmix.models import LightDepthNet
from depthmix.probe import (
    STATISTICS,
    group_of,
    image_statistics,
    linear_probe,
    pooled_features,
    probe_sources,
    source_images,
)
from depthmix.trained import Trained
from tests.test_data import write_set

SIZE = 32


def net(seed: int = 0) -> LightDepthNet:
    torch.manual_seed(seed)
    return LightDepthNet(widths=(8, 16), bottleneck=1)


def trained() -> Trained:
    return Trained(net().eval(), 50.0, True, SIZE, SIZE, {}, spec=net().spec)


def pictures(count: int, seed: int, tint: tuple[int, int, int] = (0, 0, 0)) -> list[np.ndarray]:
    """Pictures of noise, each of its own brightness, with a tint."""
    random = np.random.default_rng(seed)
    noise = random.integers(60, 120, (count, SIZE, SIZE, 3)) + random.integers(0, 60, (count, 1, 1, 1))
    return list((noise + np.array(tint)).astype(np.uint8))


def naive_ridge(known, sources, unknown, count):
    """Solve the normal equations of every penalty, with the intercept as a column that is not penalised."""
    n, d = known.shape
    share = np.array([1 / (sources == s).sum() for s in sources])
    share *= n / share.sum()
    centre = (share[:, None] * known).sum(0) / n
    x = np.column_stack([np.ones(n), (known - centre) / known.std(0)])
    z = np.column_stack([np.ones(len(unknown)), (unknown - centre) / known.std(0)])
    y = np.eye(count)[sources]
    centred = np.sqrt(share)[:, None] * x[:, 1:]
    unit = (np.linalg.svd(centred, compute_uv=False) ** 2).mean()
    scores = {}
    for exponent in range(-4, 5):
        penalty = np.diag([0.0] + [10.0**exponent * unit] * d)
        inverse = np.linalg.inv(x.T @ (share[:, None] * x) + penalty)
        beta = inverse @ x.T @ (share[:, None] * y)
        freedom = np.trace(x @ inverse @ x.T * share)
        residual = (share[:, None] * (y - x @ beta) ** 2).sum()
        scores[residual / (n - freedom) ** 2] = (z @ beta).argmax(1)
    return scores[min(scores)]


def test_the_ridge_is_that_of_the_normal_equations():
    from depthmix.probe import _ridge

    random = np.random.default_rng(0)
    known, unknown = random.normal(size=(60, 5)), random.normal(size=(300, 5))
    sources = np.repeat([0, 1, 2], [30, 20, 10])
    known[:, 0] += 0.7 * sources
    found = _ridge(known, sources, unknown, 3)
    assert np.array_equal(found, naive_ridge(known, sources, unknown, 3))
    assert len(set(found)) == 3


@pytest.mark.parametrize("what", ["encoder", "random", "statistics"])
def test_sources_that_differ_in_colour_are_told_apart(what):
    images = {"warm": pictures(40, 0, (50, 0, 0)), "cold": pictures(40, 1, (0, 0, 50))}
    probe = probe_sources(trained(), images)["probes"][what]
    assert probe["accuracy"] > 0.95
    assert probe["low"] > 0.85
    assert probe["confusion"][0][0] > 0.9


@pytest.mark.parametrize("what", ["encoder", "random", "statistics"])
def test_sources_of_the_same_kind_are_not(what):
    images = {"one": pictures(60, 0), "two": pictures(60, 1), "three": pictures(60, 2)}
    report = probe_sources(trained(), images)
    assert report["chance"] == pytest.approx(1 / 3)
    assert report["probes"][what]["low"] < 1 / 3 < report["probes"][what]["high"]


def test_the_same_images_under_two_names_are_told_at_chance_level():
    # In another fold, the copy of a picture would be taken for the other source each time: 0 %, not 50 %.
    images = {"one": pictures(40, 0), "copy": pictures(40, 0)}
    report = probe_sources(trained(), images)
    for probe in report["probes"].values():
        assert probe["accuracy"] == pytest.approx(0.5)
        assert probe["low"] <= 0.5 <= probe["high"]


def test_a_probe_of_nothing_is_at_chance_whatever_the_sizes():
    probe = linear_probe(np.zeros((90, 3)), np.repeat([0, 1, 2], [60, 20, 10]), np.arange(90))
    assert probe.accuracy == pytest.approx(1 / 3)


def test_a_large_source_does_not_outvote_a_small_one():
    random = np.random.default_rng(0)
    sources = np.repeat([0, 1], [190, 10])
    features = random.normal(size=(200, 1)) + 2.5 * sources[:, None]
    probe = linear_probe(features, sources, np.arange(200))
    assert probe.confusion[1, 1] > 0.7
    assert probe.accuracy == pytest.approx(np.trace(probe.confusion) / 2)


@settings(max_examples=20)
@given(st.floats(0.01, 100), st.floats(-10, 10), st.integers(0, 5))
def test_the_unit_of_a_feature_does_not_matter(factor, shift, seed):
    random = np.random.default_rng(seed)
    features, sources = random.normal(size=(40, 3)), np.arange(40) % 2
    features[:, 1] += sources
    plain = linear_probe(features, sources, np.arange(40))
    features[:, 1] = factor * features[:, 1] + shift
    assert np.array_equal(linear_probe(features, sources, np.arange(40)).hits, plain.hits)


def test_it_repeats_itself_and_more_features_than_images_are_no_problem():
    random = np.random.default_rng(3)
    features, sources = random.normal(size=(30, 200)), np.arange(30) % 3
    first, second = (linear_probe(features, sources, np.arange(30)) for _ in range(2))
    assert np.array_equal(first.hits, second.hits)
    assert (first.low, first.high) == (second.low, second.high)
    assert first.low <= first.accuracy <= first.high


def test_fewer_images_than_folds_or_one_source_are_refused():
    with pytest.raises(ConfigError, match="--images: needs two sources and 5 folds of images, got 2 and 4"):
        linear_probe(np.zeros((4, 2)), np.array([0, 0, 1, 1]), np.arange(4))
    with pytest.raises(ConfigError, match="got 1 and 9"):
        linear_probe(np.zeros((9, 2)), np.zeros(9, int), np.arange(9))


def test_statistics_are_those_of_a_naive_implementation():
    image = pictures(1, 0)[0]
    found = dict(zip(STATISTICS, image_statistics(image), strict=True))
    x = image / 255
    assert found["mean of green"] == pytest.approx(
        sum(x[v, u, 1] for v, u in np.ndindex(SIZE, SIZE)) / SIZE**2
    )
    assert found["contrast of blue"] == pytest.approx(x[..., 2].std())
    assert found["saturation"] == pytest.approx(np.mean([max(p) - min(p) for p in x.reshape(-1, 3)]))
    grey = x.mean(2)
    across = [np.mean([abs(r[u + 1] - r[u]) for r in grey]) for u in range(SIZE - 1)]
    down = [np.mean(abs(grey[v + 1] - grey[v])) for v in range(SIZE - 1)]
    assert found["sharpness"] == pytest.approx((np.mean(across) + np.mean(down)) / 2)
    places = [np.mean(across[k::8]) for k in range(8)]
    assert found["blocks across"] == pytest.approx(max(places) / np.mean(places))


def test_blocks_of_jpeg_are_found_wherever_they_begin():
    import cv2

    smooth = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 255, (96, 96, 3)).astype(np.uint8), (0, 0), 3
    )
    coarse = cv2.imdecode(cv2.imencode(".jpg", smooth, [cv2.IMWRITE_JPEG_QUALITY, 8])[1], cv2.IMREAD_COLOR)
    at = STATISTICS.index("blocks across")
    for start in (0, 3):
        plain, blocky = (image_statistics(x[start:, start:])[at] for x in (smooth, coarse))
        assert blocky > 1.3 * plain


def test_a_picture_of_one_colour_has_finite_statistics():
    assert np.isfinite(image_statistics(np.full((9, 9, 3), 7, np.uint8))).all()


def test_features_are_mean_and_deviation_of_the_last_stage_and_do_not_depend_on_the_batch():
    network, images = net().eval(), pictures(5, 0)
    maps = []
    handle = network.stages[-1][-1].register_forward_hook(lambda module, inputs, out: maps.append(out))
    with torch.no_grad():
        network(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255)
    handle.remove()
    flat = maps[0].double().flatten(2)
    expected = torch.cat([flat.mean(2), flat.std(2, correction=0)], 1).numpy()
    for rows in (2, 16):
        np.testing.assert_allclose(
            pooled_features(network, images, rows=rows), expected, rtol=1e-4, atol=1e-6
        )


def test_a_layer_that_does_not_exist_is_named():
    with pytest.raises(ConfigError, match=r"--layer: LightDepthNet has no module 'midle'"):
        pooled_features(net(), pictures(2, 0), "midle")


def test_images_are_spread_over_the_set_and_brought_to_the_size_of_training(tmp_path: Path):
    write_set(tmp_path / "web", "web", [(18, 24)] * 9)
    images = source_images(tmp_path / "web", 4, 12, 16)
    assert [image.shape for image in images] == [(12, 16, 3)] * 4
    assert len({group_of(image) for image in images}) == 4
    assert len(source_images(tmp_path / "web", 99, 12, 16)) == 9


def test_random_weights_do_not_touch_the_stream_of_random_numbers():
    images, network = {"one": pictures(6, 0), "two": pictures(6, 1)}, trained()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    report = probe_sources(network, images)
    assert torch.equal(torch.rand(1), expected)
    assert report["probes"]["random"]["width"] == report["probes"]["encoder"]["width"] == 2 * 16
    assert math.isclose(report["probes"]["encoder"]["gain"]["accuracy"], 0)
