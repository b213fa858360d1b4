"""Images come back whole or in windows; whatever else a decoder might take for one is refused."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from depthmix.coded import WHOLE
from depthmix.errors import CorruptShard
from depthmix.store import images
from depthmix.store.codec_options import CodecOptions
from depthmix.store.images import coded_image, encode_image

shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(st.data(), shapes)
@settings(max_examples=30)
def test_png_is_lossless_and_jpeg_is_alike_on_each_read(data, shape):
    image = data.draw(arrays(np.uint8, (*shape, 3)))
    png = CodecOptions(image="png")
    assert (coded_image(encode_image(image, png), shape, png)[WHOLE] == image).all()
    for jpeg in (CodecOptions(image="jpeg"), CodecOptions(image="jpeg444")):
        blob = encode_image(image, jpeg)
        assert blob == encode_image(image, jpeg)
        decoded = coded_image(blob, shape, jpeg)[WHOLE]
        assert (decoded == coded_image(memoryview(blob), shape, jpeg)[WHOLE]).all()


def test_jpeg_stays_near_a_smooth_image_in_all_colours():
    rows, columns = np.mgrid[:48, :64]
    image = np.stack([rows * 4, columns * 3, 255 - columns * 3], axis=-1).astype(np.uint8)
    options = CodecOptions()
    decoded = coded_image(encode_image(image, options), (48, 64), options)[WHOLE]
    assert np.abs(decoded.astype(int) - image).max() <= 8


def test_jpeg444_keeps_full_colour_resolution_and_jpeg_that_of_brightness():
    image = np.zeros((16, 16, 3), np.uint8)
    image[:, ::2, 0], image[:, 1::2, 2] = 255, 255  # red and blue columns, which 4:2:0 mixes to purple
    full, half = CodecOptions(image="jpeg444"), CodecOptions()
    decoded = coded_image(encode_image(image, full), (16, 16), full)[WHOLE]
    assert np.abs(decoded.astype(int) - image).max() < 40
    columns = (
        np.repeat(np.where(np.arange(16) % 2, 255, 0).astype(np.uint8), 3).reshape(1, 16, 3).repeat(16, 0)
    )
    decoded = coded_image(encode_image(columns, half), (16, 16), half)[WHOLE]
    assert np.abs(decoded.astype(int) - columns).max() < 20


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_an_image_that_states_gigapixels_never_reaches_a_decoder(kind, monkeypatch):
    blob = bytearray(encode_image(np.zeros((12, 16, 3), np.uint8), CodecOptions(image=kind)))
    if kind == "png":
        blob[16:24] = struct.pack(">II", 30_000, 30_000)
    else:
        frame = bytes(blob).index(b"\xff\xc0")
        blob[frame + 5 : frame + 9] = struct.pack(">HH", 30_000, 30_000)
    monkeypatch.setattr(
        images, f"{'_' if kind == 'png' else ''}decode_{kind}", lambda *_: pytest.fail("was decoded")
    )
    with pytest.raises(CorruptShard, match="must be 12 x 16 pixels, states 30000 x 30000"):
        coded_image(bytes(blob), (12, 16), CodecOptions(image=kind))[WHOLE]


@pytest.mark.parametrize("before", [b"\xff\xff\xc0\0\x0b\x08\0\x0c\0\x10\0\0", b"\xff\xd0\0\x02", b"", b"\0"])
def test_a_jpeg_whose_headers_could_be_read_in_two_ways_is_refused(before):
    blob = encode_image(np.zeros((12, 16, 3), np.uint8), CodecOptions())
    tail = blob[2:] if before else b""
    with pytest.raises(CorruptShard, match="JPEG states no size"):
        coded_image(blob[:2] + before + tail, (12, 16), CodecOptions())[WHOLE]


def test_a_gray_image_in_place_of_a_colour_one_is_refused():
    import cv2

    blob = cv2.imencode(".png", np.zeros((12, 16), np.uint8))[1].tobytes()
    with pytest.raises(CorruptShard, match="PNG must be 8-bit RGB, has 8 bits and colour type 0"):
        coded_image(blob, (12, 16), CodecOptions(image="png"))[WHOLE]


@pytest.mark.parametrize("name", [b"zTXt", b"iCCP", b"acTL", b"tEXt"])
def test_a_png_with_anything_but_pixels_is_refused(name):
    import cv2

    blob = cv2.imencode(".png", np.zeros((12, 16, 3), np.uint8))[1].tobytes()
    data = name + b"a" * 5
    chunk = (5).to_bytes(4, "big") + data + zlib.crc32(data).to_bytes(4, "big")
    assert coded_image(blob, (12, 16), CodecOptions(image="png"))[WHOLE].shape == (12, 16, 3)
    with pytest.raises(CorruptShard, match="which is neither header nor pixels"):
        coded_image(blob[:33] + chunk + blob[33:], (12, 16), CodecOptions(image="png"))[WHOLE]


def test_a_jpeg_of_many_passes_is_refused():
    blob = encode_image(np.zeros((12, 16, 3), np.uint8), CodecOptions())
    start = blob.index(b"\xff\xda")
    with pytest.raises(CorruptShard, match="JPEG has more than one scan"):
        coded_image(blob[:-2] + blob[start:], (12, 16), CodecOptions())[WHOLE]
    progressive = blob.replace(b"\xff\xc0", b"\xff\xc2", 1)
    with pytest.raises(CorruptShard, match="JPEG states no size"):
        coded_image(progressive, (12, 16), CodecOptions())[WHOLE]


@given(shapes, st.data())
def test_a_window_of_a_png_is_that_of_the_whole(shape, data):
    image = data.draw(arrays(np.uint8, (*shape, 3)))
    top, left = data.draw(st.integers(0, shape[0] - 1)), data.draw(st.integers(0, shape[1] - 1))
    options, box = CodecOptions(image="png"), np.s_[top : shape[0], left : left + 1]
    assert (coded_image(encode_image(image, options), shape, options)[box] == image[box]).all()
