"""Tests of depthmix.plot."""
