"""Scores. Pure functions on arrays."""
