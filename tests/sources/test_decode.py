"""Whatever the bytes are, a reader ends in the promised array or in `BadSource` with the file's name."""

import os
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from depthmix.errors import BadSource
from depthmix.sources.decode import (
    decode_image,
    read_bytes,
    read_grey8,
    read_ids,
    read_image,
    read_mask,
    read_npy,
    read_pfm,
    read_pfm_colour,
    read_png16,
    read_png_grey,
    read_tiff,
    refusing,
)
from depthmix.sources.files import check_pixels
from tests.data.middlebury.make import write_pfm
from tests.sources.contract import import_footprint

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (9, 13, 3), np.uint8)
GREY = RNG.integers(0, 256, (9, 13), np.uint8)
DEEP = RNG.integers(0, 65536, (9, 13), np.uint16)
FLOATS = RNG.normal(size=(9, 13)).astype(np.float32)


def saved(file: Path, pixels: np.ndarray | Image.Image, **options: object) -> Path:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(file, **options)
    return file


def png_head(width: int, height: int, bits: int = 8, colour: int = 2) -> bytes:
    """Return a PNG that states a size and holds no pixels."""
    chunks = b""
    for name, body in (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)),
        (b"IEND", b""),
    ):
        chunks += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return b"\x89PNG\r\n\x1a\n" + chunks


# Photos


def test_rgb_png_comes_back_bit_by_bit(tmp_path: Path):
    assert np.array_equal(read_image(saved(tmp_path / "a.png", RGB)), RGB)


def test_grey_png_is_repeated_and_alpha_dropped(tmp_path: Path):
    assert np.array_equal(read_image(saved(tmp_path / "a.png", GREY)), np.repeat(GREY[..., None], 3, 2))
    alpha = Image.fromarray(np.dstack([RGB, GREY]))
    assert np.array_equal(read_image(saved(tmp_path / "b.png", alpha)), RGB)


def test_palette_png_becomes_its_colours(tmp_path: Path):
    palette = Image.fromarray(RGB).quantize(16)
    assert np.array_equal(read_image(saved(tmp_path / "a.png", palette)), np.array(palette.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_jpeg_equals_pillow(tmp_path: Path, mode: str):
    smooth = Image.fromarray(RGB).resize((64, 48)).convert(mode)
    file = saved(tmp_path / "a.jpg", smooth, quality=95)
    read = read_image(file)
    assert read.shape == (48, 64, 3)
    expected = np.array(Image.open(file).convert("RGB")).astype(int)
    assert np.abs(read - expected).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, suffix: str):
    corner = np.zeros((48, 64, 3), np.uint8)
    corner[:16, :16] = (255, 0, 0)
    corner[-16:, -16:] = (0, 0, 255)
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if suffix == ".webp" else {}
    file = saved(tmp_path / f"a{suffix}", corner, exif=exif, **lossless)
    from PIL import ImageOps

    expected = np.array(ImageOps.exif_transpose(Image.open(file)).convert("RGB")).astype(int)
    read = read_image(file)
    assert read.shape == expected.shape
    assert np.abs(read - expected).max() <= 3
    assert read.flags.c_contiguous


@pytest.mark.parametrize("suffix", [".bmp", ".ppm", ".webp"])
def test_other_formats_are_read(tmp_path: Path, suffix: str):
    file = saved(tmp_path / f"a{suffix}", RGB, **({"lossless": True} if suffix == ".webp" else {}))
    assert np.array_equal(read_image(file), RGB)


def test_sixteen_bit_grey_is_no_photo(tmp_path: Path):
    with pytest.raises(BadSource, match="must be a photo, got a 16-bit grey PNG; is this a depth map"):
        read_image(saved(tmp_path / "a.png", DEEP))


@pytest.mark.parametrize("tag", [0x0112, 0x011A, 0x8769])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_a_picture_with_broken_metadata_is_read_without_a_word(tmp_path: Path, tag: int, suffix: str):
    # One entry that points beyond its end; cameras and editors leave such ones behind.
    exif = b"Exif\0\0II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", tag, 5, 2**31, 2**32 - 1) + bytes(4)
    assert read_image(saved(tmp_path / f"a{suffix}", RGB, exif=exif)).shape == RGB.shape


