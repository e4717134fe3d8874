"""One self-contained HTML page about any folder that sfumato wrote."""
