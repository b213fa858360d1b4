"""The corpus of the benchmark: apart by blocks, the same images for the oracle, and one careless set."""

import numpy as np

from depthmix.bench.corpus import BLOCKS, METRIC, METRIC_VAL, Corpus, make_corpus
from depthmix.sample import LabelKind, Quality
from depthmix.scenes.plan import TRAINING
from depthmix.store import ShardSet
from tests.bench.conftest import TINY, no_bar


def test_training_validation_and_test_are_different_sets(corpus: Corpus):
    trained = {*TRAINING, *(f"{name}_exact" for name in TRAINING), "web_as_metric"}
    assert not set(BLOCKS["test"]) & set(BLOCKS["val"])
    assert not trained & {*BLOCKS["test"], *BLOCKS["val"], *METRIC_VAL}
    assert {*trained, *BLOCKS["test"], *BLOCKS["val"], *METRIC, *METRIC_VAL} <= set(corpus.names())


def test_the_oracle_learns_from_the_very_images_with_every_pixel_labelled(corpus: Corpus):
    for name in TRAINING:
        noisy, exact = ShardSet(corpus.prepared / name), ShardSet(corpus.prepared / f"{name}_exact")
        assert len(noisy) == len(exact)
        for index in range(len(noisy)):
            # A PNG is stored anew as JPEG, a JPEG as well: the same bytes in, the same bytes out.
            np.testing.assert_array_equal(noisy[index].image, exact[index].image)
            assert exact[index].kind is LabelKind.METRIC_DEPTH
            np.testing.assert_array_equal(exact[index].valid, ~exact[index].sky)


def test_web_stereo_taken_as_metric_has_the_median_depth_of_the_metric_sources(corpus: Corpus):
    card = corpus.card("web_as_metric")
    assert (card.kind, card.quality) == (LabelKind.METRIC_DEPTH, Quality.HIGH)
    taken, web = (ShardSet(corpus.prepared / name) for name in ("web_as_metric", "web"))
    depth = [np.median(one.target[one.valid]) for one in (taken[i] for i in range(len(taken)))]
    metric = [
        np.median(one.target[one.valid])
        for name in METRIC
        for one in (ShardSet(corpus.prepared / name)[i] for i in range(len(taken)))
    ]
    # The medians of 1/v and of v belong to neighbouring images where their number is even.
    assert 0.3 < np.median(depth) / np.median(metric) < 3
    np.testing.assert_array_equal(taken[0].valid, web[0].valid)
    product = (taken[0].target * web[0].target)[web[0].valid & (web[0].target > 0.05)]
    np.testing.assert_allclose(product, np.median(product), rtol=2e-3)  # 16-bit codes on both sides
    assert taken[0].intrinsics is not None
    assert web[0].intrinsics is None


def test_a_second_call_makes_nothing(corpus: Corpus):
    folder = corpus.prepared.parents[1]
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}
    assert make_corpus(folder, TINY, 1, no_bar) == corpus
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()} == before
