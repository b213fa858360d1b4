"""Tests of depthmix.predict."""
