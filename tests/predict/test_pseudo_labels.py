"""What a network predicts of photos can be trained on as it lies there: `PseudoLabelSource` reads it back."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from depthmix.models import LightDepthNet
from depthmix.predict import predict_files
from depthmix.sample import LabelKind
from depthmix.sources import PseudoLabelSource
from depthmix.sources.decode import read_image
from depthmix.trained import Trained

LENSES = {"hall/a.jpg": 28, "hall/b.jpg": 50, "c.jpg": 85}  # 35 mm equivalents
SIZES = {"hall/a.jpg": (40, 56), "hall/b.jpg": (56, 40), "c.jpg": (48, 48)}


@pytest.fixture
def photos(tmp_path):
    """Three photos with EXIF data in two folders, one of them turned."""
    random = np.random.default_rng(0)
    for name, lens in LENSES.items():
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0xA405] = lens
        exif[0x0112] = 6 if name == "hall/b.jpg" else 1
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        stored = SIZES[name][::-1] if name == "hall/b.jpg" else SIZES[name]
        Image.fromarray(random.integers(0, 256, (*stored, 3), np.uint8)).save(path, exif=exif)
    return tmp_path / "images"


def teacher(metric, heads=()):
    torch.manual_seed(0)
    net = LightDepthNet(widths=(8, 16), bottleneck=1, outputs=1 + len(heads)).eval()
    return Trained(net, 60.0, metric, 48, 64, {}, heads)


def source_of(tmp_path):
    return PseudoLabelSource(
        tmp_path, teacher="tiny", images="images/**/*.jpg", labels="predictions/**/*_depth.npy"
    )


@pytest.mark.parametrize("metric", [True, False])
def test_a_folder_of_predictions_is_a_source_of_its_labels_and_cameras(photos, tmp_path, metric):
    predict_files(teacher(metric), [photos], tmp_path / "predictions", batch=2)
    source = source_of(tmp_path)
    assert source.card.kind is (LabelKind.METRIC_DEPTH if metric else LabelKind.AFFINE_DISPARITY)
    assert sorted(source.keys()) == sorted(name.removesuffix(".jpg") for name in LENSES)
    for name, lens in LENSES.items():
        sample = source.read(name.removesuffix(".jpg"))
        predicted = np.load(tmp_path / "predictions" / f"{name.removesuffix('.jpg')}_depth.npy")
        height, width = SIZES[name]
        assert sample.kind is source.card.kind
        assert sample.size == (height, width)
        assert sample.valid.all()
        assert np.array_equal(sample.target, predicted)
        assert np.array_equal(sample.image, read_image(photos / name))
        if not metric:  # it used no focal length, so it states none
            assert sample.intrinsics is None
            continue
        focal = lens / math.hypot(36, 24) * math.hypot(height, width)
        camera = sample.intrinsics
        assert (camera.fx, camera.fy) == pytest.approx((focal, focal))
        assert (camera.cx, camera.cy) == ((width - 1) / 2, (height - 1) / 2)


def test_an_estimated_focal_length_is_the_camera_of_its_label(tmp_path):
    (tmp_path / "images").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "images" / "x.jpg")
    [line] = predict_files(teacher(True, ("focal",)), [tmp_path / "images"], tmp_path / "predictions")
    camera = source_of(tmp_path).read("x").intrinsics
    assert f"focal length {camera.fx:.1f} px estimated by the network" in line