# Labels


def test_png16_comes_back_bit_by_bit(tmp_path: Path):
    read = read_png16(saved(tmp_path / "a.png", DEEP))
    assert read.dtype == np.uint16
    assert np.array_equal(read, DEEP)


@pytest.mark.parametrize(("pixels", "kind"), [(GREY, "8-bit grey"), (RGB, "8-bit RGB")])
def test_png16_refuses_eight_bits(tmp_path: Path, pixels: np.ndarray, kind: str):
    with pytest.raises(BadSource, match=f"must be a 16-bit grey PNG, got {kind} PNG; use the original"):
        read_png16(saved(tmp_path / "a.png", pixels))


def test_png16_refuses_other_formats(tmp_path: Path):
    with pytest.raises(BadSource, match="is not a PNG"):
        read_png16(saved(tmp_path / "a.png", RGB, format="JPEG"))


def test_grey8_takes_grey_and_equal_channels_only(tmp_path: Path):
    repeated = np.repeat(GREY[..., None], 3, 2)
    for pixels in (GREY, repeated):
        read = read_grey8(saved(tmp_path / "a.png", pixels))
        assert read.dtype == np.uint8
        assert np.array_equal(read, GREY)
    palette = Image.fromarray(RGB).quantize(16)
    for bad, kind in ((RGB, "8-bit RGB"), (DEEP, "16-bit grey"), (palette, "palette")):
        with pytest.raises(BadSource, match=f"must be a 8-bit grey PNG, got .*{kind}"):
            read_grey8(saved(tmp_path / "a.png", bad))


def test_mask_is_true_where_not_zero(tmp_path: Path):
    for mask in (np.where(GREY > 99, GREY, 0), Image.fromarray(GREY > 99), np.where(GREY > 99, DEEP | 1, 0)):
        assert np.array_equal(read_mask(saved(tmp_path / "a.png", mask)), GREY > 99)


def test_lossy_mask_is_refused(tmp_path: Path):
    with pytest.raises(BadSource, match="is not a PNG"):
        read_mask(saved(tmp_path / "a.jpg", GREY))


@pytest.mark.parametrize("ids", [GREY, DEEP], ids=["8-bit", "16-bit"])
def test_grey_ids_come_back(tmp_path: Path, ids: np.ndarray):
    read = read_ids(saved(tmp_path / "a.png", ids))
    assert read.dtype == np.int32
    assert np.array_equal(read, ids)


def test_rgb_ids_count_red_first(tmp_path: Path):
    read = read_ids(saved(tmp_path / "a.png", RGB))
    assert np.array_equal(read, RGB.astype(np.int32) @ [1, 256, 65536])
    assert read.max() > 65535


@pytest.mark.parametrize("colours", [2, 5, 200])
def test_palette_ids_are_the_indices(tmp_path: Path, colours: int):
    ids = GREY % colours
    image = Image.fromarray(ids)
    image.putpalette([value for i in range(256) for value in (255 - i, i, 7)])
    assert np.array_equal(read_ids(saved(tmp_path / "a.png", image)), ids)


def test_ids_with_alpha_are_refused(tmp_path: Path):
    with pytest.raises(BadSource, match="got 8-bit RGB with alpha PNG"):
        read_ids(saved(tmp_path / "a.png", np.dstack([RGB, GREY])))


@pytest.mark.parametrize("dtype", ["<i4", ">i4", "u1", "i8", "u2"])
def test_npy_ids_come_back(tmp_path: Path, dtype: str):
    np.save(tmp_path / "a.npy", np.asfortranarray(GREY.astype(dtype) // 2))
    read = read_ids(tmp_path / "a.npy")
    assert read.dtype == np.int32
    assert np.array_equal(read, GREY // 2)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (FLOATS, "ids must be integers"),
        (GREY.astype(np.int32)[None], "ids must be integers"),
        (np.array([[-1, 2]]), r"got -1\.\.2"),
        (np.array([[2**31, 2]]), "got 2..2147483648"),
        (np.array([[1 + 1j]]), "must hold numbers"),
        (np.array([["text"]]), "must hold numbers"),
    ],
)
def test_npy_that_holds_no_ids_is_refused(tmp_path: Path, values: np.ndarray, reason: str):
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(BadSource, match=reason):
        read_ids(tmp_path / "a.npy")


def test_npy_with_a_pickle_is_refused_and_not_run(tmp_path: Path):
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.mkdir, (str(tmp_path / "ran"),))

    np.save(tmp_path / "a.npy", np.array([Trap()], object), allow_pickle=True)
    with pytest.raises(BadSource):
        read_npy(tmp_path / "a.npy")
    assert not (tmp_path / "ran").exists()


