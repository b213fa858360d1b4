"""Pictures of one question each say what they show, on scales that can be compared."""

import numpy as np
import pytest
import torch

from depthmix.batch import collate
from depthmix.errors import BadSample
from depthmix.plot import (
    label_edges,
    sample_of,
    shared_scale,
    show_edges,
    show_labels,
    show_map,
    show_sample,
    show_sigma,
    show_space,
    show_strip,
)
from depthmix.plot.panels import stack_panels, strip_panels
from depthmix.sample import LabelKind
from tests.plot.scenes import HEIGHT, WIDTH, corner, corner_depth
from tests.plot.test_figures import draw, words


def test_labels_beside_each_other_have_one_scale():
    near, far = corner(), corner(key="far").derived(target=3 * corner().target)
    scale = shared_scale([near, far])
    assert (scale.low, scale.high) == pytest.approx(
        (shared_scale([near]).low, shared_scale([far]).high), rel=1e-6
    )
    figure = show_labels([near, far])
    draw(figure)
    assert words(figure).count("m") > 1


def test_labels_of_two_kinds_have_no_scale_in_common():
    with pytest.raises(ValueError, match="of one kind, got AFFINE_DISPARITY, METRIC_DEPTH"):
        shared_scale([corner(), corner(LabelKind.AFFINE_DISPARITY)])
    with pytest.raises(ValueError, match="of one kind, got none"):
        shared_scale([])


def test_sigma_is_drawn_in_its_unit_and_as_a_part_of_the_label():
    sample = corner()
    figure = show_sigma(sample.derived(sigma=np.where(sample.valid, 0.02 * sample.target, 0)))
    draw(figure)
    assert "sigma, m" in words(figure)
    assert "sigma, % of the label" in words(figure)
    with pytest.raises(BadSample, match="no noise model"):
        show_sigma(sample.derived(sigma=None))


def test_edges_are_where_the_label_jumps():
    sample = corner()
    target = np.full((HEIGHT, WIDTH), 2.0, np.float32)
    target[:, WIDTH // 2 :] = 3.0
    step = sample.derived(target=target, valid=np.ones_like(sample.valid), sky=np.zeros_like(sample.sky))
    marked = label_edges(step)
    assert marked[:, WIDTH // 2 - 1 : WIDTH // 2 + 1].all()
    assert marked.sum() == 2 * HEIGHT
    assert not label_edges(step, step=0.6).any()
    draw(show_edges(step))
    with pytest.raises(ValueError, match="must have a label with depth, got NONE"):
        label_edges(corner(LabelKind.NONE))


def test_a_prediction_is_drawn_with_its_unit():
    figure = show_map(corner_depth(), image=corner().image, title="photo.jpg")
    draw(figure)
    assert words(figure).startswith("photo.jpg | image")
    assert words(figure).endswith("m")


@pytest.mark.parametrize("kind", list(LabelKind))
def test_a_row_of_a_batch_is_drawn_like_the_sample_that_it_came_from(kind):
    sample = corner(kind)
    row = sample_of(collate([sample, sample], [0, 0]), 1)
    assert (row.name, row.kind, row.quality, row.intrinsics) == (
        *(sample.name, sample.kind, sample.quality, sample.intrinsics),
    )
    for field in ("image", "target", "valid", "sky"):
        assert np.array_equal(getattr(row, field), getattr(sample, field))
    draw(show_sample(row))
    draw(show_strip(row, corner_depth(), metric=True))


def test_a_row_on_the_device_has_its_colours_back():
    batch = collate([corner()], [0])
    varied = batch.to("cpu")
    object.__setattr__(varied, "image", batch.image_float)
    assert np.array_equal(sample_of(varied, 0).image, corner().image)


def test_a_row_without_a_name_is_called_by_its_source():
    batch = collate([corner()], [0])
    object.__setattr__(batch, "names", ())
    assert sample_of(batch, 0, ["kitti"]).name == "kitti/0"
    assert torch.equal(batch.source, torch.tensor([0]))


def test_label_and_prediction_are_two_clouds_in_one_view():
    pytest.importorskip("plotly", reason="comes with depthmix[3d]")
    figure = show_space(corner(), corner_depth(), points=50)
    assert [trace.name for trace in figure.data] == ["label", "prediction"]
    assert all(len(trace.x) <= 50 for trace in figure.data)
    assert figure.layout.scene.zaxis.title.text == "up, m"
    assert figure.layout.scene.aspectmode == "data"
    (alone,) = show_space(corner()).data
    assert alone.marker.color[0].startswith("rgb(")
    with pytest.raises(BadSample, match="points in metres need metric depth or a prediction"):
        show_space(corner(LabelKind.AFFINE_DISPARITY))


def test_panels_can_be_one_picture():
    panels = strip_panels(corner(), corner_depth(), metric=True)
    assert stack_panels(panels).shape == (HEIGHT, 4 * WIDTH + 6, 3)
