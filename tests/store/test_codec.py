"""Labels keep their stated precision, masks and ids are lossless, damaged bytes name their field."""

import struct

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from depthmix.augment import crop
from depthmix.coded import WHOLE, CodedSample
from depthmix.errors import BadSample, CorruptShard
from depthmix.sample import LabelKind, Quality
from depthmix.store import codec
from depthmix.store.codec import FIELDS, decode_fields, encode_fields
from depthmix.store.codec_options import CodecOptions
from depthmix.store.images import encode_image
from tests.store.helpers import TinySource, make_raw

shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))
# Subnormal numbers have fewer digits than the bounds assume; no depth in metres is one.
positive = st.floats(float(np.float32(1e-30)), float(np.float32(1e30)), width=32)
finite = st.floats(float(np.float32(-1e30)), float(np.float32(1e30)), width=32, allow_subnormal=False)


@st.composite
def labels(draw, elements, shape=None):
    shape = shape or draw(shapes)
    values = draw(arrays(np.float32, shape, elements=elements))
    valid = draw(arrays(np.bool_, shape))
    valid[draw(st.integers(0, shape[0] - 1)), draw(st.integers(0, shape[1] - 1))] = True
    return np.where(valid, values, np.float32(0)), valid


def metres():
    return st.floats(0.5, 200.0, width=32)


@given(labels(positive))
def test_log_code_keeps_its_stated_relative_error_and_zeros(label):
    values, valid = label
    decoded = codec.decode_log16(codec.encode_log16(values, valid), values.shape)[:, :]
    inside = values[valid].astype(np.float64)
    bound = codec.log16_error(inside.min(), inside.max())
    assert (np.abs(decoded[valid] - inside) <= bound * inside).all()
    assert decoded.dtype == np.float32
    assert (decoded[valid] > 0).all()
    assert (decoded[~valid] == 0).all()


@given(labels(metres()))
def test_log_code_of_everyday_depths_errs_by_less_than_63_millionths(label):
    values, valid = label
    decoded = codec.decode_log16(codec.encode_log16(values, valid), values.shape)[:, :]
    assert (np.abs(decoded - values)[valid] <= 6.3e-5 * values[valid]).all()


def packed(valid, place, low, high, steps):
    codes = np.zeros(valid.shape, np.uint16)
    codes[valid] = np.clip(np.rint(place * steps), 0, steps) + 1
    return codec.RANGE.pack(low, high, steps) + codec._compress(codes)


def log16_by_its_formula(values, valid):
    inside = values[valid].astype(np.float64)
    low, high = inside.min(), inside.max()
    place = (np.log(inside) - np.log(low)) / ((np.log(high) - np.log(low)) or 1.0)
    return packed(valid, place, low, high, codec._log_steps(low, high))


def affine16_by_its_formula(values, valid):
    inside = values[valid].astype(np.float64)
    low, high = inside.min(), inside.max()
    return packed(valid, (inside - low) / ((high - low) or 1.0), low, high, codec.STEPS)


@given(labels(positive), labels(finite))
def test_codes_are_byte_for_byte_those_of_their_formulas(label, affine_label):
    assert codec.encode_log16(*label) == log16_by_its_formula(*label)
    assert codec.encode_affine16(*affine_label) == affine16_by_its_formula(*affine_label)


@pytest.mark.parametrize("shape", [(1, 9973), (120, 160)])
def test_codes_of_whole_maps_are_byte_for_byte_those_of_their_formulas(shape):
    random = np.random.default_rng(0)
    values, valid = random.uniform(0.5, 80, shape).astype(np.float32), random.random(shape) < 0.7
    assert codec.encode_log16(values, valid) == log16_by_its_formula(values, valid)
    assert codec.encode_affine16(values, valid) == affine16_by_its_formula(values, valid)


@pytest.mark.parametrize("encode", [codec.encode_log16, codec.encode_affine16])
def test_encoding_leaves_its_arguments_alone(encode):
    values, valid = np.float64([[1.5, 2.0, 3.0]]), np.ones((1, 3), bool)
    encode(values, valid)
    assert values.tolist() == [[1.5, 2.0, 3.0]]
    assert valid.all()


@pytest.mark.parametrize("steps", [1, 254, 255, 256, 511, 65279, 65534])
def test_the_last_of_any_number_of_steps_is_the_largest_value(steps):
    values = np.exp(np.array([[0, (steps - 0.5) * codec.SPACING]])).astype(np.float32)
    blob = codec.encode_log16(values, np.ones((1, 2), bool))
    assert codec.RANGE.unpack_from(blob)[2] == steps
    assert np.array_equal(codec.decode_log16(blob, (1, 2))[:, :], values)