def test_npy_whose_size_overflows_is_refused_without_a_warning(tmp_path: Path):
    np.save(tmp_path / "a.npy", FLOATS)
    shape, other = b"(9, 13), }".ljust(27), b"(4294967296, 4294967296), }"
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes().replace(shape, other))
    with pytest.raises(BadSource, match="overflow encountered"):
        read_npy(tmp_path / "a.npy")


def test_npy_of_another_length_than_its_header_is_refused(tmp_path: Path):
    np.save(tmp_path / "a.npy", FLOATS)
    whole = (tmp_path / "a.npy").read_bytes()
    for content in (whole + b"x", whole[:-1], whole[:40]):
        (tmp_path / "a.npy").write_bytes(content)
        with pytest.raises(BadSource, match=r"a\.npy"):
            read_npy(tmp_path / "a.npy")


# PFM


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("scale", [1.0, 0.003922])
def test_pfm_comes_back_top_row_first(tmp_path: Path, order: str, scale: float):
    write_pfm(tmp_path / "a.pfm", FLOATS, order=order, scale=scale)
    read = read_pfm(tmp_path / "a.pfm")
    assert read.dtype == np.dtype("=f4")
    assert np.array_equal(read, FLOATS)


def test_pfm_channels_must_be_the_wanted_ones(tmp_path: Path):
    write_pfm(tmp_path / "three.pfm", np.dstack([FLOATS] * 3))
    write_pfm(tmp_path / "one.pfm", FLOATS)
    assert np.array_equal(read_pfm_colour(tmp_path / "three.pfm")[..., 1], FLOATS)
    with pytest.raises(BadSource, match=r"must have 1 channel\(s\)"):
        read_pfm(tmp_path / "three.pfm")
    with pytest.raises(BadSource, match=r"must have 3 channel\(s\)"):
        read_pfm_colour(tmp_path / "one.pfm")


@pytest.mark.parametrize(
    "header",
    [b"Pf\n2 1\n-1\n", b"Pf 2 1 -1.0\n", b"Pf # by hand\n# size\n2\t1\n\n-1e0 ", b"Pf\r\n2 1\r\n-1.0\r\n"],
)
def test_pfm_header_may_have_comments_and_odd_white_space(tmp_path: Path, header: bytes):
    # 10 is a line feed: pixels that begin with one must not be taken for the end of the header.
    values = np.frombuffer(b"\n\n\n\x40\x00\x00\x80\x3f", "<f4")
    (tmp_path / "a.pfm").write_bytes(header + values.tobytes())
    assert np.array_equal(read_pfm(tmp_path / "a.pfm"), values[None])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no PFM header"),
        (b"P6\n2 1\n255\n", "no PFM header"),
        (b"Pf\n2 1\n", "no PFM header"),
        (b"Pf\n-2 1\n-1\n" + bytes(8), "no PFM header"),
        (b"Pf\n2 1.5\n-1\n" + bytes(8), "no PFM header"),
        (b"Pf\n2 1\n--1\n" + bytes(8), "cannot be read: ValueError"),
        (b"Pf\n2 1\n0\n" + bytes(8), "scale must be finite and not 0"),
        (b"Pf\n2 1\n1e999\n" + bytes(8), "scale must be finite and not 0"),
        (b"Pf\n2 1\n-1\n" + bytes(7), "7 bytes of pixels, the header asks for 8"),
        (b"Pf\n2 1\n-1\n" + bytes(9), "9 bytes of pixels, the header asks for 8"),
        (b"Pf\n0 1\n-1\n", "0 x 1 pixels: empty"),
        (b"Pf\n99999 99999\n-1\n", "more than 64000000"),
        (b"Pf" + b" " * 5000 + b"2 1 -1\n" + bytes(8), "no PFM header"),
    ],
)
def test_broken_pfm_is_named(tmp_path: Path, content: bytes, reason: str):
    file = tmp_path / "a.pfm"
    file.write_bytes(content)
    with pytest.raises(BadSource, match=reason) as caught:
        read_pfm(file)
    assert caught.value.file == file


