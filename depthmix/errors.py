"""Every error a user of depthmix can meet, all with the same five parts."""

from pathlib import Path

__all__ = [
    "BadSample",
    "BadSource",
    "ConfigError",
    "CorruptShard",
    "DepthmixError",
    "StorageError",
    "visible",
]


class DepthmixError(Exception):
    """Say in one line which file, sample and field is wrong, why, and what to do next.

    Args:
        reason: what was found, with the value.
        file: the file it was found in.
        sample: `source/key` of the sample it concerns.
        field: the field, option or configuration key.
        hint: the next step for the reader.
    """

    def __init__(
        self,
        reason: str,
        *,
        file: str | Path | None = None,
        sample: str | None = None,
        field: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.reason, self.file, self.sample, self.field, self.hint = reason, file, sample, field, hint
        where = [visible(str(part)) for part in (file, sample, field) if part is not None]
        said = ": ".join([*where, visible(reason, "\n")])
        after = "" if said.endswith("\n") else "; "  # behind a table the next step is a line of its own
        super().__init__(said + (f"{after}{visible(hint)}" if hint else ""))

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments are lost by the default pickling, and worker processes pickle errors.
        return _rebuild, (type(self), self.reason, self.file, self.sample, self.field, self.hint)


class BadSource(DepthmixError):
    """Raw data that cannot be read: missing, truncated, or not what the format says."""


class BadSample(DepthmixError):
    """A sample that was read but breaks the contract of `Sample`."""


class ConfigError(DepthmixError):
    """A configuration that cannot work: unknown name, impossible pair of loss and source."""


class StorageError(DepthmixError):
    """The file system refused to store or give back prepared data."""


class CorruptShard(DepthmixError):
    """Prepared data that differ from their record."""


def visible(text: str, kept: str = "") -> str:
    r"""Escape what a terminal would obey or could not print: names of files and keys are not trusted.

    Args:
        text: what is to be shown.
        kept: characters that stay as they are, such as the ends of lines.

    Example:
        >>> print(visible("a\x1b[2Jb"))
        a\x1b[2Jb
    """
    return "".join(
        char if char.isprintable() or char in kept else char.encode("unicode_escape").decode()
        for char in text
    )


def _rebuild(
    kind: type[DepthmixError],
    reason: str,
    file: str | Path | None,
    sample: str | None,
    field: str | None,
    hint: str | None,
) -> DepthmixError:
    return kind(reason, file=file, sample=sample, field=field, hint=hint)
