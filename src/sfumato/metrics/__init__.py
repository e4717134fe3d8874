"""Floor 1: scores. Pure functions on arrays."""