# Whatever the bytes are


READERS: dict[str, tuple[Callable[[Path], np.ndarray], bytes]] = {}


def _encoded(pixels: np.ndarray, form: str) -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


READERS["png"] = (read_image, _encoded(RGB, "PNG"))
READERS["palette"] = (read_image, _encoded(np.dstack([RGB, GREY]), "PNG"))
READERS["jpg"] = (read_image, _encoded(RGB, "JPEG"))
READERS["png16"] = (read_png16, _encoded(DEEP, "PNG"))
READERS["mask"] = (read_mask, _encoded(GREY, "PNG"))
READERS["ids"] = (read_ids, _encoded(DEEP, "PNG"))
READERS["grey8"] = (read_grey8, _encoded(GREY, "PNG"))


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.5, 0.9, 0.98])
def test_truncated_file_is_refused(tmp_path: Path, name: str, share: float):
    reader, whole = READERS[name]
    file = tmp_path / "cut"
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BadSource) as caught:
        reader(file)
    assert caught.value.file == file


@pytest.mark.parametrize("name", [name for name in READERS if name != "jpg"])
def test_flipped_bit_in_the_pixels_of_a_png_is_refused(tmp_path: Path, name: str):
    reader, whole = READERS[name]
    start = whole.index(b"IDAT") + 4
    for place in range(start, len(whole) - 12, 7):
        damaged = bytearray(whole)
        damaged[place] ^= 16
        (tmp_path / "flipped").write_bytes(damaged)
        with pytest.raises(BadSource):
            reader(tmp_path / "flipped")


@pytest.mark.parametrize("name", [*READERS, "pfm", "npy"])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_file_ends_in_an_array_or_bad_source(tmp_path: Path, name: str, data: st.DataObject):
    if name == "pfm":
        reader, whole = read_pfm, b"Pf\n13 9\n-1.0\n" + FLOATS.tobytes()
    elif name == "npy":
        stream = BytesIO()
        np.save(stream, GREY)
        reader, whole = read_ids, stream.getvalue()
    else:
        reader, whole = READERS[name]
    damaged = bytearray(whole)
    start = data.draw(st.integers(0, len(whole) - 1))
    new = data.draw(st.binary(min_size=1, max_size=16))
    damaged[start : start + len(new)] = new
    file = tmp_path / ("a.npy" if name == "npy" else "a")
    file.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    with suppress(BadSource):
        assert reader(file).size <= 10_000


@pytest.mark.parametrize("reader", [read_image, read_png16, read_mask, read_grey8, read_ids])
def test_large_size_in_the_header_is_refused_before_decoding(
    tmp_path: Path, reader: Callable[..., np.ndarray]
):
    file = tmp_path / "bomb.png"
    file.write_bytes(png_head(100_000, 100_000))
    with pytest.raises(BadSource, match="100000 x 100000 pixels, more than 64000000; raise max_pixels"):
        reader(file)


@pytest.mark.parametrize(("width", "height"), [(0, 4), (-3, 4), (4, -3), (-3, -4)])
def test_a_size_that_is_not_positive_is_refused(width: int, height: int):
    with pytest.raises(BadSource, match=f"a: {width} x {height} pixels: empty"):
        check_pixels(width, height, "a", 100)


