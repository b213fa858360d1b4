"""A window of a JPEG has the pixels of the whole, and other decoders read the whole as ever."""

import io
import struct
from itertools import product

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from depthmix.coded import WHOLE
from depthmix.errors import CorruptShard
from depthmix.store import jpeg
from depthmix.store.jpeg import decode_jpeg, encode_jpeg, read_header

LARGE = (304, 336)  # 19 rows of 21 blocks: above the size from which windows are cut out


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth colours under noise, so that both decoders and chroma have something to do."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    return np.clip(smooth + random.integers(-20, 21, smooth.shape), 0, 255).astype(np.uint8)


def whole(blob: bytes) -> np.ndarray:
    return np.asarray(jpeg._decode(blob, read_header(blob).size))


@pytest.fixture
def cuts(monkeypatch) -> list[int]:
    """Count the windows that were cut out."""
    seen = []
    real = jpeg._cut
    monkeypatch.setattr(jpeg, "_cut", lambda *given: seen.append(1) or real(*given))
    return seen


@given(
    st.integers(290, 420),
    st.integers(336, 420),
    st.sampled_from(["4:2:0", "4:4:4"]),
    st.integers(0, 9),
    st.data(),
)
@settings(max_examples=60)
def test_a_window_has_the_pixels_of_the_whole(height, width, chroma, seed, data):
    blob = encode_jpeg(photo(height, width, seed), 92, chroma)
    top, left = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    bottom, right = data.draw(st.integers(top + 1, height)), data.draw(st.integers(left + 1, width))
    box = np.s_[top:bottom, left:right]
    assert (decode_jpeg(memoryview(blob), read_header(blob), box) == whole(blob)[box]).all()


@pytest.mark.parametrize("chroma", ["4:2:0", "4:4:4"])
def test_every_border_between_stretches_may_touch_the_window(chroma, cuts):
    """Colours at half resolution are interpolated across it: without a margin, pixels there would differ."""
    blob = encode_jpeg(photo(*LARGE), 92, chroma)
    header, expected = read_header(blob), whole(blob)
    for top, left in product(range(94, 100), range(110, 116)):
        box = np.s_[top : top + 60, left : left + 70]
        assert (decode_jpeg(blob, header, box) == expected[box]).all()
    assert len(cuts) == 36


def test_only_what_pays_is_cut_out(cuts):
    blob, small = encode_jpeg(photo(*LARGE), 92, "4:2:0"), encode_jpeg(photo(96, 128), 92, "4:2:0")
    decode_jpeg(blob, read_header(blob), np.s_[:300, :330])
    decode_jpeg(blob, read_header(blob), WHOLE)
    decode_jpeg(small, read_header(small), np.s_[:16, :16])
    assert not cuts
    assert read_header(small).interval == 0
    decode_jpeg(blob, read_header(blob), np.s_[:200, :200])
    assert cuts


@pytest.mark.parametrize(
    ("blocks", "interval"), [(40, 4), (80, 4), (25, 5), (78, 6), (77, 7), (33, 3), (37, 37), (1, 1), (2, 2)]
)
def test_a_marker_stands_at_the_end_of_each_row_of_blocks(blocks, interval):
    assert jpeg._interval(blocks) == interval
    assert blocks % interval == 0


def test_markers_change_no_pixel_and_cost_a_hundredth_of_the_bytes():
    image = photo(480, 640)
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=92, subsampling="4:2:0")
    plain, ours = file.getvalue(), encode_jpeg(image, 92, "4:2:0")
    assert len(read_header(ours).restarts) == 30 * 10 - 1
    assert len(plain) < len(ours) < 1.015 * len(plain)
    for decoded in (
        cv2.imdecode(np.frombuffer(ours, np.uint8), 1)[..., ::-1],
        np.asarray(Image.open(io.BytesIO(ours))),
    ):
        assert np.abs(decoded.astype(int) - whole(plain)).max() <= 2  # decoders round apart
    assert (whole(ours) == whole(plain)).all()


@pytest.mark.parametrize("interval", [0, 4, 5])
def test_files_of_other_encoders_are_decoded_whole_or_by_their_own_markers(interval, cuts):
    image, file = photo(*LARGE), io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=90, restart_marker_blocks=interval)
    blob = file.getvalue()
    box = np.s_[40:120, 50:180]
    assert (decode_jpeg(blob, read_header(blob), box) == whole(blob)[box]).all()
    assert not cuts  # 21 blocks a row have no markers at their end


