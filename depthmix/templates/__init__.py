"""Texts that `depthmix new-source` fills in."""
