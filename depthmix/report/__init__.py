"""One static page about a run: the mix, what the network sees and says, how it learned, how good it is."""

from depthmix.report.page import build_report

__all__ = ["build_report"]