@given(labels(finite))
def test_affine_code_keeps_its_stated_absolute_error_and_zeros(label):
    values, valid = label
    decoded = codec.decode_affine16(codec.encode_affine16(values, valid), values.shape)[:, :]
    inside = values[valid].astype(np.float64)
    bound = codec.affine16_error(inside.min(), inside.max())
    assert (np.abs(decoded[valid] - inside) <= bound).all()
    assert (decoded[~valid] == 0).all()


@given(labels(positive))
def test_codes_are_exact_at_both_ends_of_the_range(label):
    values, valid = label
    for name in ("log16", "affine16"):
        blob = getattr(codec, f"encode_{name}")(values, valid)
        decoded = getattr(codec, f"decode_{name}")(blob, values.shape)[:, :]
        assert decoded[valid].min() == values[valid].min()
        assert decoded[valid].max() == values[valid].max()


@given(labels(positive))
def test_codes_keep_the_order_of_values(label):
    values, valid = label
    decoded = codec.decode_log16(codec.encode_log16(values, valid), values.shape)[:, :]
    order = np.argsort(values[valid], kind="stable")
    assert (np.diff(decoded[valid][order]) >= 0).all()


@given(st.data(), shapes)
def test_plain_code_is_lossless(data, shape):
    values = data.draw(arrays(np.float32, shape))
    decoded = codec.decode_plain(codec.encode_plain(values), shape)
    assert decoded.tobytes() == values.tobytes()
    assert decoded.dtype == np.float32


@given(st.data(), shapes, st.sampled_from([1, 255, 256, 65535, 65536, 2**31 - 1]))
def test_plane_code_is_lossless_whatever_the_ids_and_no_plane_takes_no_bytes(data, shape, most):
    planes = data.draw(arrays(np.int32, shape, elements=st.integers(0, most)))
    blob = codec.encode_planes(planes)
    assert bool(blob) == planes.any()
    decoded = codec.decode_planes(blob, shape)
    assert decoded.dtype == next(
        one for one in (np.uint8, np.uint16, np.int32) if planes.max() <= np.iinfo(one).max
    )
    assert (decoded == planes).all()


@pytest.mark.parametrize(("most", "width"), [(255, 1), (256, 2), (65535, 2), (65536, 4)])
def test_planes_take_the_narrowest_ids(most, width):
    blob = bytearray(codec.encode_planes(np.full((8, 8), most, np.int32)))
    assert blob[3] == width
    blob[3] = 8
    with pytest.raises(CorruptShard, match="ids must have 1, 2 or 4 bytes, have 8"):
        codec.decode_planes(bytes(blob), (8, 8))


def test_a_code_beyond_the_steps_is_refused():
    blob = codec.encode_log16(np.array([[1, 2]], np.float32), np.ones((1, 2), bool))
    low, high, steps = codec.RANGE.unpack_from(blob)
    with pytest.raises(CorruptShard, match=f"has codes up to {steps}, got {steps + 1}"):
        codec.decode_log16(codec.RANGE.pack(low, high, steps - 1) + blob[codec.RANGE.size :], (1, 2))


def test_negative_planes_are_refused():
    with pytest.raises(CorruptShard, match="ids must not be negative, got -70000"):
        codec.decode_planes(codec._compress(np.array([[-70000, 1]], np.int32)), (1, 2))


@pytest.mark.parametrize("field", ["target", "sigma"])
def test_codes_and_valid_must_agree(tmp_path, field):
    sample = TinySource(make_raw(tmp_path, 1)).read("000")
    valid = sample.valid.copy()
    valid[np.argwhere(valid)[3][0], np.argwhere(valid)[3][1]] = False
    other = encode_fields(sample.replaced(valid=valid), CodecOptions())
    blobs = encode_fields(sample, CodecOptions()) | {field: other[field]}
    with pytest.raises(CorruptShard, match="must have a code just where `valid`") as caught:
        decode_fields(blobs, sample.size, sample.kind, CodecOptions())
    assert caught.value.field == field


def test_bits_behind_the_last_pixel_are_0_where_a_mask_goes_with_codes(tmp_path):
    sample = TinySource(make_raw(tmp_path, 1)).read("000").replaced(pairs=None)
    narrow = crop(sample, 0, 0, 5, 5)  # 25 pixels, 7 bits to spare
    bits = np.packbits(narrow.valid)
    bits[-1] |= 1
    blobs = encode_fields(narrow, CodecOptions()) | {"valid": codec._compress(bits)}
    with pytest.raises(CorruptShard, match="target: must have a code just where `valid`"):
        decode_fields(blobs, narrow.size, narrow.kind, CodecOptions())


