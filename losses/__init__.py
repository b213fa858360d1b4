"""Losses that respect what a label can bear."""
