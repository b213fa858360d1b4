import json

import numpy as np
import pytest
from PIL import Image

from depthmix.errors import BadSource, ConfigError, StorageError
from depthmix.predict import (
    FORMATS,
    PredictedDepth,
    encode_exr,
    encode_ply,
    encode_png16,
    predict_files,
    write_prediction,
)
from depthmix.sample import Intrinsics
from depthmix.sources.exr import read_exr
from tests.predict.networks import is_folder_empty, trained

CAMERA = Intrinsics(50, 50, 1, 0.5)
DEPTH = np.array([[1, 2, 3], [4, 5, 65.5]], np.float32)
COLOURS = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)


def read_png(data, folder):
    (folder / "x.png").write_bytes(data)
    with Image.open(folder / "x.png") as image:
        return np.array(image), {name.removeprefix("depthmix:"): text for name, text in image.text.items()}


def photo(folder, name="photo.png"):
    path = folder / name
    Image.fromarray(np.full((12, 16, 3), 51, np.uint8)).save(path)
    return path


def test_a_metric_png_counts_millimetres_and_says_so(tmp_path):
    pixels, facts = read_png(encode_png16(PredictedDepth(DEPTH, True, 50.0)), tmp_path)
    assert pixels.dtype == np.uint16
    assert pixels.tolist() == [[1000, 2000, 3000], [4000, 5000, 65500]]
    assert facts == {"kind": "metric depth", "unit": "m", "scale": "0.001", "offset": "0.0"}


def test_metres_beyond_the_png_are_zero_and_logged(tmp_path, caplog):
    pixels, _ = read_png(encode_png16(PredictedDepth(DEPTH * 2, True, 50.0)), tmp_path)
    assert pixels[1, 2] == 0
    assert pixels[0].tolist() == [2000, 4000, 6000]
    assert "16.7 % of the pixels lie beyond 65.535 m" in caplog.text


def test_a_relative_png_returns_to_the_numbers_through_its_own_scale(tmp_path):
    values = 1 / DEPTH
    pixels, facts = read_png(encode_png16(PredictedDepth(values, False, None)), tmp_path)
    assert (pixels.min(), pixels.max()) == (0, 65535)
    assert pixels * float(facts["scale"]) + float(facts["offset"]) == pytest.approx(values, abs=1e-5)
    assert facts["kind"] == "relative inverse depth, unknown scale and shift"
    assert facts["unit"] == "none"


def test_a_constant_map_can_be_written(tmp_path):
    pixels, _ = read_png(encode_png16(PredictedDepth(np.ones((2, 2), np.float32), False, None)), tmp_path)
    assert (pixels == 0).all()


def test_points_carry_place_and_colour():
    data = encode_ply(PredictedDepth(DEPTH, True, 50.0), COLOURS, CAMERA)
    head, body = data.split(b"end_header\n", 1)
    assert b"format binary_little_endian 1.0\n" in head
    assert b"element vertex 6\n" in head
    points = np.frombuffer(body, "<f4, <f4, <f4, u1, u1, u1")
    assert points[5].item() == pytest.approx(((2 - 1) / 50 * 65.5, (1 - 0.5) / 50 * 65.5, 65.5, 15, 16, 17))


def test_open3d_reads_the_points(tmp_path):
    open3d = pytest.importorskip("open3d")
    (tmp_path / "x.ply").write_bytes(encode_ply(PredictedDepth(DEPTH, True, 50.0), COLOURS, CAMERA))
    cloud = open3d.io.read_point_cloud(str(tmp_path / "x.ply"))
    assert np.asarray(cloud.points)[:, 2] == pytest.approx(DEPTH.ravel())
    assert np.asarray(cloud.colors)[1] * 255 == pytest.approx([3, 4, 5])


@pytest.mark.parametrize("focal", [50.0, None])
def test_an_exr_holds_the_numbers_and_says_what_they_are(tmp_path, focal):
    OpenEXR = pytest.importorskip("OpenEXR")
    (tmp_path / "x.exr").write_bytes(encode_exr(PredictedDepth(DEPTH, focal is not None, focal)))
    assert read_exr(tmp_path / "x.exr").tolist() == DEPTH.tolist()
    with OpenEXR.File(str(tmp_path / "x.exr"), header_only=True) as file:
        header = dict(file.header())
    relative = ("relative inverse depth, unknown scale and shift", "none")
    assert (header["depthmix:kind"], header["depthmix:unit"]) == (
        ("metric depth", "m") if focal else relative
    )
    assert header.get("depthmix:focal_used") == (repr(focal) if focal else None)


