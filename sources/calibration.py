"""Read calibration text files strictly: every number is there, finite and sensible, or the field is named."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from depthmix.errors import BadSource
from depthmix.sample import Intrinsics
from depthmix.sources.files import read_bytes

__all__ = ["Fields", "parse_fields", "pinhole", "read_fields"]

_HINT = "take the calibration file that was published with the data"
_MAX_BYTES = 1_000_000
_LARGEST = 1e9  # pixels, millimetres and metres of cameras stay far below; larger ones overflow in products


@dataclass(frozen=True, slots=True)
class Fields:
    """Hold the named values of one calibration file as text and hand them out as checked numbers.

    Args:
        file: the file they come from, for messages.
        values: the text of each field.
    """

    file: Path
    values: dict[str, str]

    def fail(self, field: str, reason: str) -> BadSource:
        """Build the error that names this file and one of its fields."""
        return BadSource(reason, file=self.file, field=field, hint=_HINT)

    def numbers(self, field: str, count: int) -> Float64[np.ndarray, " count"]:
        """Return exactly `count` finite numbers; the brackets and semicolons of a matrix are taken as blanks.

        Raises:
            BadSource: the field is missing, no number, not finite, absurdly large, or of another length.
        """
        if field not in self.values:
            raise self.fail(field, "is missing")
        text = self.values[field]
        try:
            found = np.array([float(word) for word in text.strip("[]").replace(";", " ").split()])
        except ValueError as error:
            raise self.fail(field, f"must be {count} number(s), got {text[:60]!r}") from error
        if found.size != count:
            raise self.fail(field, f"must be {count} number(s), got {found.size}")
        if not np.isfinite(found).all():
            raise self.fail(field, f"must be finite, got {text[:60]!r}")
        if np.abs(found).max(initial=0) > _LARGEST:
            raise self.fail(field, f"must be below {_LARGEST:g}, got {text[:60]!r}")
        return found

    def number(self, field: str) -> float:
        """Return one finite number.

        Raises:
            BadSource: as `numbers`.
        """
        return float(self.numbers(field, 1)[0])

    def positive(self, field: str) -> float:
        """Return one finite number above 0.

        Raises:
            BadSource: as `numbers`, or 0 or less.
        """
        value = self.number(field)
        if value <= 0:
            raise self.fail(field, f"must be positive, got {value:g}")
        return value

    def rotation(self, field: str) -> Float64[np.ndarray, "3 3"]:
        """Return a 3 x 3 rotation matrix.

        Raises:
            BadSource: as `numbers`, or the rows are not orthonormal and right-handed.
        """
        matrix = self.numbers(field, 9).reshape(3, 3)
        check_rotation(self, field, matrix)
        return matrix


def read_fields(file: Path, separator: str) -> Fields:
    """Read the lines `name<separator>value` of a text file; blank lines are skipped.

    Raises:
        BadSource: no such file, no text, a line without separator, or a name given twice.
    """
    return parse_fields(read_bytes(file, max_bytes=_MAX_BYTES), file, separator)


def parse_fields(data: bytes, file: Path, separator: str) -> Fields:
    """Do as `read_fields` with bytes that were read already; errors name `file`.

    Raises:
        BadSource: no text, a line without separator, or a name given twice.
    """
    fields = Fields(file, {})
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        raise BadSource("is no text file", file=file, hint=_HINT) from error
    for number, line in enumerate(text.splitlines(), start=1):
        name, found, value = (part.strip() for part in line.partition(separator))
        if not line.strip():
            continue
        if not found or not name:
            raise fields.fail(f"line {number}", f"must be `name{separator}value`, got {line[:60]!r}")
        if name in fields.values:
            raise fields.fail(name, f"is given twice, again in line {number}")
        fields.values[name] = value
    return fields


def pinhole(fields: Fields, field: str, matrix: Float64[np.ndarray, "3 3"]) -> Intrinsics:
    """Return the camera of a calibration matrix that must have no skew and a last row of 0, 0, 1.

    Raises:
        BadSource: the matrix is of another form, or a focal length is not positive.
    """
    (fx, skew, cx), (zero, fy, cy) = matrix[:2].tolist()
    if skew or zero or matrix[2].tolist() != [0, 0, 1]:
        raise fields.fail(field, "must be [fx 0 cx; 0 fy cy; 0 0 1]")
    if min(fx, fy) <= 0:
        raise fields.fail(field, f"the focal lengths must be positive, got {fx:g} and {fy:g}")
    return Intrinsics(fx, fy, cx, cy)


def check_rotation(fields: Fields, field: str, matrix: Float64[np.ndarray, "3 3"]) -> None:
    """Check that a matrix is a rotation, up to the rounding of a text file.

    Raises:
        BadSource: it is not.
    """
    error = float(np.abs(matrix @ matrix.T - np.eye(3)).max())
    if error > 1e-3 or np.linalg.det(matrix) < 0:
        raise fields.fail(field, f"must be a rotation, its rows miss orthonormality by {error:.2g}")
