"""Sets in arrays: NumPy and IDX files, and archives with a `dataset.json`."""
