"""Train monocular depth networks on data sets of mixed quality."""

__version__ = "0.1.0"
