"""What verbs write: files of masks and images with their origin, tables, sheets."""
