"""The text files `last` and `best` beside the checkpoints of a run, each of which names one of them."""

import re
from pathlib import Path

from sfumato.files import open_file

STEP = re.compile(r"step-\d{1,20}", re.ASCII)
"""Names of the folders of checkpoints."""

_LONGEST = 100
"""Bytes of such a file that are read."""


def marked(folder: Path, name: str) -> Path | None:
    """The checkpoint that the text file `name` names, or None; a file that names anything else names none."""
    pointer = folder / name
    if not pointer.is_file():
        return None
    with open_file(pointer) as file:
        named = file.read(_LONGEST).decode("ascii", errors="replace").strip()
    return folder / named if STEP.fullmatch(named) else None
