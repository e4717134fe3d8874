"""Files that are there whole or not at all: a kill or a full disk leaves what was there before."""

import os
from pathlib import Path

BINARY = getattr(os, "O_BINARY", 0)
"""So that Windows writes line breaks as they are."""


def write_atomic(path: Path, content: bytes | str, *, sync: bool = True, mode: int = 0o666) -> None:
    """Write a file under another name, then let it take the place of `path` at once.

    Args:
        path: the file.
        content: all of it; text is written as UTF-8.
        sync: survive a power cut too; takes milliseconds.
        mode: who may read it, as far as the person's umask allows.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        draft.unlink(missing_ok=True)  # of a process that had our number and was killed
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, mode), "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last through a power cut; Windows opens no folder, and keeps a journal of names."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
