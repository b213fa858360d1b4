"""Numbers of one sample against values known in closed form."""

import numpy as np
import pytest

from depthmix.audit.edges import REACH, edge_scores, label_steps
from depthmix.audit.measures import field_of_view, measure, nearness_downwards, plane_residuals
from depthmix.sample import Intrinsics, LabelKind
from tests.audit.toy import INVERSE, METRES, Views


@pytest.fixture
def sample(tmp_path):
    return Views(tmp_path).read("000")


def test_shares_and_camera_of_a_view(sample):
    found = measure(sample)
    assert found.valid + found.sky == pytest.approx(1)
    assert found.planes == 3
    assert found.aspect == pytest.approx(0.8 / 0.82)
    assert found.off_centre == pytest.approx(0.05 - 0.5 / 96)
    assert found.sky_height is not None
    assert found.sky_height < 0.2


def test_field_of_view_reaches_from_edge_to_edge():
    assert field_of_view(Intrinsics(50, 50, 49.5, 20), 100) == pytest.approx(90)
    assert field_of_view(Intrinsics(100, 50, -0.5, 20), 100) == pytest.approx(45)


def test_nearness_grows_downwards_on_a_floor_for_both_kinds(tmp_path):
    for card in (METRES, INVERSE):
        found = nearness_downwards(Views(tmp_path, card=card).read("000"))
        assert found is not None
        assert found > 0.5
    flat = Views(tmp_path).read("000")
    assert nearness_downwards(flat.replaced(target=np.full(flat.size, 2, np.float32))) is None


def test_a_true_plane_has_no_residual_and_a_wavy_one_has_its_wave(sample):
    rows, columns = np.mgrid[: sample.size[0], : sample.size[1]]
    inverse = 0.3 + 0.001 * rows - 0.0005 * columns
    flat = sample.replaced(target=(1 / inverse).astype(np.float32), planes=np.ones(sample.size, np.int32))
    assert plane_residuals(flat).tolist() == pytest.approx([0], abs=1e-5)
    wavy = inverse * (1 + 0.05 * np.sign(np.sin(columns)))
    bent = flat.replaced(target=(1 / wavy).astype(np.float32))
    assert plane_residuals(bent).tolist() == pytest.approx([0.05], rel=0.02)


def test_steps_mark_the_nearer_side():
    rows = np.full((12, 20), 4.0, np.float32)
    rows[:, 10:] = 2.0
    base = {"image": np.zeros((12, 20, 3), np.uint8), "valid": np.ones((12, 20), np.bool_)}
    sample = _sample(target=rows, **base)
    marked = label_steps(sample)
    assert marked[:, 10].all()
    assert marked.sum() == 12


def test_scores_peak_where_the_image_steps():
    target = np.full((120, 160), 4.0, np.float32)
    target[:, 80:] = 2.0
    target[60:, :] = 1.0
    image = np.repeat((np.roll(target, (2, 2), (0, 1)) * 60)[..., None], 3, 2).astype(np.uint8)
    scores, stride = edge_scores(_sample(target=target, image=image, valid=np.ones((120, 160), np.bool_)))
    row, column = np.unravel_index(scores.argmax(), scores.shape)
    assert stride == 1
    assert row - REACH in (1, 2)
    assert column - REACH in (1, 2)
    assert scores.max() > 0.9


def test_sparse_labels_have_no_steps_to_compare(sample):
    keep = np.zeros(sample.size, np.bool_)
    keep[::4, ::4] = True
    assert edge_scores(sample.replaced(valid=sample.valid & keep)) is None
    assert measure(sample.replaced(valid=sample.valid & keep)).edge is None


def _sample(**arrays):
    from depthmix.sample import Quality, Sample

    size = arrays["target"].shape
    rest = {"sky": np.zeros(size, np.bool_), "planes": np.zeros(size, np.int32), "sigma": None}
    return Sample(
        **arrays,
        **rest,
        intrinsics=None,
        quality=Quality.HIGH,
        kind=LabelKind.METRIC_DEPTH,
        source="toy",
        key="0",
    )
