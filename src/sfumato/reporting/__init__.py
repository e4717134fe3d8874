"""Floor 4: one self-contained HTML page about any folder that sfumato wrote."""
