"""Turn one raw sample into the bytes that are stored: read, check, fit, encode."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from depthmix.augment import crop, resize
from depthmix.errors import BadSample, BadSource
from depthmix.sample import Sample
from depthmix.sources.base import Source
from depthmix.store.codec import CodecOptions
from depthmix.store.fingerprint import relative_name
from depthmix.store.shard import EncodedSample
from depthmix.store.writer import Skipped, encode_sample

__all__ = ["Job", "Size", "cover", "raw_files"]

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker needs to turn a key into bytes."""

    source: Source
    size: Size | None
    codec: CodecOptions

    def run(self, key: str) -> EncodedSample | Skipped:
        """Return the stored form of sample `key`, or why it has none."""
        try:
            sample = self.source.read(key)
            self._check_tags(sample, key)
            if self.size is not None and self.size != sample.size:
                sample = cover(sample, self.size)
            return encode_sample(sample, self.codec)
        except (BadSource, BadSample) as error:
            return self._skipped(key, error)
        except BaseException as error:
            error.add_note(f"while sample {self.source.name}/{key} was prepared")
            raise

    def _check_tags(self, sample: Sample, key: str) -> None:
        card = self.source.card
        found = (sample.source, sample.key, sample.kind, sample.quality)
        expected = (self.source.name, key, card.kind, card.quality)
        for field, got, wanted in zip(("source", "key", "kind", "quality"), found, expected, strict=True):
            if got != wanted:
                raise sample.fail(field, f"the source states {wanted!r}, the sample {got!r}")

    def _skipped(self, key: str, error: BadSource | BadSample) -> Skipped:
        file = error.file or next(iter(raw_files(self.source, key)), "")
        reason = f"{error.field}: {error.reason}" if error.field else error.reason
        return Skipped(key, relative_name(self.source.root, Path(file)) if file else "", reason)


def cover(sample: Sample, size: Size) -> Sample:
    """Scale a sample, keeping its aspect, until it just covers `size`, and crop the centre.

    Raises:
        BadSample: no label survives.
    """
    rows, columns = sample.size
    height, width = size
    scale = max(height / rows, width / columns)
    scaled = max(height, round(rows * scale)), max(width, round(columns * scale))
    top, left = (scaled[0] - height) // 2, (scaled[1] - width) // 2
    return crop(resize(sample, *scaled), top, left, height, width)


def raw_files(source: Source, key: str) -> Sequence[Path]:
    """List the raw files of a sample; none where the source cannot even tell."""
    try:
        return source.files(key)
    except (BadSource, BadSample):
        return []  # reading the sample gives the same error, and that one is listed
