"""`depthmix predict` reads what is a photo as people see it, and refuses the rest in one line."""

import io
import json
import math
import os
import pickle
import re
import struct
import zipfile
import zlib

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from safetensors.torch import save_file

from depthmix.cli import main
from depthmix.models import LightDepthNet
from depthmix.sources.decode import read_image
from depthmix.trained import Trained, facts_of

RGB = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
PICTURE = Image.fromarray(RGB)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A whole checkpoint of a tiny network, without a training."""
    path = tmp_path_factory.mktemp("run") / "last.ckpt"
    torch.manual_seed(0)
    net = LightDepthNet(widths=(8, 16), bottleneck=1)
    facts = facts_of(Trained(net, 60.0, True, 48, 64, {}, spec=net.spec))
    weights = {f"net.{name}": value for name, value in net.state_dict().items()}
    torch.save({"state_dict": weights, "depthmix": facts}, path)
    return path


@pytest.fixture
def predict(checkpoint, tmp_path, capsys):
    """Run the command on one file; returns exit code, both outputs, and the map if there is one."""

    def run(photo, *more, ckpt=checkpoint, out=tmp_path / "out"):
        code = main(["predict", str(photo), "--ckpt", str(ckpt), "--out", str(out), "--format", "npy", *more])
        said = capsys.readouterr()
        written = out / f"{photo.stem}_depth.npy"
        return code, said.out, said.err, np.load(written) if written.is_file() else None

    return run


@pytest.fixture
def plain(predict, tmp_path):
    """What the command predicts of the picture itself."""
    PICTURE.save(tmp_path / "plain.png")
    return predict(tmp_path / "plain.png")[3]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, *, bits=8, colour=0, body=b""):
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def black(width, height):
    """The body of a grey PNG that is large as pixels and small as bytes: one block of zeros, repeated."""
    packer, length = zlib.compressobj(9, zlib.DEFLATED, -15), height * (width + 1)
    block = packer.compress(bytes(length // 8)) + packer.flush(zlib.Z_FULL_FLUSH)
    rest = packer.compress(bytes(length % 8)) + packer.flush()
    adler = struct.pack(">I", length % 65521 << 16 | 1)
    return b"\x78\xda" + 8 * block + rest + adler


def jpeg(quality=95, size=None):
    target = io.BytesIO()
    (PICTURE if size is None else PICTURE.resize(size)).save(target, "JPEG", quality=quality)
    return target.getvalue()


def with_alpha():
    veil = np.random.default_rng(1).integers(0, 256, RGB.shape[:2], np.uint8)
    return Image.fromarray(np.dstack([RGB, veil]))


def colours(count):
    return PICTURE.quantize(count)


READ = {
    "alpha.png": (lambda path: with_alpha().save(path), PICTURE),
    "grey alpha.png": (lambda path: PICTURE.convert("LA").save(path), PICTURE.convert("L")),
    "colour 16 bit.png": (
        lambda path: cv2.imwrite(str(path), RGB[..., ::-1].astype(np.uint16) * 257),
        PICTURE,
    ),
    "palette.png": (lambda path: colours(64).save(path), colours(64)),
    "see-through palette.png": (lambda path: colours(64).save(path, transparency=3), colours(64)),
    "one bit.png": (lambda path: PICTURE.convert("1").save(path), PICTURE.convert("1")),
    "black.png": (
        lambda path: path.write_bytes(png(200, 200, body=black(200, 200))),
        Image.new("L", (200, 200)),
    ),
    "photo.bmp": (lambda path: PICTURE.save(path), PICTURE),
    "photo.tif": (lambda path: PICTURE.save(path), PICTURE),
    "first of two.png": (
        lambda path: PICTURE.save(path, save_all=True, append_images=[PICTURE.rotate(9)]),
        PICTURE,
    ),
}


@pytest.mark.parametrize("name", READ)
def test_what_is_a_photo_is_read_as_its_colours(predict, tmp_path, name):
    write, shows = READ[name]
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / name)
    shows.convert("RGB").save(tmp_path / "shown.png")
    code, _, err, found = predict(tmp_path / "in" / name)
    assert (code, err) == (0, "")
    assert np.array_equal(found, predict(tmp_path / "shown.png")[3])


def test_cmyk_is_read_as_its_colours(predict, tmp_path):
    smooth = PICTURE.resize((7, 5)).resize((56, 40))
    smooth.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100)
    smooth.save(tmp_path / "shown.png")
    code, _, err, found = predict(tmp_path / "cmyk.jpg")
    assert (code, err) == (0, "")
    expected = predict(tmp_path / "shown.png")[3]
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99
    apart = np.abs(read_image(tmp_path / "cmyk.jpg").astype(int) - np.array(smooth))
    assert apart.mean() < 3  # of 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photo_is_predicted_as_people_see_it(predict, tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8769)[0xA405] = 50
    PICTURE.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    with Image.open(tmp_path / "turned.jpg") as image:
        upright = ImageOps.exif_transpose(image)
        upright.save(tmp_path / "upright.png", exif=b"")
    code, out, _, found = predict(tmp_path / "turned.jpg")
    focal = 50 / math.hypot(36, 24) * math.hypot(40, 56)
    assert code == 0
    assert f"focal length {focal:.1f} px from the EXIF data" in out
    assert found.shape == upright.size[::-1] == ((40, 56) if orientation < 5 else (56, 40))
    expected = predict(tmp_path / "upright.png", "--focal-px", str(focal))[3]
    # Two decoders of JPEG differ a little, and an untrained network varies little: so places are compared.
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99
    assert found.mean() == pytest.approx(expected.mean(), rel=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_a_photo_of_hardly_any_pixels_has_a_depth(predict, tmp_path, size):
    PICTURE.crop((0, 0, *size)).save(tmp_path / "small.png")
    code, _, err, found = predict(
        tmp_path / "small.png", "--fov-degrees", "60", "--format", "npy", "png16", "colour", "ply", "glb"
    )
    assert (code, err) == (0, "")
    assert found.shape == size[::-1]


def large(path):
    path.write_bytes(png(20_000, 20_000, body=black(20_000, 20_000)))
    assert path.stat().st_size < 1_000_000


def large_jpeg():
    """A small JPEG whose header states 20000 x 20000 pixels."""
    start = jpeg().index(b"\xff\xc0") + 5
    return jpeg()[:start] + struct.pack(">HH", 20_000, 20_000) + jpeg()[start + 4 :]


def text(path):
    path.write_text("not a photo\nat all")


REFUSED = {
    "text.jpg": (text, r"is no image, it starts with b'not a photo"),
    "empty.jpg": (lambda path: path.write_bytes(b""), "is empty"),
    "header.png": (
        lambda path: path.write_bytes(png(20_000, 20_000, colour=2)),
        "more than 64000000",
    ),
    "large.png": (large, "more than 64000000"),
    "large.jpg": (lambda path: path.write_bytes(large_jpeg()), "more than 64000000"),
    "grey16.png": (
        lambda path: cv2.imwrite(str(path), RGB[..., 0].astype(np.uint16) * 257),
        "must be a photo, got .*16.*; is this a depth map",
    ),
    "floats.tif": (
        lambda path: Image.fromarray(RGB[..., 0].astype(np.float32)).save(path),
        "mode F; is this a",
    ),
    "cut.jpg": (lambda path: path.write_bytes(jpeg(size=(560, 400))[:20_000]), "cannot be read: .*JPEG"),
    "cut.png": (lambda path: path.write_bytes(png(8, 8, body=black(8, 8))[:-12]), "has no end, it was cut"),
    "moving.gif": (
        lambda path: PICTURE.save(path, save_all=True, append_images=[PICTURE.rotate(90)]),
        "is GIF, which is not read here; convert it to PNG or JPEG",
    ),
    "phone.jpg": (
        lambda path: path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0"),
        "is HEIF, which is not read here",
    ),
    "folder.jpg": (lambda path: path.mkdir(), "holds no photo and no video"),
    "pipe.jpg": (os.mkfifo, "is not a plain file"),
    "gone.jpg": (lambda path: None, "no such file"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("points", [False, True], ids=["map", "points"])
def test_what_is_no_photo_ends_in_one_line_that_names_it(predict, tmp_path, name, points):
    write, said = REFUSED[name]
    write(tmp_path / name)
    code, out, err, found = predict(tmp_path / name, *(["--format", "ply"] if points else []))
    assert code in (1, 2)
    assert (out, found) == ("", None)
    assert re.fullmatch(rf"depthmix: {re.escape(str(tmp_path / name))}: .*{said}.*\n", err) or (
        points and re.fullmatch(r"depthmix: format: points need the focal length of the photo; .*\n", err)
    )
    assert not (tmp_path / "out").exists()


class Hostile:
    """What runs a command when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("made by a pickle",)


