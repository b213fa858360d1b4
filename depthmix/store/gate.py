"""Read the records of a prepared set as if a stranger had made them up.

A proof guards against accidents only: whoever makes up a record can prove it, too. So every part that
anything else is derived from is checked here, before memory of its size is asked for.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from depthmix.errors import CorruptShard, StorageError
from depthmix.sample import LabelKind, Quality
from depthmix.store.codec_options import CodecOptions
from depthmix.store.record import read_record
from depthmix.store.shard import MAX_SAMPLES, SCHEMA, ShardIndex
from depthmix.store.writer import ROOT, Skipped, shard_files

__all__ = ["REBUILD", "Shard", "check_root", "check_shard", "read_root", "read_shard"]

REBUILD: Final = "remove this file and run prepare again, which rebuilds only what is damaged"
NAME: Final = re.compile(r"[0-9]{5,}\.h5")  # a plain file name: a record never leads out of its folder
CARD: Final = {"family", "quality", "kind", "unit", "density", "noise", "licence", "citation"}
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_MAX_FILE: Final = 1 << 50


@dataclass(frozen=True, slots=True)
class Shard:
    """One shard as its own record describes it."""

    path: str | Path
    size: int
    sha256: str
    index: ShardIndex


def read_root(root: Path) -> dict[str, Any]:
    """Read and check the record of a set.

    Raises:
        StorageError: there is none, or one of another version.
        CorruptShard: it is damaged or was made up.
    """
    path = root / ROOT
    if not (path.is_file() or path.is_symlink()):
        unfinished = root.is_dir() and bool(shard_files(root))
        reason = "prepare has not finished here" if unfinished else "no prepared set here"
        raise StorageError(reason, file=path, hint="run `depthmix prepare` for this source (again)")
    return check_root(read_record(path), path)


def check_root(info: dict[str, Any], path: str | Path) -> dict[str, Any]:
    """Return the record of a set that lies at `path`, if every part of it can be.

    Raises:
        StorageError: it is one of another version.
        CorruptShard: it was made up.
    """
    if info.get("schema") != SCHEMA:
        reason = f"has schema {str(info.get('schema'))[:20]}, this version reads {SCHEMA}"
        raise StorageError(
            reason, file=path, field="schema", hint="update depthmix or prepare the source again"
        )
    try:
        _check_parts(info)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CorruptShard(
            f"not a record of a prepared set ({_short(error)})", file=path, hint=REBUILD
        ) from error
    return info


def read_shard(root: Path, entry: Mapping[str, Any]) -> Shard:
    """Read and check the record of a shard.

    Args:
        root: folder of the set.
        entry: what the record of the set states about it.

    Raises:
        StorageError: there is none, or it cannot be read.
        CorruptShard: it is damaged, was made up, or differs from the record of the set.
    """
    path = root / entry["file"]
    record_path = path.with_suffix(".json")
    return check_shard(read_record(record_path, proof=entry["proof"]), entry, path, record_path)


def check_shard(
    record: Mapping[str, Any], entry: Mapping[str, Any], path: str | Path, record_path: str | Path
) -> Shard:
    """Return what the record of a shard says, if every part of it can be.

    Args:
        record: its content.
        entry: what the record of the set states about the shard.
        path: of the shard.
        record_path: of the record.

    Raises:
        CorruptShard: it was made up, or differs from the record of the set.
    """
    try:
        index = ShardIndex.from_plain(record["samples"], entry["size"])
        stated = (record["size"], record["sha256"], len(index))
        if stated != (entry["size"], entry["sha256"], entry["count"]):
            raise ValueError("differs from the record of the set")
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        reason = f"not a shard record ({_short(error)})"
        raise CorruptShard(reason, file=record_path, hint=REBUILD) from error
    return Shard(path, entry["size"], entry["sha256"], index)


def _check_parts(info: Mapping[str, Any]) -> None:
    if info["card"].keys() != CARD:
        raise ValueError("card has other parts")
    (LabelKind[info["card"]["kind"]], Quality[info["card"]["quality"]])
    CodecOptions(**info["options"]["codec"])
    [Skipped(**skip) for skip in info["skipped"]]
    texts = [info["name"], info["fingerprint"], *info["card"].values()]
    texts += [text for skip in info["skipped"] for text in skip.values()]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("card, name, fingerprint or list of skipped samples hold other things than text")
    _check_count("samples_per_shard", info["samples_per_shard"], 1, MAX_SAMPLES)
    for shard in info["shards"]:
        if not NAME.fullmatch(shard["file"]):
            raise ValueError("names of shards are not plain")
        if not all(_HEX.fullmatch(shard[name]) for name in ("sha256", "proof")):
            raise ValueError("sha256 or proof of a shard is none")
        _check_count("size", shard["size"], 0, _MAX_FILE)
        _check_count("count", shard["count"], 0, MAX_SAMPLES)
    if len({shard["file"] for shard in info["shards"]}) < len(info["shards"]):
        raise ValueError("a shard is named twice")
    if type(info["count"]) is not int or info["count"] != sum(shard["count"] for shard in info["shards"]):
        raise ValueError("counts do not fit together")


def _check_count(name: str, value: object, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number in {least} .. {most}")


def _short(error: Exception) -> str:
    """Say what was wrong, without repeating pages of a stranger's text."""
    return f"lacks {error}"[:200] if isinstance(error, KeyError) else str(error)[:200]
