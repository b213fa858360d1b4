"""What the benchmarks that train small networks share with `depthmix bench`."""

from depthmix.bench.training import batches, train

__all__ = ["batches", "train"]
