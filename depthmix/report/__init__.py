"""One static page about a run: how good it is, how it learned, what it was made of; and runs side by side."""

from depthmix.report.compare import build_comparison
from depthmix.report.page import build_report

__all__ = ["build_comparison", "build_report"]
