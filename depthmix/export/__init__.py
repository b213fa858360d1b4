"""Write a trained network in forms that run without depthmix."""

from depthmix.export.files import FORMATS, Exported, export_network
from depthmix.export.graph import CanonicalDepth

__all__ = ["FORMATS", "CanonicalDepth", "Exported", "export_network"]