def test_a_gray_jpeg_is_decoded_whole(cuts):
    file = io.BytesIO()
    Image.fromarray(photo(*LARGE)[..., 0]).save(file, "JPEG", restart_marker_blocks=7)
    blob = file.getvalue()
    assert decode_jpeg(blob, read_header(blob), np.s_[:50, :60]).shape == (50, 60, 3)
    assert not cuts


def test_two_sizes_are_refused_and_so_are_pixels_of_another_size(monkeypatch):
    blob = encode_jpeg(photo(16, 16), 92, "4:2:0")
    header = read_header(blob)
    frame = blob[header.frame : header.frame + 19]
    with pytest.raises(CorruptShard, match="JPEG states no size"):
        read_header(blob[: header.frame] + frame + blob[header.frame :])
    monkeypatch.setattr("kornia_rs.io.decode_image_jpegturbo", lambda *_: np.zeros((16, 15, 3), np.uint8))
    with pytest.raises(CorruptShard, match=r"must decode to \(16, 16, 3\), decodes to \(16, 15, 3\)"):
        decode_jpeg(blob, header, WHOLE)


def test_missing_or_additional_markers_are_refused():
    blob = encode_jpeg(photo(*LARGE), 92, "4:2:0")
    header, box = read_header(blob), np.s_[:100, :100]
    first = int(header.restarts[3])
    without = blob[:first] + blob[first + 2 :]
    twice = blob[:first] + b"\xff\xd3" + blob[first:]
    for damaged, count in ((without, 55), (twice, 57)):
        with pytest.raises(CorruptShard, match=f"JPEG has {count} restart markers, its header asks for 56"):
            decode_jpeg(damaged, read_header(damaged), box)
    with pytest.raises(CorruptShard, match="JPEG has 56 restart markers, its header asks for 56"):
        decode_jpeg(blob[:-2], header, box)


@pytest.mark.parametrize("sampling", [b"\x00", b"\x01", b"\x10", b"\xff"])
def test_sampling_that_no_jpeg_has_ends_in_an_error_or_in_a_whole_image(sampling):
    blob = bytearray(encode_jpeg(photo(*LARGE), 92, "4:2:0"))
    frame = read_header(bytes(blob)).frame
    for number in range(3):
        blob[frame + 11 + 3 * number : frame + 12 + 3 * number] = sampling
    try:
        found = decode_jpeg(bytes(blob), read_header(bytes(blob)), np.s_[:100, :100])
    except CorruptShard:
        return
    assert found.shape == (100, 100, 3)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=200)
def test_damage_anywhere_ends_in_an_error_or_in_pixels_of_the_stated_size(seed):
    random = np.random.default_rng(seed)
    blob = bytearray(DAMAGED)
    for place in random.integers(2, random.choice([700, len(blob)]), random.integers(1, 4)):
        blob[place] = random.integers(0, 256)
    damaged = bytes(blob[: random.choice([len(blob), random.integers(2, len(blob))])])
    try:
        header = read_header(damaged)
        if header.size != LARGE:
            return  # refused before it is decoded
        found = decode_jpeg(damaged, header, np.s_[:100, 20:120])
    except CorruptShard:
        return
    assert found.shape == (100, 100, 3)
    assert found.dtype == np.uint8


DAMAGED = encode_jpeg(photo(*LARGE), 92, "4:2:0")


def test_a_header_that_ends_early_is_refused():
    frame = read_header(DAMAGED).frame
    cut = DAMAGED[: frame + 12]
    with pytest.raises(CorruptShard, match="JPEG states no size"):
        read_header(cut)
    components = DAMAGED[: frame + 9] + b"\xff" + DAMAGED[frame + 10 :]
    assert read_header(components).interval == 0
    small = encode_jpeg(photo(16, 16), 92, "4:2:0")
    frame = read_header(small).frame
    assert read_header(small[: frame + 9] + b"\xff" + small[frame + 10 :]).interval == 0
    tail = DAMAGED[: frame + 2] + struct.pack(">H", 5) + DAMAGED[frame + 4 :]
    with pytest.raises(CorruptShard):
        read_header(tail)
