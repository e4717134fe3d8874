"""Scores, and repairs of masks. Pure functions on arrays."""
