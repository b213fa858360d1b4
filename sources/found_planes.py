"""Planes found in the dense metric labels of any other source, as a source of their own."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from depthmix.errors import BadSample
from depthmix.sample import DEPTH_KINDS, LabelKind, Quality, Sample
from depthmix.sources.base import Source, SourceCard
from depthmix.sources.plane_finding import PlaneSearch, find_planes

__all__ = ["FoundPlanes"]


class FoundPlanes(Source):
    """Read another source and add the planes of its depth.

    Without `keep_depth` the result is a source of weak plane labels: what the depth showed about flatness,
    freed from its scale. With it, samples keep depth, quality and kind of the other source and gain planes.

    Args:
        root: folder of the other source.
        name: name of the source in the mix.
        of: class name of the other source, such as "Diode".
        options: options of the other source, such as {"split": "val"}.
        keep_depth: whether depth stays in the samples.
        tolerance: largest relative distance of inverse depth from a plane.
        min_share: smallest plane as a share of the image.

    Raises:
        ConfigError: there is no source called `of`.
        ValueError: the other source has no dense depth, or an option is out of range.
    """

    card = SourceCard(
        family="planes",
        quality=Quality.WEAK,
        kind=LabelKind.NONE,
        unit="",
        density="none",
        noise="",
        licence="that of the source whose depth is read",
        citation="the work that published the depth; planes found by depthmix",
    )
    layout = "that of the source named by `of`"

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "found_planes",
        of: str = "ExactScenes",
        options: dict[str, Any] | None = None,
        keep_depth: bool = False,
        tolerance: float = 0.01,
        min_share: float = 0.01,
    ) -> None:
        from depthmix.sources.registry import find

        self.of, self.options, self.keep_depth = of, dict(options or {}), keep_depth
        self.tolerance, self.min_share = tolerance, min_share
        self._search = PlaneSearch(tolerance=tolerance, min_share=min_share)
        self._inner = find(of)(root, name=name, **self.options)
        inner = self._inner.card
        if inner.kind not in DEPTH_KINDS or inner.density != "dense":
            raise ValueError(
                f"`of` must be a source of dense depth, {of} is {inner.density} {inner.kind.name}"
            )
        super().__init__(root, name=name)
        terms = {"licence": inner.licence, "citation": f"{inner.citation}; planes found by depthmix"}
        self.card = replace(inner if keep_depth else self.card, **terms)  # type: ignore[arg-type]

    def keys(self) -> Sequence[str]:
        """List the keys of the other source."""
        return self._inner.keys()

    def files(self, key: str) -> Sequence[Path]:
        """List the files of the other source."""
        return self._inner.files(key)

    def read(self, key: str) -> Sample:
        """Read one sample and find its planes.

        Raises:
            BadSource: as the other source.
            BadSample: no plane was found and depth is not kept.
        """
        sample = self._inner.read(key)
        planes = find_planes(sample.target, sample.valid, self._search)
        if self.keep_depth:
            return sample.replaced(planes=planes)
        if not planes.any():
            raise BadSample("no plane was found", file=self.files(key)[-1], sample=f"{self.name}/{key}")
        return self.sample(
            key, image=sample.image, sky=sample.sky, planes=planes, intrinsics=sample.intrinsics
        )
