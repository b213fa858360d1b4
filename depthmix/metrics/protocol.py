"""What a published evaluation fixes: data, split, part of the image, range, alignment, average."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from string import Formatter
from typing import Any, Final, Literal, Self

from depthmix.errors import ConfigError
from depthmix.metrics.align import ALIGNMENTS
from depthmix.metrics.crops import CROPS
from depthmix.metrics.measure import METRICS

__all__ = ["Protocol", "Split"]

_LONGEST_LINE: Final = 1000
_NAMES: Final[dict[str, Collection[str]]] = {
    "cut": CROPS,
    "crop": CROPS,
    "crop_of": ("cut", "whole"),
    "resize": ("depth", "inverse_depth"),
    "average": ("image", "pixel"),
    "alignments": ALIGNMENTS,
    "metrics": METRICS,
}


@dataclass(frozen=True, slots=True)
class Split:
    """Name the images of an evaluation: those of a list that the user gives, or all that the source lists.

    Args:
        images: how many there are; a run with fewer says so.
        file: usual name of the list; empty where the source itself lists the images of the split.
        published: where the list is found.
        pattern: regular expression with named groups that is looked for in each line of the list.
        key: key of the sample, with the groups in braces.
        without: a line with this text has no label and is left out; empty for none.

    Raises:
        ConfigError: a list without a pattern, or a key with groups that the pattern lacks.
    """

    images: int
    file: str = ""
    published: str = ""
    pattern: str = ""
    key: str = ""
    without: str = ""

    def __post_init__(self) -> None:
        if self.images < 1:
            raise ConfigError(f"must be at least 1, got {self.images}", field="split.images")
        if bool(self.file) != bool(self.pattern) or bool(self.file) != bool(self.key):
            raise ConfigError("file, pattern and key go together", field="split.file")
        try:
            groups = set(re.compile(self.pattern).groupindex)
            named = {name for _, name, _, _ in Formatter().parse(self.key) if name is not None}
        except (re.error, ValueError) as error:
            raise ConfigError(f"is none: {error}", field="split.pattern") from error
        if lacking := sorted(named - groups):
            raise ConfigError(f"the pattern has no group {lacking[0]!r}", field="split.key")

    def keys(self, lines: Iterable[str]) -> list[str]:
        """Turn the lines of the list into keys, each once, in the order of the list.

        Raises:
            ConfigError: a line has another form.
        """
        found: dict[str, None] = {}
        for number, line in enumerate(lines, start=1):
            if self.without and self.without in line:
                continue
            match = re.search(self.pattern, line) if len(line) <= _LONGEST_LINE else None
            if match is None:
                hint = f"expected the list as published: {self.published or self.file}"
                reason = f"entry {number} names no image: {line[:100]!r}"
                raise ConfigError(reason, field="split", hint=hint)
            found[self.key.format(**match.groupdict())] = None
        return list(found)


@dataclass(frozen=True, slots=True)
class Protocol:
    """State one evaluation completely.

    Args:
        name: how it is called.
        about: what it is, in one line.
        source: class of the source that reads the raw copy.
        split: which images.
        reference: where its rules were read.
        options: of the source.
        size: what the network sees: "training", the area of its training images with the aspect kept;
            "native", the image as it is; or rows and columns.
        cut: crop that is cut out of image and label before the network sees anything.
        crop: crop outside of which no label is read.
        crop_of: whether `crop` is taken of the "cut" or of the "whole" image.
        cap: smallest and largest depth in the unit of the labels: labels at or beyond them are not read,
            predictions are clamped into them after alignment. None reads all.
        resize: how a prediction is brought to the size of the label: bilinear in "depth" or "inverse_depth".
        flip: whether the mirrored image is predicted, too, and the mean of both taken, in the space of
            `resize`.
        alignments: how the prediction is fitted to the label of each image, one row of results for each.
        average: "image", the mean over images, or "pixel", over all pixels of all images at once.
        metrics: the measures that its tables report, the first one first.
        notes: what differs from other conventions, and what could not be verified.

    Convention: labels and cameras stay as they are published; the prediction is resized, never the label.

    Raises:
        ConfigError: a value is none of those above.
    """

    name: str
    about: str
    source: str
    split: Split
    reference: list[str]
    options: dict[str, object] = field(default_factory=dict)
    size: Literal["training", "native"] | list[int] = "training"
    cut: str = "none"
    crop: str = "none"
    crop_of: Literal["cut", "whole"] = "cut"
    cap: list[float] | None = None
    resize: Literal["depth", "inverse_depth"] = "depth"
    flip: bool = False
    alignments: list[str] = field(default_factory=lambda: ["none", "affine_inverse_depth"])
    average: Literal["image", "pixel"] = "image"
    metrics: list[str] = field(default_factory=lambda: ["abs_rel", "delta1"])
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", self.name):
            raise ConfigError(f"holds letters, digits, _ and - only, got {self.name!r}", field="name")
        for where, known in _NAMES.items():
            _check_names(where, getattr(self, where), known)
        if self.cap is not None and not (len(self.cap) == 2 and 0 < self.cap[0] < self.cap[1]):
            raise ConfigError(f"must be smallest and largest depth, got {self.cap}", field="cap")
        if not _is_size(self.size):
            reason = f"must be training, native or [rows, columns], got {self.size}"
            raise ConfigError(reason, field="size")

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """Build a protocol from plain values whose names and types were checked."""
        return cls(**{**values, "split": Split(**values["split"])})

    def plain(self) -> dict[str, Any]:
        """Return all of it as plain values, for the record of a result."""
        return asdict(self)


def _check_names(where: str, named: str | Sequence[str], known: Collection[str]) -> None:
    every = [named] if isinstance(named, str) else list(named)
    if unknown := [one for one in every if one not in known]:
        near = get_close_matches(unknown[0], known, 1)
        guess = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        raise ConfigError(f"nothing is called {unknown[0]!r}", field=where, hint=guess)
    if not every or len(set(every)) < len(every):
        raise ConfigError("must be one or more, each once", field=where)


def _is_size(size: str | list[int]) -> bool:
    if isinstance(size, str):
        return size in ("training", "native")
    return [type(side) for side in size] == [int, int] and min(size) > 0
