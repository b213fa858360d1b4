import hashlib
import io
import json
import time

import h5py
import numpy as np
import pytest

from depthmix.store.codec import FIELDS, decode_fields
from depthmix.store.codec_options import CodecOptions
from depthmix.store.shard import SCHEMA, EncodedSample, ShardIndex, build_shard, shard_name
from depthmix.store.writer import encode_sample
from tests.store.helpers import TinySource, make_raw


@pytest.fixture
def samples(tmp_path):
    source = TinySource(make_raw(tmp_path, 3))
    return list(source)


@pytest.fixture
def encoded(samples):
    return [encode_sample(sample, CodecOptions()) for sample in samples]


def test_shard_opens_as_plain_hdf5_and_gives_back_the_samples(tmp_path, samples, encoded):
    image, _ = build_shard(encoded, {"schema": SCHEMA, "name": "tiny"})
    path = tmp_path / "shard.h5"
    path.write_bytes(image)
    with h5py.File(path, "r") as file:
        metadata = json.loads(file["metadata"][:].tobytes())
        assert metadata["keys"] == ["000", "001", "002"]
        assert metadata["fields"] == list(FIELDS)
        for row, sample in enumerate(samples):
            spans = zip(FIELDS, file["offsets"][row], file["lengths"][row], strict=True)
            blobs = {name: file["bytes"][start : start + length].tobytes() for name, start, length in spans}
            size = tuple(file["sizes"][row])
            fields = decode_fields(blobs, size, sample.kind, CodecOptions())
            assert fields["target"][:, :] == pytest.approx(sample.target, rel=6.3e-5)
            assert file["cameras"][row].tolist() == [20.0, 20.0, 7.5, 5.5]


def test_shard_holds_no_variable_length_type_and_no_attribute_and_checks_its_tables(tmp_path, encoded):
    image, _ = build_shard(encoded, {})
    (tmp_path / "shard.h5").write_bytes(image)
    with h5py.File(tmp_path / "shard.h5", "r") as file:
        assert len(file.attrs) == 0
        for name, dataset in file.items():
            assert dataset.dtype.kind in "uf"
            assert len(dataset.attrs) == 0
            assert dataset.fletcher32 == (name != "bytes")
        assert file["bytes"].chunks is None


def test_bytes_of_a_shard_do_not_depend_on_time_or_memory(encoded):
    first, _ = build_shard(encoded, {"name": "tiny"})
    time.sleep(1.1)  # HDF5 counts its time stamps in seconds
    garbage = [np.random.default_rng(0).bytes(100_000) for _ in range(20)]
    second, _ = build_shard(encoded, {"name": "tiny"})
    assert first == second
    assert garbage


@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_shard_is_the_file_that_h5py_makes_of_all_bytes_at_once(encoded, count):
    odd = EncodedSample("odd", (1, 1), None, (b"", b"x" * 70_000, b"", b"", b"y", b"", b""))
    chosen = [*encoded, odd][:count]
    image, index = build_shard(chosen, {"name": "tiny"})
    payload = b"".join(blob for sample in chosen for blob in sample.blobs)
    with h5py.File.in_memory(libver=("v110", "v110")) as file, h5py.File(io.BytesIO(image), "r") as ours:
        file.create_dataset("bytes", data=np.frombuffer(payload, np.uint8))
        for name in ("sizes", "cameras", "offsets", "lengths", "crc32", "metadata"):
            table = ours[name][:]
            checked = {"chunks": table.shape, "fletcher32": True} if len(table) else {}
            file.create_dataset(name, data=table, **checked)
        file.flush()
        assert file.id.get_file_image() == image
    assert list(index.digests) == [hashlib.sha256(b"".join(sample.blobs)).hexdigest() for sample in chosen]


def test_index_points_at_the_fields_in_the_file(encoded):
    image, index = build_shard(encoded, {})
    for row, sample in enumerate(encoded):
        for column, blob in enumerate(sample.blobs):
            start = index.offsets[row, column]
            assert image[start : start + index.lengths[row, column]] == blob


def test_index_survives_json(encoded):
    image, index = build_shard([encoded[0], encoded[1]], {})
    again = ShardIndex.from_plain(json.loads(json.dumps(index.to_plain())), len(image))
    assert again.to_plain() == index.to_plain()


def test_unknown_camera_stays_unknown(samples):
    encoded = encode_sample(samples[0].replaced(intrinsics=None), CodecOptions())
    image, index = build_shard([encoded], {})
    again = ShardIndex.from_plain(json.loads(json.dumps(index.to_plain())), len(image))
    assert again.intrinsics(0) is None
    assert index.to_plain()["cameras"] == [None]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("offsets", [[-1] * 7], "`offsets` must stay inside"),
        ("lengths", [[1 << 40] * 7], "`offsets` must stay inside"),
        ("lengths", [[1, 2]], "`lengths` must have shape"),
        ("sizes", [[0, 4]], "`sizes` must hold 1 to"),
        ("sizes", [[1 << 20, 1 << 20]], "`sizes` must hold 1 to"),
        ("sizes", [[1 << 32, 1 << 32]], "`sizes` must hold 1 to"),
        ("keys", [7], "`keys` must be text"),
        ("crc32", [[0] * 6], "`crc32` must have shape"),
        ("digests", [], "`digests` must have 1 entries"),
    ],
)
def test_an_index_that_points_outside_or_does_not_fit_is_refused(encoded, column, value, reason):
    image, index = build_shard(encoded[:1], {})
    with pytest.raises(ValueError, match=reason):
        ShardIndex.from_plain({**index.to_plain(), column: value}, len(image))


def test_an_index_whose_numbers_would_wrap_is_refused(encoded):
    image, index = build_shard(encoded[:1], {})
    huge = [[2**63 - 1] * 7]
    with pytest.raises(ValueError, match="`offsets` must stay inside"):
        ShardIndex.from_plain({**index.to_plain(), "offsets": huge, "lengths": huge}, len(image))


def test_shard_names_sort_in_order():
    assert [shard_name(0), shard_name(12)] == ["00000.h5", "00012.h5"]
