import json

import numpy as np
import pytest
from PIL import Image

from depthmix.errors import BadSource, ConfigError, StorageError
from depthmix.predict import (
    FORMATS,
    PredictedDepth,
    encode_colour,
    encode_exr,
    encode_ply,
    encode_png16,
    predict_files,
    write_prediction,
)
from depthmix.sample import Intrinsics
from depthmix.sources.exr import read_exr
from tests.predict.networks import is_folder_empty, lens, trained

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
    assert (facts["kind"], facts["unit"]) == ("metric depth", "m")
    assert (facts["scale"], facts["offset"]) == ("0.001", "0.0")


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
    assert "metric depth, m (focal length 25.0 px as given); wrote " in line


def stated_by(path):
    """Read the facts of a written file, each format by another library or by its specification."""
    if path.suffix == ".png":
        with Image.open(path) as image:
            return {name.removeprefix("depthmix:"): text for name, text in image.text.items()}
    if path.suffix == ".json":
        return json.loads(path.read_text())
    if path.suffix == ".exr":
        with pytest.importorskip("OpenEXR").File(str(path), header_only=True) as file:
            header = dict(file.header())
        return {name.removeprefix("depthmix:"): text for name, text in header.items()}
    data = path.read_bytes()
    if path.suffix == ".glb":
        return json.loads(data[20 : 20 + int.from_bytes(data[12:16], "little")])["extras"]
    lines = data.split(b"end_header")[0].decode().splitlines()
    found = (line.removeprefix("comment depthmix:").split(" ", 1) for line in lines if "depthmix:" in line)
    return dict(found)


@pytest.mark.parametrize("known", [True, False])
def test_every_file_states_kind_unit_and_the_focal_length_that_was_used(tmp_path, known):
    formats = FORMATS if known else ("colour", "png16", "npy", "exr")
    predict_files(
        trained(), [photo(tmp_path)], tmp_path / "out", formats=formats, fov_degrees=60 if known else None
    )
    facts = {"kind": "relative inverse depth, unknown scale and shift", "unit": "none"}
    if known:
        focal = 8 / np.tan(np.pi / 6)
        origin = "from a field of view of 60 degrees"
        facts = {
            "kind": "metric depth",
            "unit": "m",
            "focal_used": pytest.approx(focal),
            "focal_origin": origin,
        }
    files = [path for path in (tmp_path / "out").iterdir() if path.suffix != ".npy"]
    assert len(files) == (6 if known else 4)
    for path in files:
        stated = {name: fact for name, fact in stated_by(path).items() if fact is not None}
        if known:
            stated["focal_used"] = float(stated["focal_used"])
        assert {name: stated.get(name) for name in facts} == facts, path.name
        assert known or not {"focal_used", "focal_origin"} & set(stated), path.name


def test_the_ends_of_the_colours_are_stated(tmp_path):
    (tmp_path / "x.png").write_bytes(encode_colour(PredictedDepth(DEPTH, True, 50.0)))
    facts = stated_by(tmp_path / "x.png")
    assert 1 <= float(facts["lowest"]) < float(facts["highest"]) <= 65.5


def test_an_estimated_focal_length_is_said_and_makes_points(tmp_path):
    model = lens(1.25)
    [line] = predict_files(model, [photo(tmp_path)], tmp_path / "out", formats=FORMATS)
    assert "metric depth, m (focal length 25.0 px estimated by the network); wrote" in line
    for name in ("depth.json", "depth16.png", "points.ply", "mesh.glb"):
        stated = stated_by(tmp_path / "out" / f"photo_{name}")
        assert stated["focal_origin"] == "estimated by the network"
        assert float(stated["focal_used"]) == pytest.approx(25)
    _, body = (tmp_path / "out" / "photo_points.ply").read_bytes().split(b"end_header\n", 1)
    first = np.frombuffer(body, "<f4, <f4, <f4, u1, u1, u1")[0].item()[:3]
    depth = np.load(tmp_path / "out" / "photo_depth.npy")[0, 0]
    assert first == pytest.approx((-7.5 / 25 * depth, -5.5 / 25 * depth, depth), rel=1e-5)
    # What is given, and what the photo states, comes before an estimate.
    [line] = predict_files(model, [photo(tmp_path)], tmp_path / "out", focal_px=30.0)
    assert "focal length 30.0 px as given" in line
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 50
    Image.fromarray(np.zeros((24, 36, 3), np.uint8)).save(tmp_path / "known.jpg", exif=exif)
    [line] = predict_files(model, [tmp_path / "known.jpg"], tmp_path / "out")
    assert "focal length 50.0 px from the EXIF data of the photo" in line


def test_a_batch_of_photos_writes_what_one_by_one_writes_in_the_same_order(tmp_path):
    random = np.random.default_rng(0)
    photos = []
    for number, size in enumerate([(48, 64), (60, 50), (48, 64), (96, 128), (48, 64)]):
        photos.append(tmp_path / f"{number}.png")
        Image.fromarray(random.integers(0, 256, (*size, 3), np.uint8)).save(photos[-1])
    photos.insert(3, tmp_path / "bad.png")
    photos[3].write_bytes(b"")
    said = {}
    for batch in (1, 4):
        out = tmp_path / f"out{batch}"
        lines = predict_files(
            trained(), photos, out, focal_px=80.0, formats=["npy"], batch=batch, on_bad="skip"
        )
        said[batch] = [line.replace(str(out), "") for line in lines]
    assert said[1] == said[4]
    assert [line.startswith("skipped: ") for line in said[4]] == [False] * 3 + [True] + [False] * 2
    for number in range(5):
        one, other = (np.load(tmp_path / f"out{batch}" / f"{number}_depth.npy") for batch in (1, 4))
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_what_comes_before_a_bad_photo_is_written_whatever_the_batch(tmp_path):
    photos = [photo(tmp_path, "a.png"), photo(tmp_path, "b.png"), tmp_path / "c.png"]
    photos[2].write_bytes(b"")
    for batch in (1, 2, 8):
        out = tmp_path / f"out{batch}"
        with pytest.raises(BadSource, match=r"c\.png"):
            predict_files(trained(), photos, out, formats=["npy"], batch=batch)
        assert sorted(path.name for path in out.glob("*.npy")) == ["a_depth.npy", "b_depth.npy"]


def test_no_batch_is_named_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match="batch: must be at least 1, got 0"):
        predict_files(trained(), [photo(tmp_path)], tmp_path / "out", batch=0)
    assert is_folder_empty(tmp_path / "out")


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
