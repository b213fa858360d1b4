"""Raw data set in, checked and sealed HDF5 shards out."""

from depthmix.prepare.budget import reasons
from depthmix.prepare.job import cover
from depthmix.prepare.run import PrepareReport, Progress, prepare

__all__ = ["PrepareReport", "Progress", "cover", "prepare", "reasons"]
