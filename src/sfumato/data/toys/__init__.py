"""Synthetic data with known truth, known ambiguity and, on request, known defects."""
