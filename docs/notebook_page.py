"""A notebook as a page of the site: its text, its code, and the outputs that it is kept with."""

import json
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

__all__ = ["page_of", "pictures_of"]

Cell = dict[str, Any]


def page_of(notebook: Path) -> str:
    """Return the page in Markdown; its pictures lie in a folder beside it that is called as the notebook."""
    parts, heading = [], ""
    for number, cell in enumerate(_cells(notebook)):
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            heading = (re.findall(r"^#+ (.+)$", text, re.MULTILINE) or [heading])[-1]
        else:
            parts.append(_fenced("python", text))
            parts += _outputs(cell, f"{notebook.stem}/{number}", heading)
    title, _, rest = "\n\n".join(parts).partition("\n")
    place = f"../files/notebooks/{notebook.name}"
    return f"{title}\n\n*A notebook with its outputs: [{notebook.name}]({place}).*\n{rest}\n"


def pictures_of(notebook: Path) -> dict[str, bytes]:
    """Return the pictures of the page by their path beside it."""
    return {
        f"{notebook.stem}/{number}-{index}.png": b64decode("".join(data["image/png"]))
        for number, cell in enumerate(_cells(notebook))
        for index, data in enumerate(_shown(cell))
        if "image/png" in data
    }


def _cells(notebook: Path) -> list[Cell]:
    content: dict[str, list[Cell]] = json.loads(notebook.read_text(encoding="utf-8"))
    return content["cells"]


def _shown(cell: Cell) -> list[dict[str, Any]]:
    return [output["data"] for output in cell.get("outputs", []) if "data" in output]


def _outputs(cell: Cell, start: str, heading: str) -> list[str]:
    """Return what a cell printed, then what it showed."""
    printed = "".join("".join(output["text"]) for output in cell["outputs"] if "text" in output)
    parts = [_fenced('text title="Output"', printed)] if printed else []
    for index, data in enumerate(_shown(cell)):
        if "image/png" in data:
            parts.append(f"![Picture made by the code above: {heading}]({start}-{index}.png)")
        else:
            parts.append(_fenced('text title="Output"', "".join(data["text/plain"])))
    return parts


def _fenced(language: str, text: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
