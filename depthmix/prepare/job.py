"""Turn one raw sample into the bytes that are stored: read, check, fit, encode."""

from dataclasses import dataclass
from pathlib import Path

from depthmix.augment import crop, resize
from depthmix.errors import BadSample, BadSource
from depthmix.prepare.raw import raise_refusal, raw_files
from depthmix.sample import Sample
from depthmix.sources.base import Source
from depthmix.store.codec_options import CodecOptions
from depthmix.store.fingerprint import relative_name
from depthmix.store.shard import EncodedSample
from depthmix.store.writer import Skipped, encode_sample

__all__ = ["Job", "Size", "cover"]

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker needs to turn a key into bytes."""

    source: Source
    size: Size | None
    codec: CodecOptions

    def run(self, key: str) -> EncodedSample | Skipped:
        """Return the stored form of sample `key`, or why it has none.

        Raises:
            StorageError: the machine could not read the raw data; that says nothing about the sample.
            BadSource: the source tried to end the run.
        """
        try:
            sample = self.source.read(key)
            self._check_tags(sample, key)
            if self.size is not None and self.size != sample.size:
                sample = cover(sample, self.size)
            return encode_sample(sample, self.codec)
        except (BadSource, BadSample) as error:
            raise_refusal(error, self.source, key)
            return self._skipped(key, error)
        except BaseException as error:
            if isinstance(error, OSError):
                raise_refusal(error, self.source, key)
            if _ends(error):
                raise self._mistake(key, error) from error
            error.add_note(f"while sample {self.source.name}/{key} was prepared")
            raise

    def _mistake(self, key: str, error: BaseException) -> BadSource:
        reason = f"{type(self.source).__qualname__} raised {error!r}"
        file = next(iter(raw_files(self.source, key)), None)
        hint = "this is a mistake in the source, not in the data; finished shards are kept"
        return BadSource(reason, file=file, sample=f"{self.source.name}/{key}", hint=hint)

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


def _ends(error: BaseException) -> bool:
    """Tell what ends a loop or a program without a word: exits, panics of decoders, ends of iterators."""
    if isinstance(error, Exception):
        return isinstance(error, StopIteration | StopAsyncIteration)
    return not isinstance(error, KeyboardInterrupt)
