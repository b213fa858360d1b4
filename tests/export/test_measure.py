"""What a change costs is measured as it is said, and nothing is called faster or smaller that was not."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from depthmix.errors import ConfigError
from depthmix.export.measure import Change, abs_rel_between, labels_of, median_ms
from depthmix.export.photos import photos_of
from depthmix.store import ShardSet
from tests.export.networks import real_photos, small
from tests.test_data import write_set


def test_abs_rel_is_the_mean_ratio_over_all_photos():
    found = abs_rel_between(lambda x: x[:, :1] + 1, lambda x: 1.25 * (x[:, :1] + 1), real_photos())
    assert found == pytest.approx(0.25, rel=1e-5)


def test_times_are_those_of_one_image_in_turn():
    order, image = [], real_photos()[:1]

    def works(name: str, seconds: float):
        def run(x):
            order.append(name)
            end = time.process_time() + seconds
            while time.process_time() < end:
                pass
            return x

        return run

    times = median_ms([works("slow", 0.006), works("fast", 0.002)], image, rounds=3)
    assert times[0] == pytest.approx(6, abs=2)
    assert times[1] == pytest.approx(2, abs=1.5)
    assert order == ["slow", "fast"] * 6


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ((10.0, 5.0), "2.00 times faster: 10.00 before, 5.00 ms an image after"),
        ((10.0, 9.8), "not faster: "),
        ((10.0, 10.2), "not faster: "),
        ((10.0, 20.0), "2.00 times slower: "),
    ],
)
def test_faster_stands_only_where_it_was_measured(times, said):
    assert Change((1.0, 1.0), times, 0.0, 1).lines()[1].startswith(said)


def test_all_that_was_measured_is_said():
    lines = Change((4.0, 1.0), (1.0, 1.0), 0.01234, 7, (0.1, 0.15), "none").lines()
    assert lines == [
        "4.00 times smaller: 4.00 before, 1.00 MB after",
        "not faster: 1.00 before, 1.00 ms an image after",
        "AbsRel 0.0123 to the network before, on 7 photos, no alignment",
        "AbsRel on labels 0.1000 before, 0.1500 after (+0.0500), alignment none",
    ]


def depth_of(shards: ShardSet, focal_canonical: float, size: tuple[int, int], factor: float):
    """Return a network that knows the labels of a set of one flat depth, and is off by a factor."""
    sample = shards[0]
    assert sample.intrinsics is not None
    rows, columns = sample.image.shape[:2]
    scale = (size[0] / rows * size[1] / columns) ** 0.5
    focal = (sample.intrinsics.fx * sample.intrinsics.fy) ** 0.5 * scale
    z = torch.from_numpy(sample.target)[None, None]
    canonical = torch.nn.functional.interpolate(z, size=size, mode="bilinear") * focal_canonical / focal
    return lambda x: factor * canonical


def test_labels_are_read_at_their_own_size_and_in_metres(tmp_path):
    write_set(tmp_path / "kitti", "kitti", [(32, 40)])
    shards, trained = ShardSet(tmp_path / "kitti"), small()
    runs = [depth_of(shards, trained.focal_canonical, (32, 40), factor) for factor in (1.0, 1.5)]
    figures, alignment = labels_of(trained, runs, shards, (32, 40))
    assert alignment == "none"
    np.testing.assert_allclose(figures, [0.0, 0.5], atol=1e-5)
    figures, alignment = labels_of(replace(trained, metric=False), runs, shards, (32, 40))
    assert alignment == "affine_inverse_depth"
    np.testing.assert_allclose(figures, [0.0, 0.0], atol=1e-5)


def test_another_size_changes_the_focal_length_and_not_the_metres(tmp_path, monkeypatch):
    write_set(tmp_path / "kitti", "kitti", [(32, 40)])
    shards, trained = ShardSet(tmp_path / "kitti"), small()
    flat = replace(shards[0], target=np.full((32, 40), 7, np.float32), valid=np.ones((32, 40), bool))
    monkeypatch.setattr(ShardSet, "__getitem__", lambda self, index: flat)
    figures, _ = labels_of(trained, [depth_of(shards, 80.0, (64, 120), 1.1)], shards, (64, 120))
    np.testing.assert_allclose(figures, [0.1], rtol=1e-4)


def test_labels_that_bear_no_abs_rel_are_refused(tmp_path):
    write_set(tmp_path / "web", "web", [(32, 40)])
    shards = ShardSet(tmp_path / "web")
    with pytest.raises(ConfigError, match="set: its labels bear no AbsRel"):
        labels_of(small(), [lambda x: x[:, :1] + 1], shards, (32, 40))


def test_photos_are_taken_evenly_and_a_folder_without_any_is_named(tmp_path):
    import cv2

    with pytest.raises(ConfigError, match="no such folder"):
        photos_of(tmp_path / "gone", 8, 8, 3)
    with pytest.raises(ConfigError, match="holds no photo"):
        photos_of(tmp_path, 8, 8, 3)
    for number in range(5):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((9, 9, 3), 50 * number, np.uint8))
    assert (photos_of(tmp_path, 8, 6, 3).mean((1, 2, 3)) * 255).round().tolist() == [0, 100, 200]
    assert photos_of(tmp_path, 8, 6, 5).shape == (5, 3, 8, 6)
