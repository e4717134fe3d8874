"""Files that are there whole or not at all: a kill or a full disk leaves what was there before."""

import os
from pathlib import Path


def write_atomic(path: Path, content: bytes | str, *, sync: bool = True) -> None:
    """Write a file under another name, then let it take the place of `path` at once.

    Args:
        path: the file.
        content: all of it; text is written as UTF-8.
        sync: survive a power cut too; takes milliseconds.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with draft.open("wb") as file:
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
