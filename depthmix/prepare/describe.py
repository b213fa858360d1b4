"""State what a prepared set was made from, and name what differs between two such statements."""

import hashlib
import inspect
import json
import math
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from depthmix import __version__
from depthmix.prepare.job import Job
from depthmix.sources.base import Source, SourceCard
from depthmix.store.record import storage_errors

__all__ = ["changes", "describe"]


def describe(job: Job, shard_mb: int) -> dict[str, Any]:
    """Return what is stated in every record, as JSON returns it."""
    source = job.source
    size = None if job.size is None else list(job.size)
    options = {
        "shard_mb": shard_mb,
        "codec": asdict(job.codec),
        "adapter": f"{type(source).__module__}:{type(source).__qualname__}",
        "adapter_code": _code_digest(type(source)),
        "settings": _settings(source),
    }
    plain = {"name": source.name, "card": source.card.plain(), "size": size, "options": options}
    stated: dict[str, Any] = json.loads(json.dumps({**plain, "version": __version__}))
    return stated


def _settings(source: Source) -> dict[str, Any]:
    """Return the options of the adapter: its public attributes of plain values, lists and records."""
    items = sorted(vars(source).items())
    return {
        key: _stated(value) for key, value in items if key[0] != "_" and key != "name" and _is_plain(value)
    }


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if is_dataclass(value) and not isinstance(value, type | SourceCard):
        return all(map(_is_plain, _fields_of(value).values()))
    return value is None or isinstance(value, bool | int | float | str)


def _fields_of(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


def _stated(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_stated(item) for item in value]
    if is_dataclass(value):
        return {name: _stated(item) for name, item in _fields_of(value).items()}
    # JSON has no word for numbers that are not finite, and "no limit" is a common option.
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _code_digest(kind: type[Source]) -> str:
    """Return the sha256 of the module of an adapter: labels follow from its code, too."""
    try:
        file = inspect.getsourcefile(kind)
    except TypeError:  # defined in a notebook or at the prompt
        return ""
    if not file:
        return ""
    with storage_errors(Path(file)):
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if Path(file).is_file() else ""


def changes(before: Any, after: Any, name: str = "") -> list[str]:
    """Name each value that differs, such as `options.size: was [96, 128], now null`."""
    if isinstance(before, dict) and isinstance(after, dict):
        names = sorted({*before, *after})
        return [
            change
            for key in names
            for change in changes(before.get(key), after.get(key), f"{name}.{key}".lstrip("."))
        ]
    return [] if before == after else [f"{name}: was {_short(before)}, now {_short(after)}"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:13]}…"