def facts_only(path):
    torch.save({"depthmix": {"schema": 1}}, path)


def other_class(path):
    spec = {"class_path": "os.path.join", "init_args": {}}
    torch.save({"state_dict": {}, "depthmix": {"schema": 1, "net": spec}}, path)


def archive(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "hello")


CHECKPOINTS = {
    "gone.ckpt": (lambda path: None, "no such checkpoint"),
    "folder.ckpt": (lambda path: path.mkdir(), "holds no config.json; give a checkpoint, or a folder"),
    "empty.ckpt": (lambda path: path.write_bytes(b""), "is no torch checkpoint"),
    "text.ckpt": (text, "is no torch checkpoint"),
    "weights.pth": (
        lambda path: torch.save({"conv1.weight": torch.zeros(8, 3, 3, 3)}, path),
        "is no checkpoint of depthmix; give last.ckpt of a run folder",
    ),
    "lightning.ckpt": (
        lambda path: torch.save({"state_dict": {"net.a": torch.zeros(3)}, "epoch": 3}, path),
        "is no checkpoint of depthmix",
    ),
    "facts.ckpt": (facts_only, "is no checkpoint of depthmix"),
    "class.ckpt": (other_class, "names os.path.join, and importing it runs its code"),
    "code.ckpt": (
        lambda path: torch.save({"a": Hostile()}, path),
        "holds more than tensors and plain values",
    ),
    "code.pkl": (lambda path: path.write_bytes(pickle.dumps(Hostile())), "is no torch checkpoint"),
    "archive.zip": (archive, ""),
    "weights.safetensors": (
        lambda path: save_file({"a": torch.zeros(2)}, path),
        "is no checkpoint of depthmix",
    ),
    "text.safetensors": (text, "cannot be read"),
    "gone.safetensors": (lambda path: None, "no such checkpoint"),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_what_is_no_checkpoint_ends_in_one_line_that_names_it(predict, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    PICTURE.save(tmp_path / "plain.png")
    write, said = CHECKPOINTS[name]
    write(tmp_path / name)
    code, out, err, found = predict(tmp_path / "plain.png", ckpt=tmp_path / name)
    assert (code, out, found) == (2, "", None)
    assert re.fullmatch(rf"depthmix: {re.escape(str(tmp_path / name))}: .*{said}.*\n", err)
    assert not (tmp_path / "made by a pickle").exists()


def test_a_folder_that_takes_no_files_is_one_line(predict, tmp_path, monkeypatch):
    PICTURE.save(tmp_path / "plain.png")
    (tmp_path / "file").write_text("")
    code, out, err, _ = predict(tmp_path / "plain.png", out=tmp_path / "file" / "out")
    assert (code, out) == (1, "")
    assert re.fullmatch(r"depthmix: .*file/out.*\n", err)

    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied", str(tmp_path / "out"))

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    code, out, err, _ = predict(tmp_path / "plain.png")
    assert (code, out) == (1, "")
    assert re.fullmatch(rf"depthmix: {re.escape(str(tmp_path / 'out'))}.*[Pp]ermission.*\n", err)


def test_the_facts_beside_the_numbers_are_those_of_the_line(predict, tmp_path, plain):
    code, out, _, found = predict(tmp_path / "plain.png", "--fov-degrees", "90")
    facts = json.loads((tmp_path / "out" / "plain_depth.json").read_text())
    assert facts["focal_used"] == pytest.approx(28)
    assert f"{facts['kind']}, {facts['unit']} (focal length 28.0 px {facts['focal_origin']})" in out
    # The same map, once as inverse canonical depth, once as metres: z = z_c f / f_c, seen at 48 x 64 pixels.
    scale = math.sqrt(48 * 64 / (40 * 56))
    assert code == 0
    assert found * plain == pytest.approx(28 * scale / 60, rel=0.02)
