"""What a network is measured by: exact answers, alignments, and baselines that need no network."""

from dataclasses import replace

import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn

from depthmix.bench.baselines import Calibrated, Line, fit_line, network_places, nowhere, row_places
from depthmix.bench.corpus import Corpus
from depthmix.bench.measuring import ALIGNMENTS, image_rows, mean_of
from depthmix.bench.training import batches
from depthmix.store import ShardSet
from tests.bench.conftest import TINY

SIZE = (TINY.height, TINY.width)


class Knows(nn.Module):
    """Answer with the exact inverse depth of the scenes, as a linear function of it."""

    def __init__(self, corpus: Corpus, name: str, scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        [self.batch] = batches(corpus.prepared / name, SIZE, 12)
        self.scale, self.shift = scale, shift

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h w"]:
        known = torch.where(self.batch.valid, self.batch.target, 100)
        canonical = known * (TINY.focal / self.batch.intrinsics[:, 0])[:, None, None, None]
        return -(self.scale / canonical + self.shift).log()


def test_an_exact_answer_has_no_error_in_any_alignment(corpus: Corpus):
    rows = image_rows(Knows(corpus, "rooms"), corpus.prepared, ["rooms"], TINY)
    assert len(rows) == len(ALIGNMENTS) * len(ShardSet(corpus.prepared / "rooms"))
    for alignment in ALIGNMENTS:
        assert mean_of(rows, "abs_rel", alignment) == pytest.approx(0, abs=1e-5)
        assert mean_of(rows, "delta1", alignment) == 1


def test_a_wrong_scale_is_forgiven_by_the_median_and_a_wrong_shift_by_the_affine_fit_only(corpus: Corpus):
    scaled = image_rows(Knows(corpus, "rooms", scale=0.5), corpus.prepared, ["rooms"], TINY)
    assert mean_of(scaled, "abs_rel", "none") == pytest.approx(1, rel=1e-4)
    assert mean_of(scaled, "abs_rel", "median") == pytest.approx(0, abs=1e-5)
    shifted = image_rows(Knows(corpus, "rooms", shift=0.1), corpus.prepared, ["rooms"], TINY)
    assert mean_of(shifted, "abs_rel", "median") > 0.01  # type: ignore[operator]
    assert mean_of(shifted, "abs_rel", "affine_inverse_depth") == pytest.approx(0, abs=1e-4)


def test_images_are_named_so_that_recipes_can_be_paired(corpus: Corpus):
    rows = image_rows(Line(nowhere, 0.0, 0.3), corpus.prepared, ["rooms", "streets"], TINY)
    names = [row["image"] for row in rows if row["alignment"] == "none"]
    assert len(set(names)) == len(names) == 4


def test_a_constant_is_the_mean_inverse_depth_of_the_images(corpus: Corpus):
    scale, shift = fit_line(nowhere, corpus.prepared, ["kitti"], SIZE, TINY.focal)
    [batch] = batches(corpus.prepared / "kitti", SIZE, 12)
    means = [
        (batch.intrinsics[i, 0] / TINY.focal / batch.target[i][batch.valid[i]]).mean().item()
        for i in range(len(batch))
    ]
    assert scale == 0
    assert shift == pytest.approx(sum(means) / len(means), rel=1e-5)


def test_the_line_of_a_network_is_the_one_that_undoes_its_scale_and_shift(corpus: Corpus):
    net = Knows(corpus, "rooms", scale=0.5, shift=0.2)
    scale, shift = fit_line(network_places(net), corpus.prepared, ["rooms"], SIZE, TINY.focal)
    assert (scale, shift) == (pytest.approx(2, rel=1e-4), pytest.approx(-0.4, rel=1e-3))
    rows = image_rows(Calibrated(net, scale, shift), corpus.prepared, ["rooms"], TINY)
    assert mean_of(rows, "abs_rel", "none") == pytest.approx(0, abs=1e-3)


def test_rows_are_numbered_from_the_top_and_a_line_stays_in_front_of_infinity():
    image = torch.zeros(2, 3, 5, 4)
    assert row_places(image)[1, 0, :, 3].tolist() == [0, 0.25, 0.5, 0.75, 1]
    depth = Line(row_places, 1.0, -0.5)(image).exp()
    assert depth.max().item() == pytest.approx(1000)
    assert depth[0, 0, -1, 0].item() == pytest.approx(2)


def test_the_mean_of_sets_gives_each_the_same_weight():
    rows = [{"set": "a", "alignment": "none", "m": 1.0}, {"set": "b", "alignment": "none", "m": 4.0}]
    rows += [{"set": "b", "alignment": "none", "m": 2.0}, {"set": "b", "alignment": "none", "m": None}]
    assert mean_of(rows, "m", "none") == 2.0
    assert mean_of(rows, "m", "none", "b") == 3.0
    assert mean_of(rows, "m", "median") is None


def test_settings_scale_with_the_size():
    large = replace(TINY, size="96x128")
    assert (large.height, large.width, large.stored, large.focal) == (96, 128, (120, 160), 120.0)
