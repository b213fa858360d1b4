"""Parse JSON of strangers: one meaning for every text, and no more memory than its size lets expect."""

import json
import math
from typing import Any, Final, NoReturn

from depthmix.json_memory import most_memory

__all__ = ["MAX_MEMORY", "parse"]

MAX_MEMORY: Final = 512 << 20


def parse(text: bytes) -> Any:
    """Return the plain values of a JSON text.

    Raises:
        ValueError: not JSON; nested too deep; NaN or infinite numbers; a name that is given twice in one
            object; or more values than `MAX_MEMORY` bytes hold.
    """
    needed = most_memory(text, per_byte=4)
    if needed > MAX_MEMORY:
        raise ValueError(f"may need {needed >> 20} MiB of memory, more than {MAX_MEMORY >> 20}")
    try:
        return json.loads(
            text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_without_repetition
        )
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text[:40])


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{double[:40]!r} is given twice")
    return found