def test_every_format_is_written_and_states_what_it_holds(tmp_path):
    out = tmp_path / "new" / "out"
    [line] = predict_files(trained(), [photo(tmp_path)], out, formats=FORMATS, focal_px=25.0)
    names = ["colour.png", "depth.exr", "depth.json", "depth.npy", "depth16.png", "mesh.glb", "points.ply"]
    assert sorted(path.name for path in out.iterdir()) == [f"photo_{name}" for name in names]
    assert np.load(out / "photo_depth.npy") == pytest.approx(1.8, rel=1e-5)
    facts = json.loads((out / "photo_depth.json").read_text())
    assert facts == {"schema": 1, "kind": "metric depth", "unit": "m", "focal_used": 25.0}
    assert "metric depth, m (focal length 25.0 px as given); wrote " in line


def test_the_line_of_a_relative_prediction_says_why(tmp_path):
    [line] = predict_files(trained(), [photo(tmp_path)], tmp_path / "out")
    assert "unknown scale and shift (focal length not known: --focal-px or --fov-degrees)" in line
    [line] = predict_files(trained(metric=False), [photo(tmp_path)], tmp_path / "out", focal_px=9.0)
    assert "has not learned metres, so the focal length was not used" in line


def test_points_without_a_focal_length_are_refused_with_the_next_step(tmp_path):
    with pytest.raises(
        ConfigError, match="points need the focal length of the photo; give --focal-px or --fov"
    ):
        predict_files(trained(), [photo(tmp_path)], tmp_path / "out", formats=["ply"])
    assert is_folder_empty(tmp_path / "out")


def test_nothing_is_written_when_one_of_several_photos_has_no_focal_length(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 50
    Image.fromarray(np.zeros((12, 16, 3), np.uint8)).save(tmp_path / "known.jpg", exif=exif)
    photos = [tmp_path / "known.jpg", photo(tmp_path)]
    with pytest.raises(ConfigError, match="points need the focal length"):
        predict_files(trained(), photos, tmp_path / "out", formats=["ply"])
    assert is_folder_empty(tmp_path / "out")
    predict_files(trained(), photos[:1], tmp_path / "out", formats=["ply"])
    assert (tmp_path / "out" / "known_points.ply").exists()


def test_points_of_a_relative_checkpoint_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="unknown scale and shift; leave ply and glb out"):
        predict_files(trained(metric=False), [photo(tmp_path)], tmp_path, formats=["ply"], focal_px=9.0)
    with pytest.raises(ConfigError, match="unknown scale and shift; leave ply and glb out"):
        write_prediction(PredictedDepth(DEPTH, False, None), COLOURS, CAMERA, tmp_path, "x", ["ply"])


def test_photos_that_would_overwrite_each_other_are_refused(tmp_path):
    photos = [photo(tmp_path, "a.png"), photo(tmp_path, "a.jpg")]
    with pytest.raises(ConfigError, match="2 photos are called 'a' and would overwrite each other"):
        predict_files(trained(), photos, tmp_path / "out")


def test_a_photo_that_a_prediction_would_overwrite_is_refused(tmp_path):
    photos = [photo(tmp_path, "a.png"), photo(tmp_path, "a_colour.png")]
    before = photos[1].read_bytes()
    with pytest.raises(
        ConfigError, match=r"a_colour\.png: would be overwritten by a prediction; predict into"
    ):
        predict_files(trained(), photos, tmp_path / "x" / "..")
    assert photos[1].read_bytes() == before
    assert sorted(tmp_path.iterdir()) == photos
    predict_files(trained(), photos, tmp_path, formats=["png16"])


def test_no_photo_at_all_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="photo: there is no photo to predict; give at least one"):
        predict_files(trained(), [], tmp_path / "out")


def test_unknown_formats_and_unreadable_photos_end_in_one_message(tmp_path):
    with pytest.raises(ConfigError, match="unknown format 'gif'; use colour, png16, npy, exr, ply, glb"):
        predict_files(trained(), [photo(tmp_path)], tmp_path, formats=["gif"])
    with pytest.raises(BadSource, match=r"gone\.jpg: no such file"):
        predict_files(trained(), [tmp_path / "gone.jpg"], tmp_path)


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "out").write_text("here")
    with pytest.raises(StorageError, match="out"):
        predict_files(trained(), [photo(tmp_path)], tmp_path / "out")
