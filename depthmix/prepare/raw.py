"""Ask a source what it holds; what the machine refuses is an error of its own, never a bad sample."""

from collections.abc import Sequence
from pathlib import Path

from depthmix.errors import BadSample, BadSource
from depthmix.sources.base import Source
from depthmix.store.record import MACHINE, refusal, storage_errors

__all__ = ["raise_refusal", "raw_files", "raw_keys"]


def raw_keys(source: Source) -> list[str]:
    """List the keys of a source.

    Raises:
        StorageError: the machine could not read the folder.
        BadSource: the folder is not what the source reads.
    """
    try:
        with storage_errors(source.root):
            return list(source.keys())
    except BadSource as error:
        raise_refusal(error, source)
        raise


def raw_files(source: Source, key: str) -> Sequence[Path]:
    """List the raw files of a sample; none where the source cannot even tell.

    Raises:
        StorageError: the machine could not look.
    """
    try:
        with storage_errors(source.root):
            return source.files(key)
    except (BadSource, BadSample) as error:
        raise_refusal(error, source, key)
        return []  # reading the sample gives the same error, and that one is listed


def raise_refusal(error: BaseException, source: Source, key: str | None = None) -> None:
    """Raise what the machine refused, if that is behind an error of reading.

    A full table of open files, a dead disk or a lost server must not turn good samples into bad ones.

    Raises:
        StorageError: it was that.
    """
    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, OSError) and behind.errno in MACHINE:
            # Of some calls it is the number of an open file.
            named = behind.filename if isinstance(behind.filename, str) else None
            file = named or getattr(error, "file", None) or source.root
            sample = source.name if key is None else f"{source.name}/{key}"
            raise refusal(behind, Path(file), sample=sample) from error
        behind = behind.__cause__ or behind.__context__
