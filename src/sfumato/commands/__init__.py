"""One verb per file: typed arguments in, a folder out."""