@pytest.mark.parametrize("label", ["code16", "float32"])
@pytest.mark.parametrize("missing", ["target", "valid"])
def test_target_without_valid_and_valid_without_target_are_refused(tmp_path, label, missing):
    sample, options = TinySource(make_raw(tmp_path, 1)).read("000"), CodecOptions(label=label)
    with pytest.raises(CorruptShard, match="valid: must be stored just where `target` is"):
        decode_fields(encode_fields(sample, options) | {missing: b""}, sample.size, sample.kind, options)


@given(shapes, st.sampled_from(list(LabelKind)[2:]), st.data())
def test_what_decodes_from_codes_keeps_every_rule_of_a_sample(size, kind, data):
    """`CodedSample` relies on it: also bytes that were put together from several samples."""
    several = [data.draw(labels(positive, size)) for _ in range(2)]
    chosen = [several[data.draw(st.integers(0, 1))] for _ in range(3)]
    (values, known), (spread, spread_known), (_, valid) = chosen
    planes = data.draw(
        arrays(np.int32, size, elements=st.integers(data.draw(st.sampled_from([0, -70000])), 70000))
    )
    sky = data.draw(arrays(np.bool_, size)) & ~(valid & data.draw(st.booleans()))
    blobs = {
        "image": encode_image(np.zeros((*size, 3), np.uint8), CodecOptions()),
        "target": codec._encode_label(values, known, kind, CodecOptions()),
        "valid": codec.encode_mask(valid),
        "sky": codec.encode_mask(sky),
        "planes": codec.encode_planes(planes),
        "sigma": codec._encode_label(spread, spread_known, LabelKind.METRIC_DEPTH, CodecOptions()),
        "pairs": b"",
    }
    tags = {"quality": Quality.HIGH, "kind": kind, "source": "s", "key": "k", "intrinsics": None}
    try:
        fields = decode_fields(blobs, size, kind, CodecOptions())
        coded = CodedSample(**fields, **tags)
    except (CorruptShard, BadSample):
        return
    whole = coded.whole()
    checked = whole.replaced()  # by all rules
    for name in FIELDS[:-1]:
        assert getattr(whole, name).tobytes() == getattr(checked, name).tobytes()


@given(
    st.sampled_from(["log", "affine"]),
    st.integers(1, 65534),
    st.lists(st.floats(width=32), min_size=2, max_size=2),
)
@example("affine", 1, [0.0, -1.7014118346046923e38])  # one step below the range is no number of float32
def test_no_value_leaves_its_range_whatever_range_and_steps_a_set_states(scale, steps, bounds):
    low, high = sorted(bounds)
    assume(np.isfinite(bounds).all() and (low > 0 or scale == "affine"))
    blob = codec.RANGE.pack(low, high, steps) + codec._compress(np.ones((1, 1), np.uint16))
    decode = codec.decode_log16 if scale == "log" else codec.decode_affine16
    values = decode(blob, (1, 1)).values
    assert values[0] == 0
    assert values[1] == low
    assert values[-1] == high
    assert (np.diff(values[1:]) >= 0).all()


@pytest.mark.parametrize("steps", [0, 65535])
def test_a_number_of_steps_that_no_range_has_is_refused(steps):
    blob = codec.encode_log16(np.ones((1, 2), np.float32), np.ones((1, 2), bool))
    with pytest.raises(CorruptShard, match=f"a range has 1 to 65534 steps, got {steps}"):
        codec.decode_log16(codec.RANGE.pack(1, 1, steps) + blob[codec.RANGE.size :], (1, 2))


@given(st.data(), shapes)
def test_mask_code_is_lossless_and_an_empty_mask_takes_no_bytes(data, shape):
    mask = data.draw(arrays(np.bool_, shape))
    blob = codec.encode_mask(mask)
    assert bool(blob) == mask.any()
    decoded = codec.decode_mask(blob, shape)
    assert decoded.dtype == np.bool_
    assert (decoded == mask).all()


PAIRS = np.array([[0, 0, 15, 11, 1], [3, 4, 5, 6, -1], [7, 7, 8, 8, 0]], np.int32)


@pytest.mark.parametrize("image", ["jpeg", "jpeg444", "png"])
@pytest.mark.parametrize("label", ["code16", "float32"])
def test_a_whole_sample_comes_back(tmp_path, image, label):
    sample = TinySource(make_raw(tmp_path, 1)).read("000").replaced(pairs=PAIRS)
    options = CodecOptions(image=image, label=label)
    fields = decode_fields(encode_fields(sample, options), sample.size, sample.kind, options)
    assert tuple(fields) == FIELDS
    for name in ("valid", "sky", "planes", "pairs"):
        assert (fields[name] == getattr(sample, name)).all()
    for name in ("target", "sigma"):
        exact, tolerance = getattr(sample, name), 0 if label == "float32" else 6.3e-5
        assert fields[name][:, :] == pytest.approx(exact, rel=tolerance, abs=0)
    if image == "png":
        assert (fields["image"][WHOLE] == sample.image).all()


