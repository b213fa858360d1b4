"""Match the files of one sample by what the wildcards of their patterns stand for."""

import re
from dataclasses import dataclass
from pathlib import Path

from depthmix.errors import BadSource
from depthmix.sources.layout import files_below

__all__ = ["Pattern"]

_WILD = re.compile(r"\*\*/|\*")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A path below the root with wildcards, such as "rgb/**/*_left.jpg".

    Args:
        text: `*` stands for any part of a name, `**/` for any number of folders.
        option: name of the option that holds it, for messages.

    Raises:
        ValueError: it leaves the root, or holds other wildcards.

    Example:
        >>> images, labels = Pattern("rgb/*/*.jpg", "images"), Pattern("depth/*/*.png", "labels")
        >>> labels.filled(images.wild("rgb/hall/0007.jpg"))
        'depth/hall/0007.png'
    """

    text: str
    option: str

    def __post_init__(self) -> None:
        parts = self.text.split("/")
        if not self.text or self.text.startswith("/") or ".." in parts or "\\" in self.text:
            raise ValueError(f"`{self.option}` must be a path below the root with /, got {self.text!r}")
        if re.search(r"[?\[\]{}]", self.text) or any("**" in part and part != "**" for part in parts):
            reason = "may have * inside names and ** as a folder, no other wildcards"
            raise ValueError(f"`{self.option}` {reason}, got {self.text!r}")
        if parts[-1] == "**":
            raise ValueError(f"`{self.option}` must end in the name of a file, got {self.text!r}")

    @property
    def count(self) -> int:
        """How many wildcards there are."""
        return len(_WILD.findall(self.text))

    @property
    def suffix(self) -> str:
        """The suffix of the files, in small letters."""
        return Path(self.text).suffix.lower()

    def find(self, root: Path) -> dict[str, tuple[str, ...]]:
        """List what matches: by key, what the wildcards stand for. The key is that, joined by slashes.

        Raises:
            BadSource: nothing matches, or two files have one key.
        """
        found: dict[str, tuple[str, ...]] = {}
        for name in files_below(root, self.text, expected=f"files like {self.text}"):
            wild = self.wild(name)
            key = "/".join(part.strip("/") for part in wild if part) or Path(self.text).stem
            if key in found:
                other = self.filled(found[key])
                raise BadSource(f"has the same wildcards as {other}", file=root / name, hint="move a * apart")
            found[key] = wild
        return dict(sorted(found.items()))

    def wild(self, name: str) -> tuple[str, ...]:
        """Return what the wildcards stand for in a name that matches."""
        matched = re.fullmatch(_expression(self.text), name)
        assert matched is not None, f"{name} was listed for {self.text}"
        return tuple(group or "" for group in matched.groups())

    def filled(self, wild: tuple[str, ...]) -> str:
        """Return the name with the wildcards filled in."""
        parts = iter(wild)
        return _WILD.sub(lambda _: next(parts), self.text)


def _expression(text: str) -> str:
    """Translate a pattern into a regular expression with one group a wildcard."""
    groups = {"**/": "((?:[^/]+/)*)", "*": "([^/]*)"}
    literals = [re.escape(part) for part in _WILD.split(text)]
    wildcards = [groups[part] for part in _WILD.findall(text)]
    return "".join(part for pair in zip(literals, [*wildcards, ""], strict=True) for part in pair)
