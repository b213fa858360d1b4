"""Adapters for raw depth data sets."""
