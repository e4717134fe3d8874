"""Floor 4: one verb per file: typed arguments in, a folder out."""
