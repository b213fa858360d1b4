"""The `depthmix` command."""

from depthmix.cli.main import main

__all__ = ["main"]
