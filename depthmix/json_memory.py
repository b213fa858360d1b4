"""How much memory the values of a JSON text can take, known before it is parsed."""

from typing import Final

__all__ = ["most_memory"]

# Python keeps at most so many bytes for each comma, colon or opening bracket: an empty list after a comma is
# the worst. Marks inside texts count too, so this is an upper bound.
_PER_MARK: Final = 72


def most_memory(text: bytes, per_byte: int) -> int:
    """Return an upper bound in bytes.

    Args:
        text: the JSON text.
        per_byte: what each byte of it may take besides: copies of the text, and texts among the values.
    """
    return _PER_MARK * sum(text.count(mark) for mark in (b",", b":", b"[", b"{")) + per_byte * len(text)