def test_absent_fields_take_no_bytes(tmp_path):
    sample = TinySource(make_raw(tmp_path, 1)).read("000")
    bare = sample.replaced(sigma=None, sky=np.zeros_like(sample.sky), planes=np.zeros_like(sample.planes))
    blobs = encode_fields(bare, CodecOptions())
    assert [name for name in FIELDS if not blobs[name]] == ["sky", "planes", "sigma", "pairs"]
    fields = decode_fields(blobs, bare.size, bare.kind, CodecOptions())
    assert fields["sigma"] is None
    assert fields["pairs"] is None
    assert not fields["planes"].any()


def test_negative_values_of_an_affine_disparity_survive():
    values = np.array([[-3.0, 0.0, 5.0]], np.float32)
    blob = codec.encode_affine16(values, np.ones_like(values, bool))
    assert codec.decode_affine16(blob, (1, 3))[:, :] == pytest.approx(values, abs=codec.affine16_error(-3, 5))


def test_damaged_bytes_end_in_an_error_that_names_the_field(tmp_path):
    sample = TinySource(make_raw(tmp_path, 1)).read("000").replaced(pairs=PAIRS)
    for options in (CodecOptions(), CodecOptions(image="png", label="float32")):
        blobs = encode_fields(sample, options)
        for name in FIELDS:
            for damaged in (blobs[name][:7], blobs[name][:-1], b"\xff" * len(blobs[name])):
                with pytest.raises(CorruptShard) as caught:
                    decode_fields({**blobs, name: damaged}, sample.size, sample.kind, options)["image"][WHOLE]
                assert caught.value.field == name


@pytest.mark.parametrize(
    "pair", [[16, 0, 0, 0, 1], [0, 0, 0, 12, 1], [-1, 0, 0, 0, 1], [0, 0, 1, 1, 2], [0, 0, 1, 1, -2]]
)
def test_pairs_outside_the_image_or_without_a_meaning_are_refused(pair):
    with pytest.raises(CorruptShard, match="points must lie inside 12 x 16 pixels"):
        codec.decode_pairs(codec.encode_pairs(np.array([pair], np.int32)), (12, 16))


@pytest.mark.parametrize("bounds", [(-1.0, 5.0), (0.0, 5.0), (5.0, 1.0), (1.0, np.inf), (np.nan, 1.0)])
def test_a_range_that_no_depth_can_have_is_refused(bounds):
    blob = codec.encode_log16(np.ones((1, 2), np.float32), np.ones((1, 2), bool))
    with pytest.raises(CorruptShard, match="range must be"):
        codec.decode_log16(codec.RANGE.pack(*bounds, 1) + blob[codec.RANGE.size :], (1, 2))


def test_another_size_than_the_record_states_is_refused(tmp_path):
    sample = TinySource(make_raw(tmp_path, 1)).read("000")
    blobs = encode_fields(sample, CodecOptions())
    with pytest.raises(CorruptShard, match="image: must be 12 x 17 pixels, states 12 x 16"):
        decode_fields(blobs, (12, 17), LabelKind.METRIC_DEPTH, CodecOptions())


def test_a_block_that_claims_to_unpack_to_gigabytes_is_refused_before_any_memory_is_taken():
    blob = bytearray(codec.encode_plain(np.zeros((4, 4), np.float32)))
    blob[4:8] = (2**31 - 1).to_bytes(4, "little")
    with pytest.raises(CorruptShard, match="must unpack to 64 bytes, states 2147483647"):
        codec.decode_plain(bytes(blob), (4, 4))


@pytest.mark.parametrize("bad", [{"image": "gif"}, {"label": "float16"}])
def test_unknown_options_are_refused(bad):
    with pytest.raises(ValueError, match="must be one of"):
        CodecOptions(**bad)


def test_a_frame_that_stands_for_more_than_it_can_hold_is_refused():
    frame = struct.pack("<BBBBIII", 2, 1, 0x36, 4, 4 << 20, 4 << 20, 16)
    with pytest.raises(CorruptShard, match="16 bytes cannot unpack to 4194304"):
        codec.decode_plain(frame, (1024, 1024))


@pytest.mark.parametrize(("place", "value"), [(0, 3), (2, 0x96), (3, 8), (8, 0)])
def test_a_frame_that_we_do_not_write_is_refused(place, value):
    frame = bytearray(codec.encode_plain(np.arange(192, dtype=np.float32).reshape(12, 16)))
    frame[place : place + 1] = bytes([value])
    if place == 8:
        frame[8:12] = b"\xff\xff\xff\xff"
    with pytest.raises(CorruptShard, match="is no frame of Blosc 1 with lz4 inside"):
        codec.decode_plain(bytes(frame), (12, 16))
