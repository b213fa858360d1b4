"""Write a trained network in forms that run without depthmix."""

from depthmix.export.figures import figures_beside
from depthmix.export.files import FORMATS, Exported, export_network
from depthmix.export.folder import write_card, write_folder
from depthmix.export.graph import CanonicalDepth

__all__ = [
    "FORMATS",
    "CanonicalDepth",
    "Exported",
    "export_network",
    "figures_beside",
    "write_card",
    "write_folder",
]
