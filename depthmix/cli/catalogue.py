"""Tables of what classes say about themselves: listing them must not wait until the classes are imported."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from depthmix.errors import ConfigError

__all__ = ["csv_text", "read_catalogue"]


def read_catalogue(file: Path) -> dict[str, dict[str, str]]:
    """Read what shipped classes say about themselves, by class name.

    Raises:
        ConfigError: the table was not installed.
    """
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            return {row.pop("class"): row for row in csv.DictReader(stream)}
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error}", field=str(file), hint="install depthmix again"
        ) from error


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> str:
    """Return the rows as `read_catalogue` reads them."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
