"""Execute the notebooks of this folder again and keep their outputs: `python notebooks/refresh.py [NAME …]`."""

import sys
import tempfile
from base64 import b64decode, b64encode
from io import BytesIO
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image, ImageOps

__all__ = ["execute", "refresh"]

SECONDS_PER_CELL = 300


def execute(notebook: Path, folder: Path) -> nbformat.NotebookNode:
    """Return `notebook` with fresh outputs, run in `folder`, without timings and machine details.

    Args:
        notebook: the .ipynb file; it is not changed.
        folder: working folder of the kernel.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised.
    """
    content = nbformat.read(notebook, as_version=4)
    client = NotebookClient(
        content,
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,  # a slow machine would split what one cell prints into several outputs
    )
    client.execute()
    content.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in content.cells:
        cell.metadata = {}
        for output in cell.get("outputs", []):
            pictures = output.get("data", {})
            if "image/png" in pictures:
                pictures["image/png"] = fewer_shades(pictures["image/png"])
    return content


def fewer_shades(png: str) -> str:
    """Return a base64 PNG with 32 shades per channel: half the size, so that a notebook stays below 1 MB."""
    target = BytesIO()
    with Image.open(BytesIO(b64decode(png))) as picture:
        small = ImageOps.posterize(picture.convert("RGB"), 5)
    # White stays white: posterising cuts 255 down to 248.
    small.point(lambda shade: shade * 255 // 248).save(target, format="PNG", optimize=True)
    return b64encode(target.getvalue()).decode("ascii")


def refresh(notebook: Path) -> None:
    """Execute `notebook` in a temporary folder and write it back with its outputs."""
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(execute(notebook, Path(folder)), notebook)


if __name__ == "__main__":
    here = Path(__file__).parent
    for chosen in [here / name for name in sys.argv[1:]] or sorted(here.glob("*.ipynb")):
        refresh(chosen)
        sys.stdout.write(f"{chosen.name}: {chosen.stat().st_size / 1e3:.0f} kB\n")
