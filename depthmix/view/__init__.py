"""Look at samples of a prepared set, a raw folder or a run: a page with filters, or a recording for rerun."""

from depthmix.view.gather import Item, Items, items_of_run, items_of_sets, items_of_source
from depthmix.view.page import build_view
from depthmix.view.recording import write_recording

__all__ = [
    "Item",
    "Items",
    "build_view",
    "items_of_run",
    "items_of_sets",
    "items_of_source",
    "write_recording",
]