def test_large_jpeg_is_refused_before_decoding(tmp_path: Path):
    data = bytearray(_encoded(RGB, "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 8001, 8001)
    (tmp_path / "bomb.jpg").write_bytes(data)
    with pytest.raises(BadSource, match="8001 x 8001 pixels, more than 64000000"):
        read_image(tmp_path / "bomb.jpg")


def test_cap_is_an_argument(tmp_path: Path):
    file = saved(tmp_path / "a.png", RGB)
    assert read_image(file, max_pixels=117).shape == RGB.shape
    with pytest.raises(BadSource, match="13 x 9 pixels, more than 116"):
        read_image(file, max_pixels=116)


def test_missing_file_folder_and_pipe_are_named(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (("absent", "no such file"), (".", "no plain file"), ("pipe", "no plain file")):
        for reader in (read_image, read_png16, read_mask, read_ids, read_pfm, read_npy, read_bytes):
            with pytest.raises(BadSource, match=reason.replace("no plain", "not a plain")) as caught:
                reader(tmp_path / name)
            assert caught.value.hint


def test_file_larger_than_any_image_is_not_read(tmp_path: Path):
    with (tmp_path / "a.png").open("wb") as stream:
        stream.truncate(600_000_000)
    with pytest.raises(BadSource, match="600000000 bytes, more than the allowed 512000000"):
        read_image(tmp_path / "a.png")


def test_archive_member_is_named_in_the_error():
    with pytest.raises(BadSource, match=r"pairs\.zip/left\.png"):
        decode_image(b"nothing", "pairs.zip/left.png")


class Panic(BaseException):
    """What a Rust decoder throws when it panics."""


@pytest.mark.parametrize("error", [Panic("index 7 of 3"), MemoryError(), SyntaxError("bad"), OSError("disk")])
def test_any_failure_becomes_bad_source(error: BaseException):
    with (
        pytest.raises(BadSource, match=f"a.png: cannot be read: {type(error).__name__}") as caught,
        refusing("a.png"),
    ):
        raise error
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_the_wish_to_stop_passes(error: type[BaseException]):
    with pytest.raises(error), refusing("a.png"):
        raise error


def test_panic_inside_a_decoder_becomes_bad_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def panics(*arguments: object) -> None:
        raise Panic("attempt to subtract with overflow")

    monkeypatch.setattr("kornia_rs.io.decode_image_png_u8", panics)
    with pytest.raises(BadSource, match=r"a\.png: cannot be read: Panic: attempt to subtract"):
        read_image(saved(tmp_path / "a.png", RGB))


def test_sources_import_no_torch_and_no_decoder():
    loaded = import_footprint("depthmix.sources.decode, depthmix.sources.kitti, depthmix.sources.middlebury")
    assert not loaded & {"torch", "cv2", "PIL", "kornia_rs", "skimage", "open3d", "lightning"}


# Real files


def test_real_png16_has_the_known_depth(real_samples: Path):
    depth = read_png16(real_samples / "metric3d_demo/kitti_demo/depth/0000000005.png") / 256
    assert (depth > 0).mean() == pytest.approx(0.1950, abs=1e-4)
    assert depth.max() == pytest.approx(84.8945, abs=1e-4)


def test_real_pfm_agrees_with_a_matcher(real_samples: Path):
    import cv2

    root, name = real_samples / "flyingthings3d", "TRAIN/A/0000"
    truth = read_pfm(root / "disparity" / name / "left/0006.pfm")
    left, right = (
        read_image(root / "frames_cleanpass" / name / side / "0006.png") for side in ("left", "right")
    )
    matcher = cv2.StereoSGBM.create(0, 192, 5, 200, 800, disp12MaxDiff=1, uniquenessRatio=10)
    found = matcher.compute(left, right) / 16
    assert np.median(np.abs(found - truth)[found > 0]) < 0.5
    assert np.median(np.abs(found - truth[::-1])[found > 0]) > 5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("compression", [None, "tiff_adobe_deflate", "tiff_lzw"])
def test_a_tiff_of_numbers_is_read_bit_by_bit(tmp_path: Path, dtype: type, compression: str | None):
    values = (np.arange(35).reshape(5, 7) * 7).astype(dtype)
    Image.fromarray(values).save(tmp_path / "a.tif", compression=compression)
    np.testing.assert_array_equal(read_tiff(tmp_path / "a.tif"), values)


def test_a_tiff_of_colours_is_no_map_but_a_photo(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    with pytest.raises(BadSource, match="must hold one channel of numbers, got mode RGB"):
        read_tiff(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_grey_numbers_keep_their_bits(tmp_path: Path, dtype: type):
    values = np.arange(35, dtype=dtype).reshape(5, 7)
    Image.fromarray(values).save(tmp_path / "a.png")
    read = read_png_grey(tmp_path / "a.png")
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, values)
