"""An installed package that announces classes: one module and its metadata, as pip leaves them."""

from pathlib import Path


def write_package(folder: Path, module: str, code: str, group: str, points: dict[str, str]) -> None:
    """Write a package called as its module, with hyphens; `folder` must be among the places for modules."""
    (folder / f"{module}.py").write_text(code)
    about = folder / f"{module}-1.0.dist-info"
    about.mkdir()
    name = module.replace("_", "-")
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{key} = {value}" for key, value in points.items()]
    (about / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
