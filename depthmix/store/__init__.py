"""Prepared data on disk: HDF5 shards that are written once, and records that prove every byte of them."""

from depthmix.store.codec_options import CodecOptions
from depthmix.store.reader import ShardSet
from depthmix.store.shard import EncodedSample
from depthmix.store.writer import ShardWriter, Skipped, encode_sample

__all__ = ["CodecOptions", "EncodedSample", "ShardSet", "ShardWriter", "Skipped", "encode_sample"]
