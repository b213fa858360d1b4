"""Recipes that `depthmix fit --config` takes by name."""
