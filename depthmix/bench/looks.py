"""How often each recipe was tuned, as `looks.yaml` writes it down."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from depthmix.plain_yaml import parse_yaml

__all__ = ["FILE", "kept", "looks_text", "read_looks"]

FILE: Final = Path(__file__).with_name("looks.yaml")


def read_looks(file: Path = FILE) -> dict[str, list[dict[str, Any]]]:
    """Read the looks at the validation block, by recipe."""
    values: dict[str, list[dict[str, Any]]] = parse_yaml(file.read_text(encoding="utf-8"))[1]
    return values


def kept(name: str, looks: dict[str, list[dict[str, Any]]]) -> str:
    """Return a recipe with the options of the look that was kept: what `find_recipe` takes.

    Example:
        >>> kept("midas", {"midas": [{"set": {"balance": "gradient"}, "kept": True}]})
        'midas,balance=gradient'
    """
    found = [look.get("set", {}) for look in looks.get(name, []) if look.get("kept")]
    return ",".join([name, *(f"{key}={value}" for options in found for key, value in options.items())])


def looks_text(looks: dict[str, list[dict[str, Any]]], recipes: Iterable[str]) -> str:
    """Say in one line how many looks the compared recipes had, and whether they are equal."""
    named = {name: name.split(",")[0] for name in recipes}
    counts = {name: len(looks[plain]) for name, plain in named.items() if plain in looks}
    if len(set(counts.values())) <= 1:
        return f"tuning looks: {next(iter(counts.values()), 0)} for each recipe"
    listed = ", ".join(f"{name} {count}" for name, count in counts.items())
    return f"tuning looks are NOT equal: {listed}"
