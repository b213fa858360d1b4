"""Depth in the Wild (DIW): photos with one pair of points each and the word which is farther."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar, Literal, get_args

from depthmix.errors import BadSource
from depthmix.sample import LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.decode import read_image
from depthmix.sources.ordinal import pairs_of_rows
from depthmix.sources.tables import read_lines

__all__ = ["Diw"]

Split = Literal["train", "val", "test"]


class Diw(Source):
    """Read photos with an ordinal pair that a person has judged.

    Layout: `<root>/DIW_Annotations/DIW_<split>.csv` and the photos in `<root>/DIW_train_val` and
    `<root>/DIW_test`. Two lines of the table make a sample: the path of the photo, of which the last folder
    and the name are used, and `y1,x1,y2,x2,relation` with two more cells that are not read. Pairs of the
    same photo are put together.

    Convention: y comes before x, pixels count from 1, ">" says that the first point is farther. No depth, no
    sky, no camera. The points belong to photos of the published size: a resized copy can not be told.

    Args:
        root: folder of the data set.
        name: name of the source in the mix.
        split: which table; "val" exists only in the release that splits the training photos.
        annotations: folder of the tables below `root`, "" for `root` itself.
        first_pixel: number of the first row and column. The publisher's code takes 1 off, and the table
            does not say.

    Raises:
        BadSource: no such folder.
        ValueError: an option is out of range.
    """

    card = SourceCard(
        family="ordinal pairs",
        quality=Quality.WEAK,
        kind=LabelKind.ORDINAL,
        unit="",
        density="none",
        noise="",
        licence="research only, as commonly stated; not confirmed at its publisher",
        citation="Chen, Fu, Yang, Deng: Single-Image Depth Perception in the Wild, NIPS 2016",
        size="about 495 000 photos with one pair each, as stated in the paper",
    )
    layout: ClassVar[str] = "DIW_Annotations/DIW_<split>.csv, DIW_train_val/*.thumb and DIW_test/*.thumb"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "diw",
        split: Split = "train",
        annotations: str = "DIW_Annotations",
        first_pixel: int = 1,
    ) -> None:
        super().__init__(root, name=name)
        if split not in get_args(Split):
            raise ValueError(f"`split` must be one of {get_args(Split)}, got {split!r}")
        if first_pixel not in (0, 1):
            raise ValueError(f"`first_pixel` must be 0 or 1, got {first_pixel}")
        self.first_pixel = first_pixel
        self.table = self.root / annotations / f"DIW_{split}.csv"
        self._samples: dict[str, tuple[str, list[str]]] | None = None

    def keys(self) -> Sequence[str]:
        """List the photos as `<folder>/<name>`.

        Raises:
            BadSource: the table is missing, damaged or empty.
        """
        return list(self._table())

    def files(self, key: str) -> Sequence[Path]:
        """List photo and table."""
        return [self.root / self._row(key)[0], self.table]

    def read(self, key: str) -> Sample:
        """Read one photo with its pairs."""
        name, rows = self._row(key)
        image = read_image(self.root / name)
        size = image.shape[0], image.shape[1]
        cells = [row.split(",") for row in rows]
        pairs = pairs_of_rows(cells, size, first_pixel=self.first_pixel, file=self.table)
        return self.sample(key, image=image, pairs=pairs)

    def _row(self, key: str) -> tuple[str, list[str]]:
        table = self._table()
        if key not in table:
            raise self.unknown(key, file=self.table)
        return table[key]

    def _table(self) -> dict[str, tuple[str, list[str]]]:
        if self._samples is None:
            self._samples = read_table(self.table)
        return self._samples


def read_table(file: Path) -> dict[str, tuple[str, list[str]]]:
    """Read the path and the rows of each photo, by key, sorted.

    Raises:
        BadSource: no such file, damaged, cut, empty, or two photos differ only in their suffix.
    """
    lines = read_lines(file)
    if not lines or len(lines) % 2 or min(line.count(",") for line in lines[1::2]) < 4:
        reason = f"{len(lines)} lines are not pairs of a path and y1,x1,y2,x2,relation,..."
        raise BadSource(reason, file=file, hint="the file was cut or is not of this format: fetch it again")
    samples: dict[str, tuple[str, list[str]]] = {}
    for path, row in zip(lines[::2], lines[1::2], strict=True):
        # Many copies hold absolute paths, because the publisher's code asks for them.
        name = PurePosixPath(*PurePosixPath(path).parts[-2:])
        kept = samples.setdefault(str(name.with_suffix("")), (str(name), []))
        if kept[0] != str(name) or ".." in name.parts or name.is_absolute():
            raise BadSource(f"names {path}, which is outside or named twice", file=file)
        kept[1].append(row)
    return dict(sorted(samples.items()))
